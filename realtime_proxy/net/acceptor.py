"""Accepting clients without a task for each, as long as there is room for more."""

import contextlib
import errno
import itertools
import socket
from collections.abc import Callable

import attrs
import structlog
import trio

from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net.descriptors import OUT_OF_RESOURCES, Descriptors

# Accepting fails for these when the client, or the way to it, has gone already: take the next.
_CLIENT_GONE = frozenset(
    (
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENONET,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EPROTO,
    )
)
# A flood of new clients must not keep the others waiting.
_ACCEPTED_AT_ONCE = 64
# Full once more is worth another line only if this share of the places was free meanwhile.
_FREE_SHARE = 20

log = structlog.get_logger()


class Room:
    """How many connections there may be; those who come later wait to be accepted."""

    def __init__(self, size: int, counters: Counters) -> None:
        self._size = self._places = size
        self._counters = counters
        self._was_told = False
        self._lot = trio.lowlevel.ParkingLot()

    def resize(self, size: int) -> None:
        """Have room for so many from now on; whoever is in stays."""
        self._places += size - self._size
        self._size = size
        self._lot.unpark_all()

    def enter(self) -> None:
        """One more connection."""
        self._places -= 1

    def leave(self) -> None:
        """One connection less."""
        self._places += 1
        if self._lot:  # the first in line may be a listener to which nobody wants to come
            self._lot.unpark_all()

    async def wait(self) -> None:
        """Wait until there is a place."""
        if self._places <= 0:
            self._counters.limit_connections += 1
            self._tell()
        while self._places <= 0:
            await self._lot.park()

    def _tell(self) -> None:
        if not self._was_told:
            log.warning("max_connections is reached: new clients wait", connections=self._size)
            self._was_told = True

    def settle(self) -> None:
        """Called now and then: there may be reason again to tell that there is no room."""
        if self._places > self._size // _FREE_SHARE:
            self._was_told = False


@attrs.frozen
class Entrance:
    """What decides whether one more client comes in, the same for all listeners of a worker."""

    room: Room
    descriptors: Descriptors


class Acceptor:
    """Accepts connections of one listener, which are given to `take` with the client's address."""

    def __init__(
        self,
        listener: socket.socket,
        take: Callable[[socket.socket, str], None],
        entrance: Entrance,
    ) -> None:
        self._listener = listener
        self._take = take
        self._entrance = entrance
        self._is_ending = False

    def end(self) -> None:
        """Accept those who wait already, and nobody after them."""
        self._is_ending = True
        trio.lowlevel.notify_closing(self._listener)  # wakes whoever waits for it

    async def run(self) -> None:
        """Accept until it is to end, or cancelled; then close the listener."""
        room, descriptors = self._entrance.room, self._entrance.descriptors
        with self._listener:
            for count in itertools.count():
                await room.wait()
                await descriptors.wait()
                if count % _ACCEPTED_AT_ONCE == 0:
                    await trio.lowlevel.checkpoint()
                try:
                    raw, address = self._listener.accept()
                except BlockingIOError:
                    if self._is_ending:
                        return
                    with contextlib.suppress(trio.ClosedResourceError):  # it is to end
                        await trio.lowlevel.wait_readable(self._listener)
                except OSError as error:
                    if error.errno in OUT_OF_RESOURCES:
                        descriptors.ran_out(error.strerror or str(error))
                    elif error.errno not in _CLIENT_GONE:
                        raise
                else:
                    descriptors.opened(raw.fileno())
                    self._accepted(raw, address)

    def _accepted(self, raw: socket.socket, address: object) -> None:
        raw.setblocking(False)
        peer = str(address[0]) if isinstance(address, tuple) else ""
        if "." in peer:  # at a socket for both versions, that of a service manager for one
            peer = peer.removeprefix("::ffff:")
        self._entrance.room.enter()
        self._take(raw, peer)
