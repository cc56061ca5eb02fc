"""Telling backends of clients that have left.

When many leave at once, each telling in a task and on a connection of its own would take more than
all that the clients did. So a few tasks tell of one after another.
"""

from collections import deque
from collections.abc import Awaitable, Callable

import structlog
import trio

from realtime_proxy.net.crew import Crew

Farewell = Callable[[], Awaitable[None]]

MAX_AT_ONCE = 64
# A backend that does not answer must not have ever more of those kept who have left.
MAX_WAITING = 20_000

log = structlog.get_logger()


class Farewells:
    """Has farewells said soon, in their order, so many at once. They must not raise.

    What comes while too many wait is not said.
    """

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._waiting: deque[Farewell] = deque()
        self._at_once = 0
        self._unsaid = 0  # since they became too many

    def say(self, farewell: Farewell) -> bool:
        """Have it said; never waits. False if it will not be."""
        if len(self._waiting) >= MAX_WAITING:
            self._leave_out()
            return False
        self._waiting.append(farewell)
        if self._at_once < MAX_AT_ONCE:
            self._at_once += 1
            self._crew.start(self._work)
        return True

    def _leave_out(self) -> None:
        if not self._unsaid:
            log.error("backends are too slow to be told of all who leave", waiting=MAX_WAITING)
        self._unsaid += 1

    async def _work(self, _scope: trio.CancelScope) -> None:
        try:
            while self._waiting:
                await self._waiting.popleft()()
            if self._unsaid:
                log.error("backends were not told of some who left", clients=self._unsaid)
                self._unsaid = 0
        finally:
            self._at_once -= 1
