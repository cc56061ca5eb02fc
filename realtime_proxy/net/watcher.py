"""The room where quiet connections wait, without a task each (`docs/decisions/0002`).

One private epoll set holds the descriptors of all client connections; one task waits for the set
itself and calls each connection that has something to say. A trio task for every idle client would
cost about twenty times the memory. The rest of the house sees only `ready()` being called.
"""

import math
import select
import time
from collections.abc import Iterator
from typing import Protocol

import structlog
import trio

READ = select.EPOLLIN | select.EPOLLRDHUP
WRITE = select.EPOLLOUT
EDGE = select.EPOLLET  # told when something arrives, not for as long as it is there
LOST = select.EPOLLHUP | select.EPOLLERR
HUNG_UP = select.EPOLLRDHUP | LOST
_MAX_EVENTS = 256
# What happens within so short a time can't be told apart from what happens a moment later.
_JUST_NOW_SECONDS = 0.02

log = structlog.get_logger()


class Watched(Protocol):
    """A connection that waits here."""

    def ready(self, events: int) -> None:
        """Called with the epoll events that happened. Must not wait."""


class Watcher:
    """Calls `ready` of the watched when their descriptors have events.

    A descriptor is forgotten before it is closed, so a new connection that gets the same number is
    never mistaken for the old one: events are looked up when they are handed out, and nothing is
    accepted meanwhile.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        # By descriptor, which are small numbers: a table of them would take ten times as much.
        self._watched: list[Watched | None] = []
        self._looked_at = -math.inf

    def __len__(self) -> int:
        return len(self._watched) - self._watched.count(None)

    def add(self, fd: int, watched: Watched, events: int) -> None:
        """Begin to watch a descriptor."""
        if fd >= len(self._watched):
            self._watched.extend([None] * (fd + 1 - len(self._watched)))
        self._watched[fd] = watched
        self._epoll.register(fd, events)

    def watched(self, after: int = -1) -> Iterator[tuple[int, Watched]]:
        """All that wait here, by descriptors above `after`, in order.

        Who comes or goes meanwhile may be in it or not.
        """
        for fd in range(after + 1, len(self._watched)):
            watched = self._watched[fd]
            if watched is not None:
                yield fd, watched

    def change(self, fd: int, events: int) -> None:
        """Watch for these events from now on; what is there already is told at once."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Stop watching; must come before the descriptor is closed."""
        if fd < len(self._watched) and self._watched[fd] is not None:
            self._watched[fd] = None
            self._epoll.unregister(fd)

    @property
    def is_up_to_date(self) -> bool:
        """True if everything has been told that happened before just now.

        Not so if there was more than could be told at once, or if others have worked for a while
        since the last look.
        """
        return time.monotonic() - self._looked_at < _JUST_NOW_SECONDS

    async def run(self) -> None:
        """Hand out events for as long as the worker lives."""
        fd = self._epoll.fileno()
        while True:
            await trio.lowlevel.wait_readable(fd)
            happened = self._epoll.poll(0, _MAX_EVENTS)
            self._looked_at = time.monotonic() if len(happened) < _MAX_EVENTS else -math.inf
            for ready_fd, events in happened:
                watched = self._watched[ready_fd]
                if watched is None:
                    continue
                try:
                    watched.ready(events)
                except Exception:
                    # One connection's defect must not end the watching of all others.
                    log.exception("connection failed while handling an event")

    def close(self) -> None:
        """Give the epoll set back."""
        self._epoll.close()
