"""The one ordered door through which every published item goes, whatever way it came."""

import logging
from collections.abc import Callable, Iterable

import structlog
import trio

from realtime_proxy.channels.fanout import fan_out
from realtime_proxy.channels.registry import Registry
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import Item
from realtime_proxy.net.timers import Timers

log = structlog.get_logger()


class Intake:
    """Takes items in the order in which they come, and has one task deliver them in that order."""

    def __init__(self, registry: Registry, timers: Timers, counters: Counters) -> None:
        self._registry = registry
        self._timers = timers
        self._counters = counters
        self._pending: list[Item] = []
        self._done: list[Callable[[], None]] = []
        self._lot = trio.lowlevel.ParkingLot()
        self._logs_items = log.is_enabled_for(logging.DEBUG)

    def submit(self, items: Iterable[Item], done: Callable[[], None] | None = None) -> int:
        """Put items in line; how many subscribers they are for, at this moment.

        `done` is called when they are delivered.
        """
        matched = 0
        for item in items:
            receivers = self._registry.count(item)
            self._counters.items_published += 1
            if receivers:
                matched += receivers
                self._pending.append(item)
            if self._logs_items:
                log.debug("publish", channel=item.channel, receivers=receivers)
        if matched:
            self._lot.unpark()
        if done is not None:
            if matched:
                self._done.append(done)
            else:
                done()
        return matched

    async def count(self, items: Iterable[Item]) -> int:
        """How many subscribers items have, at this moment."""
        return sum(self._registry.count(item) for item in items)

    async def run(self) -> None:
        """Deliver for as long as the worker lives, letting others run between slices."""
        while True:
            if not self._pending:
                await self._lot.park()
            items, self._pending = self._pending, []
            tell, self._done = self._done, []
            await self._deliver(items)
            for done in tell:
                done()

    async def _deliver(self, items: list[Item]) -> None:
        try:
            for _ in fan_out(self._registry, items, self._timers.now()):
                await trio.lowlevel.checkpoint()
        except Exception:
            # A defect met on one item must not end publishing.
            log.exception("delivery failed", items=len(items))
        await trio.lowlevel.checkpoint()
