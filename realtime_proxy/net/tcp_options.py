"""What the kernel keeps and does for a client's TCP connection."""

import socket

import attrs

# Of a peer that does not answer: so many probes, and so much time between two of them.
_PROBES = 4
_MOST_SECONDS = 32_767  # that the kernel takes


@attrs.frozen
class TcpOptions:
    """Options of listeners. On Linux every accepted connection begins with those of its listener.

    `unsent_bytes`: so much may wait in the kernel before it is sent, 0 for what fits its buffer.
    `send_buffer_bytes`: the size of that, 0 for one that grows as the kernel sees fit.
    `keepalive_seconds`: silence after which the kernel asks whether the peer is there, 0 for never.
    `give_up_seconds`: so long a peer may acknowledge nothing, or take nothing.
    """

    unsent_bytes: int
    send_buffer_bytes: int
    keepalive_seconds: float
    give_up_seconds: float

    def apply(self, listener: socket.socket) -> None:
        """Have them for who connects from now on: nobody, if it is closed before a stop.

        Other sockets than those of TCP have none.
        """
        if listener.family == socket.AF_UNIX or listener.fileno() < 0:
            return
        self._set(listener, socket.TCP_NODELAY, 1)
        self._set(listener, socket.TCP_NOTSENT_LOWAT, self.unsent_bytes)
        self._set(listener, socket.TCP_USER_TIMEOUT, int(self.give_up_seconds * 1_000))
        if self.send_buffer_bytes:
            size = self.send_buffer_bytes // 2  # the kernel takes twice as much, with its own part
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, self.keepalive_seconds > 0)
        if self.keepalive_seconds:
            idle = max(1, min(_MOST_SECONDS, int(self.keepalive_seconds)))
            self._set(listener, socket.TCP_KEEPIDLE, idle)
            self._set(listener, socket.TCP_KEEPINTVL, max(1, idle // _PROBES))
            self._set(listener, socket.TCP_KEEPCNT, _PROBES)

    def _set(self, listener: socket.socket, option: int, value: int) -> None:
        listener.setsockopt(socket.IPPROTO_TCP, option, value)
