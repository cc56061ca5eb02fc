"""A client whose TLS is here, while another worker serves it: bytes go through as they come."""

import contextlib
import socket
from typing import TYPE_CHECKING

import trio

from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.net.client_socket import ClientSocket

if TYPE_CHECKING:
    from realtime_proxy.serving.http_connection import HttpConnection


class Tunnel:
    """Between a client's connection, which it holds, and a socket that another worker has.

    A side that does not take what the other sends is waited for, and the other is not read.
    """

    __slots__ = ("_connection", "_far")

    def __init__(self, connection: "HttpConnection", raw: socket.socket) -> None:
        self._connection = connection
        context = connection.context
        raw.setblocking(False)
        self._far = ClientSocket(raw, None, context.watcher, context.unsent)
        self._far.owner = self
        self._far.watch_input()
        connection.hold(self)
        connection.take_leftover()  # which was handed over with the request
        connection.take_input(self)

    @property
    def held_client(self) -> None:
        """It is the other worker that knows the client."""
        return

    def input_arrived(self, data: bytes) -> None:
        """Pass on what the client has sent."""
        self._far.write(data)
        if self._far.backlog_bytes:
            self._connection.stop_input()
            self._connection.context.crew.start(self._drain_far)

    async def _drain_far(self, _scope: trio.CancelScope) -> None:
        with contextlib.suppress(trio.BrokenResourceError):  # its end is reported elsewhere
            await self._far.send_all(b"")
            self._connection.take_input(self)

    def ready(self, _events: int) -> None:
        """Called by the watcher: the other worker has something for the client, or ends."""
        data = self._far.receive()
        if data:
            self._connection.socket.write(data)
            if self._connection.socket.backlog_bytes:
                self._far.watch_arrivals()
                self._connection.context.crew.start(self._drain_client)
        elif data is not None:
            self._far.close()
            self._connection.finish()

    async def _drain_client(self, _scope: trio.CancelScope) -> None:
        with contextlib.suppress(trio.BrokenResourceError):  # its end is reported elsewhere
            await self._connection.send(b"")
            self._far.watch_input()

    @property
    def reads_on(self) -> bool:
        """True while there is something to be read."""
        return bool(self._far.backlog_bytes)

    def let_go(self) -> bool:
        """Nothing: the other worker ends what it has."""
        return True

    def client_gone(self, _reason: CloseReason) -> None:
        """The client has left."""
        self._far.close()
