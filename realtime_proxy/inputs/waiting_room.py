"""How much may be in line for delivery; whoever publishes more has to wait."""

import structlog
import trio

from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import Item

# An item takes about so much memory beside its contents.
ITEM_BYTES = 500

log = structlog.get_logger()


class WaitingRoom:
    """Counts the bytes that are in line.

    Publishers wait once there are `max_bytes`, until half of them are gone: what waits together is
    delivered together, which is cheaper.
    """

    def __init__(self, max_bytes: int, counters: Counters) -> None:
        self.max_bytes = max_bytes
        self.waiting_bytes = 0
        self._is_full = False
        self._counters = counters
        self._lot = trio.lowlevel.ParkingLot()

    def enter(self, size: int) -> None:
        """So many bytes more are in line: what is there already is never refused."""
        self.waiting_bytes += size
        if self.waiting_bytes >= self.max_bytes and not self._is_full:
            self._is_full = True
            self._counters.limit_queued_bytes += 1
            log.warning("publishers wait: max_queued_bytes are in line")

    def leave(self, size: int) -> None:
        """So many are delivered."""
        self.waiting_bytes -= size
        if self._is_full and self.waiting_bytes <= self.max_bytes // 2:
            self.open()

    def open(self) -> None:
        """Let publishers go on."""
        self._is_full = False
        self._lot.unpark_all()

    async def wait(self) -> None:
        """Wait until there is room."""
        while self._is_full:
            await self._lot.park()


def size_of(item: Item) -> int:
    """What an item takes up in line."""
    size = ITEM_BYTES
    if item.http_stream is not None:
        size += len(item.http_stream.content)
    if item.ws_message is not None:
        size += len(item.ws_message.content)
    if item.http_response is not None:
        size += len(item.http_response.body)
    return size
