"""The sockets that clients may use, as configured."""

import contextlib
import socket

import attrs

from realtime_proxy.config.addresses import ListenerAddress, TcpAddress, parse_listener, parse_tcp
from realtime_proxy.config.server_section import Server, Tls
from realtime_proxy.net.listening_sockets import ListeningSockets


@attrs.frozen
class Listener:
    """One listening socket, with the settings of its certificates if it speaks TLS.

    `proxy_protocol` says of one without TLS that connections begin with a PROXY header.
    """

    socket: socket.socket
    tls: Tls | None = None
    proxy_protocol: bool = False

    def __str__(self) -> str:
        name = self.socket.getsockname()
        return f"unix:{name}" if isinstance(name, str) else str(TcpAddress(name[0], name[1]))


def listeners_of_slots(
    server: Server, slots: int, sockets: ListeningSockets | None = None
) -> list[list[Listener]]:
    """For each worker slot its sockets: one for every address, or if they were inherited its share.

    Raises ConfigError.
    """
    had = sockets or ListeningSockets()
    plain = [(parse_listener(text), None) for text in server.listen]
    secure = [(ListenerAddress(parse_tcp(tls.listen)), tls) for tls in server.tls]
    with contextlib.ExitStack() as opened:
        per_address: list[list[Listener]] = []
        for where, tls in (*plain, *secure):
            found = had.open_several(where.address, slots, "server.listen")
            for listening in found:
                opened.callback(listening.close)
            per_address.append([Listener(one, tls, where.proxy_protocol) for one in found])
        opened.pop_all()  # all of them could be had
    return [
        [listener for listeners in per_address for listener in _share(listeners, slot, slots)]
        for slot in range(slots)
    ]


def _share(listeners: list[Listener], slot: int, slots: int) -> list[Listener]:
    """What a slot serves of an address: nothing may be left out, as clients wait at each.

    With fewer sockets than slots some share one.
    """
    return listeners[slot::slots] or [listeners[slot % len(listeners)]]
