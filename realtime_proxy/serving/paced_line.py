"""Waiting in line: tasks that may go on at a limited pace, in turn over their keys."""

import trio

from realtime_proxy.net.timers import TICK_SECONDS, Timers
from realtime_proxy.sessions.turns import Turns


class PacedLine:
    """Lets at most `count` go on in any period."""

    def __init__(self, timers: Timers, count: int, period_seconds: float) -> None:
        self._timers = timers
        self._turns = Turns[trio.Event](count, period_seconds)
        self._has_timer = False

    async def turn(self, key: str) -> None:
        """Come back when it is the turn of one with this key."""
        if not self._turns.take(self._timers.now()):
            await self.later(key)

    async def later(self, key: str) -> None:
        """Come back as above, but not at once: who comes meanwhile may have joined."""
        turn = trio.Event()
        self._turns.wait(key, turn)
        self._set_timer()
        try:
            await turn.wait()
        finally:
            self._turns.leave(key, turn)

    def _set_timer(self) -> None:
        seconds = self._turns.seconds_left(self._timers.now())
        if seconds is not None and not self._has_timer:
            self._has_timer = True
            # Never within the tick that is served, which would not end.
            self._timers.after(max(seconds, TICK_SECONDS), self._period_begins)

    def _period_begins(self) -> None:
        self._has_timer = False
        for turn in self._turns.due(self._timers.now()):
            turn.set()
        self._set_timer()
