"""When streams look at their next links: those with the same link do it together.

So one request serves them all, as long as they are at the same place.
"""

from typing import Protocol

import structlog

from realtime_proxy.net.timers import TICK_SECONDS, Timer, Timers

# So many at a time: each starts a task, and deliveries have their turn in between.
SLICE = 100

log = structlog.get_logger()

_Key = tuple[int, str]


class LinkWaiter(Protocol):
    """Who is to look at a link."""

    def link_due(self) -> None:
        """The time of its link has passed."""


class SharedTimer:
    """One deadline, and all who wait for it."""

    __slots__ = ("key", "timer", "waiters")

    def __init__(self, key: _Key, timer: Timer) -> None:
        self.key = key
        self.timer = timer
        self.waiters: dict[LinkWaiter, None] = {}


class LinkTimers:
    """The deadlines of a worker's links."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._shared: dict[_Key, SharedTimer] = {}

    def join(self, uri: str, timeout_seconds: int, waiter: LinkWaiter) -> SharedTimer:
        """Wait for the time of a link; keep the result to leave.

        Whoever comes first has begun it: others are called early rather than apart (G-7.16).
        """
        key = (timeout_seconds, uri.partition("?")[0])
        shared = self._shared.get(key)
        if shared is None:
            # Never within the tick that is served: a link without a pause would not let it end.
            seconds = max(timeout_seconds, TICK_SECONDS)
            timer = self._timers.after(seconds, lambda: self._due(key))
            shared = self._shared[key] = SharedTimer(key, timer)
        shared.waiters[waiter] = None
        return shared

    def leave(self, shared: SharedTimer, waiter: LinkWaiter) -> None:
        """Don't call somebody. Safe after the deadline."""
        shared.waiters.pop(waiter, None)
        if not shared.waiters and self._shared.get(shared.key) is shared:
            del self._shared[shared.key]
            shared.timer.cancel()

    def _due(self, key: _Key) -> None:
        self._call(self._shared.pop(key))

    def _call(self, shared: SharedTimer) -> None:
        for waiter in list(shared.waiters)[:SLICE]:
            del shared.waiters[waiter]
            try:
                waiter.link_due()
            except Exception:
                # A defect behind one stream must not keep others from their links.
                log.exception("link failed")
        if shared.waiters:
            shared.timer = self._timers.after(TICK_SECONDS, lambda: self._call(shared))
