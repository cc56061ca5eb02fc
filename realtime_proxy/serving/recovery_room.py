"""The room through which all requests go that no client waits for at its door.

When a backend restarts or a channel loses an item, thousands of holds want to ask at once. They go
in turns, and only so many are under way. Deliveries never pass here.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from realtime_proxy.net.timers import Timers
from realtime_proxy.serving.paced_line import PacedLine

# Together Pushpin's pace: at most 100 every 100 ms (grip.md G-7.18).
PERIOD_SECONDS = 0.1
MAX_URGENT = 50
MAX_OTHERS = 50
# A backend that does not answer must not get ever more requests.
MAX_IN_FLIGHT = 200


class RecoveryRoom:
    """Lets requests go in turns: urgent ones at once while there are few, others a little later."""

    def __init__(self, timers: Timers) -> None:
        self._urgent = PacedLine(timers, MAX_URGENT, PERIOD_SECONDS)
        self._others = PacedLine(timers, MAX_OTHERS, PERIOD_SECONDS)
        self._in_flight = trio.CapacityLimiter(MAX_IN_FLIGHT)

    @asynccontextmanager
    async def turn(self, key: str, *, urgent: bool) -> AsyncIterator[None]:
        """Within this block a request may be sent and its answer waited for.

        Those of a `key` wait in line; the lines are served in turn.
        """
        if urgent:
            await self._urgent.turn(key)
        else:
            await self._others.later(key)
        async with self._in_flight:
            yield
