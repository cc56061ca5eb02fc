"""Leave to deliver, where the rate is limited: given out in one place, for all processes."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

import trio

from realtime_proxy.channels.limits import TokenBucket
from realtime_proxy.net.timers import Timers

# Deliveries that a worker asks for at least, in seconds of the rate: a question for each slice
# would be too many. What it has left over is nobody's for as long.
_STOCK_SECONDS = 0.05


class Tokens(Protocol):
    """Where deliveries get leave."""

    async def take(self, count: int) -> bool:
        """Wait until so many may be delivered; True if there was a need to wait for the rate."""


class TokenDesk:
    """Gives leave to those who ask, in turn."""

    def __init__(self, per_second: float, timers: Timers) -> None:
        self._bucket = TokenBucket(per_second, timers.now())
        self._timers = timers
        self._line: deque[tuple[int, Callable[[], None]]] = deque()
        self._is_waiting = False

    def ask(self, count: int, give: Callable[[], None]) -> None:
        """Call `give` once so many may be delivered: now, or later."""
        self._line.append((count, give))
        if not self._is_waiting:
            self._serve()

    def _serve(self) -> None:
        self._is_waiting = False
        while self._line:
            now = self._timers.now()
            if seconds := self._bucket.seconds_to_wait(now):
                self._is_waiting = True
                self._timers.after(seconds, self._serve)
                return
            count, give = self._line.popleft()
            self._bucket.take(count, now)
            give()


class OwnTokens:
    """Those of the only process."""

    def __init__(self, desk: TokenDesk) -> None:
        self._desk = desk

    async def take(self, count: int) -> bool:
        """Wait until so many may be delivered; True if there was a need to wait for the rate."""
        given = trio.Event()
        self._desk.ask(count, given.set)
        waits = not given.is_set()
        await given.wait()
        return waits


class SharedTokens:
    """Those of a worker, which it has from the desk of the supervisor, a few at a time.

    `ask` sends for so many, and `given` is called when they are here.
    """

    def __init__(self, per_second: float, ask: Callable[[int], None]) -> None:
        self._fewest = max(1, int(per_second * _STOCK_SECONDS))
        self._ask = ask
        self._stock = 0
        self._more = trio.Event()

    def given(self, count: int) -> None:
        """Some have come."""
        self._stock += count
        self._more.set()

    async def take(self, count: int) -> bool:
        """Wait until so many may be delivered; True if they had to be sent for."""
        if count <= self._stock:
            self._stock -= count
            await trio.lowlevel.checkpoint()
            return False
        self._more = trio.Event()
        self._ask(max(self._fewest, count - self._stock))
        await self._more.wait()
        self._stock -= count
        return True
