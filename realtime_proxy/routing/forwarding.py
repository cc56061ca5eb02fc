"""What proxies in front say of a client, what of it is believed, and what backends are told.

Made when a configuration is loaded: what needs no look at a request is decided here once.
"""

from collections.abc import Callable, Container
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Self

import attrs

from realtime_proxy.config.checks import UNIX
from realtime_proxy.config.server_section import Forwarded
from realtime_proxy.model.headers import Headers
from realtime_proxy.routing.condition import host_of

MARK = b"eb9bf0f5-"
_FOR = b"x-forwarded-for"
_PROTO = (b"x-forwarded-proto", b"x-forwarded-protocol")
_PROTO_TO_SET = {"": (), "proto": (b"X-Forwarded-Proto",), "both": _PROTO}
_ROUTE = b"pushpin-route"
_CDN_LOOP = b"cdn-loop"
_ENCRYPTED = ("https", "wss")
# The beginnings of names that a client may not send; by whether it is trusted, then by whether
# its route has marks.
_PREFIXES = ((((b"grip-", MARK)),) * 2, ((MARK,), ()))

# What `Connection` must not be able to take away: the message's end, or a trace of loops
# (RFC 8586 2), would be lost with it.
_KEPT = frozenset((b"cdn-loop", b"content-length", b"host"))


@attrs.frozen
class ForRule:
    """What becomes of `X-Forwarded-For`: keep so many of the last addresses (None: all), append."""

    keep: int | None
    append: bool

    @classmethod
    def of(cls, words: tuple[str, ...]) -> Self | None:
        """The rule that words of the configuration make; None if the field passes as it is."""
        if not words:
            return None
        counts = [int(word.partition(":")[2]) for word in words if word != "append"]
        return cls(counts[-1] if counts else None, "append" in words)

    def value(self, headers: Headers, peer: str) -> bytes:
        """The field's new value; empty if there is to be none. `peer` is empty if unknown."""
        own = peer.encode() if self.append else b""
        if self.keep == 0:
            return own
        addresses = forwarded_addresses(headers)
        if self.keep is not None:
            addresses = addresses[-self.keep :]
        return b", ".join([*addresses, own] if own else addresses)


class Forwarding:
    """The rules of `[forwarded]`, and which fields of clients are for nobody behind us."""

    __slots__ = (
        "_accepts_proto",
        "_accepts_route",
        "_cdn",
        "_names_proxies",
        "_need_mark",
        "_proto_fields",
        "_rules",
        "_trusted_rule",
        "is_known",
    )

    def __init__(self, settings: Forwarded, dropped: frozenset[bytes]) -> None:
        """`dropped` has further names, in lower case, that no client may send to a backend."""
        self._accepts_proto = settings.accept_x_forwarded_proto
        self._accepts_route = settings.accept_pushpin_route
        self._proto_fields = _PROTO_TO_SET[settings.set_x_forwarded_proto]
        self._cdn = settings.cdn_loop.encode()
        self._need_mark = frozenset(
            name.lower().encode() for name in settings.original_headers_need_mark
        )
        self._names_proxies = bool(settings.trusted_proxies)
        self.is_known = known_proxies(settings.trusted_proxies)
        self._trusted_rule = ForRule.of(settings.x_forwarded_for_trusted)
        dropped |= self._replaced_fields()
        # For everyone, and for those who are known: the rule, and which fields go.
        self._rules = tuple(
            (rule, dropped if rule is None else dropped | {_FOR})
            for rule in (ForRule.of(settings.x_forwarded_for), self._trusted_rule)
        )

    def _replaced_fields(self) -> frozenset[bytes]:
        names: set[bytes] = set()
        if self._accepts_proto or self._proto_fields:
            names.update(_PROTO)
        if self._accepts_route:
            names.add(_ROUTE)
        if self._cdn:
            names.add(_CDN_LOOP)
        return frozenset(names)

    # -- what is believed ------------------------------------------------------------------

    def _believes(self, peer: str) -> bool:
        return not self._names_proxies or self.is_known(peer)

    def came_over_tls(self, headers: Headers, peer: str) -> bool:
        """True if a proxy in front, that is believed, says that its client used TLS."""
        if not self._accepts_proto or not self._believes(peer):
            return False
        value = next(filter(None, map(headers.get, _PROTO)), b"")
        return value.decode("latin-1").lower() in _ENCRYPTED

    def route_id(self, headers: Headers, peer: str) -> str:
        """The id of the route that the request asks for, if it may; or nothing."""
        if not self._accepts_route or not self._believes(peer):
            return ""
        return (headers.get(_ROUTE) or b"").decode(errors="replace")

    def client_address(self, headers: Headers, peer: str, *, trusted: bool) -> str:
        """Where the client is, as far as that is known: the peer, or what known proxies say.

        Read from its end, as far as proxies are known, `X-Forwarded-For` is true; what a client
        writes comes before that. One that `upstream_key` signed is true from its beginning,
        unless the rule for it keeps nothing.
        """
        address = peer
        if trusted:
            if self._trusted_rule is None or self._trusted_rule.keep != 0:
                first = next(iter(forwarded_addresses(headers)), b"")
                address = _address_of(first) or address
        elif self._names_proxies:
            for value in reversed(forwarded_addresses(headers)):
                if not self.is_known(address) or not (before := _address_of(value)):
                    break
                address = before
        return address

    # -- what backends are told ------------------------------------------------------------

    def inbound_headers(
        self, headers: Headers, peer: str, scheme: str, *, trusted: bool, marks: bool
    ) -> Headers:
        """The fields of a request without those only the proxy may set, and with its own.

        `peer` is the address of the connection, `scheme` the client's; `trusted` says that
        `upstream_key` signed the request, so that its `Grip-*` stays. With `marks`, the fields of
        any other client are there once more as they came. This comes before any handler acts, so
        that a client's `Connection` can't name, and so remove, what a handler has set.
        """
        rule, dropped = self._rules[trusted or (self._names_proxies and self.is_known(peer))]
        kept = _kept(headers, dropped, _PREFIXES[trusted][marks])
        if self._cdn:
            kept.append((b"CDN-Loop", b", ".join([*headers.get_all(_CDN_LOOP), self._cdn])))
        if self._proto_fields and scheme in _ENCRYPTED:
            kept.extend((name, scheme.encode()) for name in self._proto_fields)
        if rule is not None and (value := rule.value(headers, peer)):
            kept.append((b"X-Forwarded-For", value))
        if marks and not trusted:
            kept.extend(self._marked(headers))
        return kept

    def _marked(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Fields as the client sent them, marked as such.

        A mark that a client sends counts only for names that need one: elsewhere it could say
        something else than the field itself, and be believed more.
        """
        marked = []
        for name, value in headers:
            lowered = name.lower()
            if lowered.startswith(MARK):
                if lowered[len(MARK) :] in self._need_mark:
                    marked.append((name, value))
            elif lowered not in self._need_mark:
                marked.append((MARK + name, value))
        return marked


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
    values = headers.get_all(_FOR)
    return [part for value in values for item in value.split(b",") if (part := item.strip())]


def _address_of(element: bytes) -> str:
    """The address that an element is, perhaps with a port; empty if it is something else."""
    text = host_of(element).decode("latin-1")
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def _kept(headers: Headers, dropped: Container[bytes], prefixes: tuple[bytes, ...]) -> Headers:
    named = headers.tokens(b"connection")
    hop = [token for token in named if token not in _KEPT] if named else named
    kept = Headers()
    for field in headers:
        name = field[0].lower()
        if name in dropped or name in hop or name.startswith(prefixes):
            continue
        kept.append(field)
    return kept
