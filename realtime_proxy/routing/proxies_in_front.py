"""Who is in front of this proxy, and what is believed of what they say of clients.

Made when a configuration is loaded: what needs no look at a request is decided here once.
"""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address, ip_network

import attrs

from realtime_proxy.config.checks import UNIX
from realtime_proxy.config.server_section import Forwarded
from realtime_proxy.model.headers import Headers
from realtime_proxy.routing.condition import host_of
from realtime_proxy.routing.forwarded_field import read_forwarded

X_FORWARDED_FOR = b"x-forwarded-for"
FORWARDED = b"forwarded"
X_FORWARDED_PROTO = (b"x-forwarded-proto", b"x-forwarded-protocol")
PUSHPIN_ROUTE = b"pushpin-route"
ENCRYPTED = ("https", "wss")


@attrs.frozen
class Hop:
    """What a proxy says of whom it heard from. `address` is empty if that is no address."""

    address: str
    scheme: str = ""


class ProxiesInFront:
    """The proxies of `[forwarded] trusted_proxies`, and what their fields say."""

    __slots__ = (
        "_accepts_proto",
        "_accepts_route",
        "_hops",
        "_names_proxies",
        "_reads_forwarded",
        "_trusts_first",
        "is_known",
    )

    def __init__(self, settings: Forwarded) -> None:
        field = settings.client_address_header.lower().encode()
        self._accepts_proto = settings.accept_x_forwarded_proto
        self._accepts_route = settings.accept_pushpin_route
        self._names_proxies = bool(settings.trusted_proxies)
        self._reads_forwarded = field == FORWARDED
        self._hops = _reader(field)
        # Unless the rule for what is signed keeps nothing of it.
        counts = [word for word in settings.x_forwarded_for_trusted if word != "append"]
        self._trusts_first = not counts or int(counts[-1].partition(":")[2]) > 0
        self.is_known = known_proxies(settings.trusted_proxies)

    def trusts(self, peer: str) -> bool:
        """True if the peer is one of those that are listed; where none is, nobody is."""
        return self._names_proxies and self.is_known(peer)

    def _believes(self, peer: str) -> bool:
        return not self._names_proxies or self.is_known(peer)

    def came_over_tls(self, headers: Headers, peer: str) -> bool:
        """True if a proxy in front, that is believed, says that its client used TLS."""
        if not self._accepts_proto or not self._believes(peer):
            return False
        if self._reads_forwarded:
            return self._first_known_hop(headers, peer).scheme in ENCRYPTED
        value = next(filter(None, map(headers.get, X_FORWARDED_PROTO)), b"")
        return value.decode("latin-1").lower() in ENCRYPTED

    def route_id(self, headers: Headers, peer: str) -> str:
        """The id of the route that the request asks for, if it may; or nothing."""
        if not self._accepts_route or not self._believes(peer):
            return ""
        return (headers.get(PUSHPIN_ROUTE) or b"").decode(errors="replace")

    def client_address(self, headers: Headers, peer: str, *, trusted: bool) -> str:
        """Where the client is, as far as that is known: the peer, or what known proxies say.

        What `upstream_key` signed for (`trusted`) is true from its beginning.
        """
        if trusted:
            hops = self._hops(headers) if self._trusts_first else []
            return (hops[0].address if hops else "") or peer
        if not self._names_proxies:
            return peer
        return self._first_known_hop(headers, peer).address

    def _first_known_hop(self, headers: Headers, peer: str) -> Hop:
        """The first hop that a known proxy has told of.

        Read from its end, as far as proxies are known, such a field is true; what a client writes
        comes before that.
        """
        hop = Hop(peer)
        for before in reversed(self._hops(headers)):
            if not self.is_known(hop.address) or not before.address:
                break
            hop = before
        return hop


def known_proxies(listed: tuple[str, ...]) -> Callable[[str], bool]:
    """A function that tells whether a peer is among the proxies that a configuration lists."""
    networks = [ip_network(text) for text in listed if text != UNIX]
    unix = UNIX in listed

    # Looking an address up in networks costs as much as all the rest that is done with a request.
    @lru_cache(1_000)
    def is_known(peer: str) -> bool:
        if not peer:
            return unix
        address = ip_address(peer.partition("%")[0])
        return any(address in network for network in networks)

    return is_known


def forwarded_addresses(headers: Headers) -> list[bytes]:
    """The elements of `X-Forwarded-For` over all its lines."""
    values = headers.get_all(X_FORWARDED_FOR)
    return [part for value in values for item in value.split(b",") if (part := item.strip())]


def _reader(field: bytes) -> Callable[[Headers], list[Hop]]:
    """What reads the hops that a field tells of, the client's first."""

    def one(headers: Headers) -> list[Hop]:
        values = headers.get_all(field)
        return [Hop(_address_of(values[0]))] if len(values) == 1 else []

    return {X_FORWARDED_FOR: _x_forwarded_for, FORWARDED: _forwarded}.get(field, one)


def _x_forwarded_for(headers: Headers) -> list[Hop]:
    return [Hop(_address_of(element)) for element in forwarded_addresses(headers)]


def _forwarded(headers: Headers) -> list[Hop]:
    elements = read_forwarded(b",".join(headers.get_all(FORWARDED)))
    return [
        Hop(
            _address_of(element.get(b"for", b"")),
            element.get(b"proto", b"").decode("latin-1").lower(),
        )
        for element in elements
    ]


def _address_of(element: bytes) -> str:
    """The address that an element is, perhaps with a port; empty if it is something else."""
    text = host_of(element).decode("latin-1")
    try:
        return str(ip_address(text))
    except ValueError:
        return ""
