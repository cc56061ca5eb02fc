"""Who may start now: a limited number in each period, and in turn where more want to."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Waiter = TypeVar("Waiter")


class Turns(Generic[Waiter]):
    """At most `count` starts in any period. Those who wait are taken in turn over their keys.

    Moments are seconds of any one clock.
    """

    __slots__ = ("_began_at", "_count", "_lines", "_period_seconds", "_started")

    def __init__(self, count: int, period_seconds: float) -> None:
        self._count = count
        self._period_seconds = period_seconds
        self._began_at = float("-inf")
        self._started = 0
        self._lines: OrderedDict[str, deque[Waiter]] = OrderedDict()

    def take(self, now: float) -> bool:
        """True if one may start at once; it must wait if others do, or if enough have started."""
        self._begin_period(now)
        if self._lines or self._started >= self._count:
            return False
        self._started += 1
        return True

    def wait(self, key: str, waiter: Waiter) -> None:
        """Have a waiter take its turn among those of its key."""
        self._lines.setdefault(key, deque()).append(waiter)

    def leave(self, key: str, waiter: Waiter) -> None:
        """Wait no more. Safe for one whose turn has come."""
        line = self._lines.get(key)
        if line is not None and waiter in line:
            line.remove(waiter)
            if not line:
                del self._lines[key]

    def due(self, now: float) -> list[Waiter]:
        """Those whose turn has come."""
        self._begin_period(now)
        started: list[Waiter] = []
        while self._lines and self._started < self._count:
            key, line = self._lines.popitem(last=False)
            started.append(line.popleft())
            self._started += 1
            if line:
                self._lines[key] = line
        return started

    def seconds_left(self, now: float) -> float | None:
        """How long until more are due; None if nobody waits."""
        if not self._lines:
            return None
        return max(0.0, self._began_at + self._period_seconds - now)

    def _begin_period(self, now: float) -> None:
        if now >= self._began_at + self._period_seconds:
            self._began_at = now
            self._started = 0
