"""What happens to items before they are delivered: repeated ones are dropped, the rest is ordered.

There is one of these, in front of the intake of the only process or of the links to several. Items
that nobody is there for, which may be most, are done with here.
"""

import logging
from collections.abc import Callable, Iterable, Sequence

import structlog

from realtime_proxy.channels.recent_ids import RecentIds
from realtime_proxy.channels.sequencer import Sequencer
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import Item, Publication

_NONE: tuple[Item, ...] = ()

log = structlog.get_logger()


class Ordering:
    """Admits items (grip.md G-8.5, G-8.6). `is_held` tells which channels are listened to."""

    def __init__(
        self,
        recent_ids: RecentIds,
        sequencer: Sequencer,
        counters: Counters,
        is_held: Callable[[str], bool],
    ) -> None:
        self._recent_ids = recent_ids
        self._sequencer = sequencer
        self._counters = counters
        self._is_held = is_held

    @property
    def has_waiting(self) -> bool:
        """True if any item waits for another: `due` has to be asked about it."""
        return self._sequencer.has_waiting

    def admit(self, published: Iterable[Publication], now: float) -> list[Item]:
        """The items to be delivered now, in their order: of these, and of what waited for them."""
        counters = self._counters
        is_held, is_repeated = self._is_held, self._recent_ids.is_repeated
        logs_items = log.is_enabled_for(logging.INFO)
        admitted: list[Item] = []
        for one in published:
            counters.items_published += 1
            channel = one.channel
            if one.id and is_repeated(channel, one.id, now):
                counters.items_repeated += 1
            elif is_held(channel):
                admitted += self._in_order(one.item(), now)
            elif logs_items:
                log.info("publish", channel=channel, receivers=0)
        return admitted

    def _in_order(self, item: Item, now: float) -> Sequence[Item]:
        if item.no_seq:
            return (item,)
        items = self._sequencer.admit(item, now)
        if items is None:
            self._counters.items_unordered += 1
            return _NONE
        return items

    def due(self, now: float) -> Sequence[Item]:
        """Items that have waited long enough for those before them."""
        return self._sequencer.due(now)

    def last_id(self, channel: str) -> str | None:
        """The id of the last item of a channel; None if it is not known."""
        return self._sequencer.last_id(channel)

    def learn(self, channel: str, last_id: str) -> None:
        """The last id of a channel, as another process knows it."""
        self._sequencer.learn(channel, last_id)

    def withdraw(self) -> Sequence[Item]:
        """Let go of all items that wait: they may come again."""
        items = self._sequencer.withdraw()
        for item in items:
            if item.id:
                self._recent_ids.forget(item.channel, item.id)
        return items

    def deserted(self, channel: str) -> None:
        """Nobody holds a channel any more: what is known of it would soon be wrong."""
        self._sequencer.forget(channel)

    def contradicted(self, channel: str, last_id: str) -> None:
        """A backend knows another last id than this: don't let items wait for it (G-8.4, G-8.8)."""
        if self._sequencer.last_id(channel) == last_id:
            self._sequencer.forget_last_id(channel)

    def recover(self) -> None:
        """Know no last ids any more (G-8.13)."""
        self._sequencer.forget_last_ids()
