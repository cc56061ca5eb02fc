"""Every deadline of the worker, served by one task: no cancel scope or task per timer.

Deadlines are rounded up to ticks, and the timers of a tick lie in one dictionary, which takes half
of what a set would. Setting and cancelling cost a look-up each, which matters because nearly all
deadlines are cancelled.
"""

import heapq
import math
from collections.abc import Callable
from types import MethodType

import structlog
import trio

TICK_SECONDS = 0.05
# Ticks that are kept before it is looked which of them have no timers left.
_FEW_TICKS = 1_000
# What is put off again and again is set so much further each time, as a share, and then stays.
_SPARE = 1 / 16

log = structlog.get_logger()


class _Bucket(dict["Timer", None]):
    """The timers of one tick, in the order in which they were set."""

    __slots__ = ("due_at",)

    def __init__(self, due_at: float) -> None:
        super().__init__()
        self.due_at = due_at


class Timer:
    """A deadline that was set; `cancel` makes it never happen."""

    __slots__ = ("_act", "_bucket", "_owner")

    def __init__(self, bucket: _Bucket, callback: Callable[[], None]) -> None:
        self._bucket = bucket
        # Nearly all are methods, and of a method its two parts take less than itself.
        self._act: Callable[..., None] = callback
        self._owner: object = None
        if type(callback) is MethodType:
            self._act, self._owner = callback.__func__, callback.__self__

    def is_due_within(self, earliest: float, latest: float) -> bool:
        """True if it is still to call back, and will between these moments."""
        return earliest <= self._bucket.due_at <= latest and self in self._bucket

    def cancel(self) -> None:
        """Never call back. Safe after it has happened."""
        self._bucket.pop(self, None)

    def fire(self) -> None:
        """Call back; for the wheel only."""
        if self._owner is None:
            self._act()
        else:
            self._act(self._owner)


class Timers:
    """The wheel: `after(seconds, callback)` sets a deadline, `run` serves them.

    `now()` is the time by the clock that they use.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """The clock is that of the event loop unless another is given."""
        self._has_clock = clock is not None
        self.now = clock or trio.current_time
        self._buckets: dict[int, _Bucket] = {}
        self._ticks: list[int] = []
        self._most_ticks = _FEW_TICKS
        self._sleep = trio.CancelScope()

    def __len__(self) -> int:
        """How many ticks are kept, with timers or without."""
        return len(self._ticks)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back once, `seconds` from now, at most one tick late."""
        tick = math.ceil((self.now() + seconds) / TICK_SECONDS)
        bucket = self._buckets.get(tick)
        if bucket is None:
            if len(self._ticks) >= self._most_ticks:
                self._drop_empty()
            bucket = self._buckets[tick] = _Bucket(tick * TICK_SECONDS)
            heapq.heappush(self._ticks, tick)
            if self._ticks[0] == tick:
                self._sleep.deadline = tick * TICK_SECONDS
        timer = Timer(bucket, callback)
        bucket[timer] = None
        return timer

    def put_off(self, timer: Timer | None, seconds: float, callback: Callable[[], None]) -> Timer:
        """As `after`, but up to a sixteenth later: for what is put off again and again.

        `timer` is what it gave before, which mostly still does, or None.
        """
        if timer is not None:
            earliest = self.now() + seconds
            if timer.is_due_within(earliest, earliest + seconds * _SPARE + TICK_SECONDS):
                return timer
            timer.cancel()
        return self.after(seconds * (1 + _SPARE), callback)

    def _drop_empty(self) -> None:
        """Forget the ticks all of whose timers were cancelled: they may be far away, and many."""
        self._buckets = {tick: bucket for tick, bucket in self._buckets.items() if bucket}
        self._ticks = sorted(self._buckets)
        self._most_ticks = max(_FEW_TICKS, 2 * len(self._ticks))

    async def run(self) -> None:
        """Call back at each deadline for as long as the worker lives."""
        if not self._has_clock:
            # Found once: looking for the loop each time costs as much as three looks at its clock,
            # and every request takes the time about ten times.
            self.now = trio.lowlevel.current_clock().current_time
        while True:
            next_at = self._ticks[0] * TICK_SECONDS if self._ticks else math.inf
            self._sleep = trio.CancelScope(deadline=next_at)
            with self._sleep:
                await trio.sleep_forever()
            self._fire_due()

    def _fire_due(self) -> None:
        due = math.floor(self.now() / TICK_SECONDS + 1e-6)
        while self._ticks and self._ticks[0] <= due:
            bucket = self._buckets.pop(heapq.heappop(self._ticks))
            while bucket:
                timer, _ = bucket.popitem()
                try:
                    timer.fire()
                except Exception:
                    # A defect behind one deadline must not stop the clock for all others.
                    log.exception("timer callback failed")
