"""The listening sockets of an instance: inherited where there are any for an address, else opened.

They come from a service manager or from the process that is replaced, and go to the one that
replaces this. Which is for what is told by the address alone.
"""

import socket
from collections.abc import Iterable

import structlog

from realtime_proxy.config.addresses import Address, UnixAddress
from realtime_proxy.net.listeners import open_listeners, tcp_name, unix_name

_ANY_V4, _ANY_V6 = "0.0.0.0", "::"  # noqa: S104

log = structlog.get_logger()


class ListeningSockets:
    """Where all of them are had from. Who has one closes it."""

    def __init__(self, inherited: Iterable[socket.socket] = ()) -> None:
        self._inherited = list(inherited)
        for one in self._inherited:
            one.setblocking(False)
        self._had: list[socket.socket] = []

    def open(self, address: Address, key_path: str) -> socket.socket:
        """The socket for an address. Raises ConfigError when it can't be had."""
        first, *others = self.open_several(address, 1, key_path)
        for other in others:
            self._had.remove(other)
            other.close()
        return first

    def open_several(self, address: Address, count: int, key_path: str) -> list[socket.socket]:
        """Sockets for an address: so many, one for all, or as many as were inherited.

        Raises ConfigError when it can't be had.
        """
        found = self._take_inherited(address) or open_listeners(address, count, key_path)
        self._had += dict.fromkeys(found)
        return found

    def _take_inherited(self, address: Address) -> list[socket.socket]:
        names = _names_of(address) if self._inherited else []
        for name in names:
            found = [one for one in self._inherited if _name(one) == name]
            if found:
                self._inherited = [one for one in self._inherited if one not in found]
                return found
        return []

    def all(self) -> list[socket.socket]:
        """Those that are open."""
        return [one for one in self._had if one.fileno() >= 0]

    def close_rest(self) -> None:
        """Close what was inherited for addresses that nobody asked for."""
        for one in self._inherited:
            log.warning("inherited socket is not used", address=str(_name(one)))
            one.close()
        self._inherited = []


def is_listening(one: socket.socket) -> bool:
    """True for a stream socket that takes connections."""
    return (
        one.type == socket.SOCK_STREAM
        and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) != 0
    )


def _name(one: socket.socket) -> object:
    name = one.getsockname()
    if isinstance(name, tuple):
        return name[:2]
    return name.decode() if isinstance(name, bytes) else name


def _names_of(address: Address) -> list[object]:
    """The names that a socket for an address may have, the best first."""
    if isinstance(address, UnixAddress):
        return [unix_name(address)]
    try:
        _, (host, port, *_) = tcp_name(address)
    except OSError:  # nobody has it
        return []
    # One for all of IPv6 mostly takes IPv4, too: service managers open no other.
    return [(host, port), (_ANY_V6, port)] if host == _ANY_V4 else [(host, port)]
