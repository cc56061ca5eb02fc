"""The sockets that clients may use, as configured."""

import contextlib
import socket

import attrs

from realtime_proxy.config.addresses import TcpAddress, parse_address, parse_tcp
from realtime_proxy.config.server_section import Server, Tls
from realtime_proxy.net.listeners import open_listeners


@attrs.frozen
class Listener:
    """One listening socket, with the settings of its certificates if it speaks TLS."""

    socket: socket.socket
    tls: Tls | None

    def __str__(self) -> str:
        name = self.socket.getsockname()
        return f"unix:{name}" if isinstance(name, str) else str(TcpAddress(name[0], name[1]))


def listeners_of_slots(server: Server, slots: int) -> list[list[Listener]]:
    """For each worker slot its sockets, one for every address. Raises ConfigError."""
    addresses = [(parse_address(text), None) for text in server.listen]
    secure = [(parse_tcp(tls.listen), tls) for tls in server.tls]
    with contextlib.ExitStack() as opened:
        per_address: list[list[Listener]] = []
        for address, tls in (*addresses, *secure):
            sockets = open_listeners(address, slots)
            for listening in sockets:
                opened.callback(listening.close)
            per_address.append([Listener(listening, tls) for listening in sockets])
        opened.pop_all()  # all of them could be had
    return [[listeners[slot] for listeners in per_address] for slot in range(slots)]
