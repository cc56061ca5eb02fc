"""What is done with a connection after the last response on it."""

from collections.abc import Callable

from realtime_proxy.net.client_socket import ClientSocket
from realtime_proxy.net.timers import Timers

# So long is waited for the client to close (RFC 9112 9.6); one that is still sending gets more
# time, as its response would be lost with a reset.
LINGER_SECONDS = 2.0
MAX_LINGER_SECONDS = 30.0


class Lingering:
    """Skips what a client still sends, and calls back when it has closed or takes too long."""

    __slots__ = ("_over", "_socket", "_timer", "_timers", "_until")

    def __init__(self, socket: ClientSocket, timers: Timers, over: Callable[[], None]) -> None:
        self._socket = socket
        self._timers = timers
        self._over = over
        self._until = timers.now() + MAX_LINGER_SECONDS
        self._timer = timers.after(LINGER_SECONDS, over)
        socket.owner = self
        socket.end_output()
        socket.watch_input()

    def ready(self, _events: int) -> None:
        """Called by the watcher."""
        data = self._socket.receive()
        if data == b"":
            self._over()
        elif data:
            self._timer.cancel()
            left = min(LINGER_SECONDS, self._until - self._timers.now())
            self._timer = self._timers.after(max(0.0, left), self._over)

    def cancel(self) -> None:
        """Never call back."""
        self._timer.cancel()
