"""How many connections one client address may have."""

import socket
from collections import Counter
from collections.abc import Callable, Iterable

from realtime_proxy.metrics.counters import Counters

_V6_NETWORK_BYTES = 8  # a site, or a home, has as many addresses as it likes within its /64
_MAPPED = bytes(10) + b"\xff\xff"


class AddressLimit:
    """Counts connections by the address that they come from, an IPv6 address by its /64.

    Those of this machine (unix sockets, too) and of trusted proxies are not counted: behind these
    are many clients.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._most = 0
        self._is_trusted: Callable[[str], bool] = _nobody
        self._counts: Counter[str | bytes] = Counter()

    def adopt(self, most: int, is_trusted: Callable[[str], bool], peers: Iterable[str]) -> None:
        """Allow so many from now on, 0 for any number; `peers` are those who are connected."""
        self._most, self._is_trusted = most, is_trusted
        self._counts.clear()
        if most:
            self._counts.update(_key(peer) for peer in peers if self._counts_for(peer))

    def enter(self, peer: str) -> bool:
        """Count a connection of this address; False if there may be no more."""
        if self._most and self._counts_for(peer) and self._counts[_key(peer)] >= self._most:
            self._counters.limit_connections_per_address += 1
            return False
        self.move_in(peer)
        return True

    def move_in(self, peer: str) -> None:
        """Count a connection that has been let in elsewhere."""
        if self._most and self._counts_for(peer):
            self._counts[_key(peer)] += 1

    def leave(self, peer: str) -> None:
        """A connection of this address has ended."""
        if self._counts:
            key = _key(peer)
            if self._counts[key] > 1:
                self._counts[key] -= 1
            else:
                del self._counts[key]

    def _counts_for(self, peer: str) -> bool:
        is_local = not peer or peer.startswith("127.") or peer == "::1"
        return not is_local and not self._is_trusted(peer)


def _key(peer: str) -> str | bytes:
    if ":" not in peer:
        return peer
    address = socket.inet_pton(socket.AF_INET6, peer.partition("%")[0])
    if address.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, address[12:])
    return address[:_V6_NETWORK_BYTES]


def _nobody(_peer: str) -> bool:
    return False
