"""What waits for slow clients, all together: bounded in bytes, for each and over all, and in time.

A connection is known here only while something waits for it, so that others cost nothing.
"""

from typing import Protocol

from realtime_proxy.metrics.counters import Counters

# Once the bound over all is reached, so much of it is made free at once.
_FREED_SHARE = 10


class Backlogged(Protocol):
    """A connection for which something waits."""

    @property
    def backlog_bytes(self) -> int:
        """How much waits to be sent."""

    def has_moved(self) -> bool:
        """True if anything was taken since this was last asked."""

    def cut(self, limit: str) -> None:
        """Give the client up, because of a limit."""


class Backlogs:
    """The limits of what may wait, and those for whom something does.

    `max_bytes` for each, `max_total_bytes` for all together (0: any number), `max_seconds`: so
    long one may take nothing. `look` has to be called about once a second.
    """

    def __init__(self, counters: Counters) -> None:
        self.max_bytes = 0
        self.max_total_bytes = 0
        self.max_seconds = 0.0
        self.total_bytes = 0
        self._counters = counters
        self._still_since: dict[Backlogged, float | None] = {}

    def __len__(self) -> int:
        return len(self._still_since)

    def begin(self, backlogged: Backlogged) -> None:
        """Something waits."""
        self._still_since[backlogged] = None

    def end(self, backlogged: Backlogged, left_bytes: int) -> None:
        """Nothing waits any more; so much of it was never taken."""
        self.total_bytes -= left_bytes
        self._still_since.pop(backlogged, None)

    def grown(self, backlogged: Backlogged, size: int, *, is_first: bool) -> None:
        """So many bytes more wait. Somebody may be cut; the first that waits may have any size."""
        self.total_bytes += size
        if backlogged.backlog_bytes > self.max_bytes and not is_first:
            self._cut(backlogged, "max_backlog_bytes")
        elif self.max_total_bytes and self.total_bytes > self.max_total_bytes:
            self._relieve()

    def look(self, now: float) -> None:
        """Cut those who have taken nothing for too long."""
        for backlogged, since in list(self._still_since.items()):
            if since is None or backlogged.has_moved():
                self._still_since[backlogged] = now
            elif now - since >= self.max_seconds:
                self._cut(backlogged, "max_backlog_seconds")

    def _relieve(self) -> None:
        """Cut those first who owe most, until there is some room."""
        enough = self.max_total_bytes - self.max_total_bytes // _FREED_SHARE
        for backlogged in sorted(self._still_since, key=_size, reverse=True):
            if self.total_bytes <= enough:
                break
            self._cut(backlogged, "max_total_backlog_bytes")

    def _cut(self, backlogged: Backlogged, limit: str) -> None:
        counters = self._counters
        counters.backlog_bytes_dropped += backlogged.backlog_bytes
        match limit:
            case "max_backlog_bytes":
                counters.limit_backlog_bytes += 1
            case "max_backlog_seconds":
                counters.limit_backlog_seconds += 1
            case _:
                counters.limit_total_backlog_bytes += 1
        backlogged.cut(limit)


def _size(backlogged: Backlogged) -> int:
    return backlogged.backlog_bytes
