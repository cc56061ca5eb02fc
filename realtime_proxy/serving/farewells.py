"""Telling backends of clients that have left.

When many leave at once, each telling in a task and on a connection of its own would take more than
all that the clients did. So a few tasks tell of one after another.
"""

from collections import deque
from collections.abc import Awaitable, Callable

import trio

from realtime_proxy.net.crew import Crew

Farewell = Callable[[], Awaitable[None]]

MAX_AT_ONCE = 64


class Farewells:
    """Has farewells said soon, in their order, so many at once. They must not raise."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._waiting: deque[Farewell] = deque()
        self._at_once = 0

    def say(self, farewell: Farewell) -> None:
        """Have it said; never waits."""
        self._waiting.append(farewell)
        if self._at_once < MAX_AT_ONCE:
            self._at_once += 1
            self._crew.start(self._work)

    async def _work(self, _scope: trio.CancelScope) -> None:
        try:
            while self._waiting:
                await self._waiting.popleft()()
        finally:
            self._at_once -= 1
