"""The order of all items of an instance, kept up over time: waits end, first subscribers count."""

from collections.abc import Callable, Iterable, Sequence

from realtime_proxy.channels.membership import Grant
from realtime_proxy.channels.ordering import Ordering
from realtime_proxy.channels.recent_ids import RecentIds
from realtime_proxy.channels.sequencer import Sequencer
from realtime_proxy.config.schema import Publish
from realtime_proxy.inputs.publishing import Successor, Topics
from realtime_proxy.metrics.blocks import blocks_published
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import Item, Publication
from realtime_proxy.net.timers import Timer, Timers

_TICK_SECONDS = 1.0
# What is published just before the first subscriber of a channel may be missed on its way here, so
# its backend is asked again once nothing of that time can be under way any more (G-8.14).
FIRST_UPDATE_SECONDS = 1.0


class Order:
    """Takes items as they are published, and hands them on in their order.

    There is one: in the only process, or in the supervisor of several.
    """

    def __init__(
        self,
        settings: Publish,
        timers: Timers,
        counters: Counters,
        *,
        is_held: Callable[[str], bool],
        forward: Callable[[Sequence[Item]], object],
        update: Callable[[str], None],
    ) -> None:
        """`forward` delivers items, `update` has the holds of a channel ask their backends."""
        self._recent_ids = RecentIds(settings.id_cache_seconds)
        self._sequencer = Sequencer(settings.message_wait_seconds)
        self._ordering = Ordering(self._recent_ids, self._sequencer, counters, is_held)
        self._updates_first = settings.update_on_first_subscription
        self._counters = counters
        self._block_bytes = settings.message_block_bytes
        self._timers = timers
        self._forward = forward
        self._update = update
        self._is_ticking = False
        self._first_updates: dict[str, Timer] = {}
        self._topics: list[Topics] = []
        self._successor: Successor | None = None

    def adopt(self, settings: Publish) -> None:
        """Go by these settings from now on; what is known stays."""
        self._recent_ids.seconds = settings.id_cache_seconds
        self._sequencer.max_wait_seconds = settings.message_wait_seconds
        self._updates_first = settings.update_on_first_subscription

    def submit(self, items: Iterable[Publication]) -> None:
        """Take what is published here: put it in order, or give it to whoever does so now."""
        if self._successor is None:
            self.arrived(items)
        else:
            self._successor.publish([one.item() for one in items])

    def arrived(self, items: Iterable[Publication]) -> None:
        """Put items in order, and hand on what has receivers and does not wait for others."""
        if block_bytes := self._block_bytes:
            items = whole = [one.item() for one in items]
            blocks = sum(blocks_published(item, block_bytes) for item in whole)
            self._counters.blocks_published += blocks
        if admitted := self._ordering.admit(items, self._timers.now()):
            self._forward(admitted)
        self._tick_later()

    def _tick_later(self) -> None:
        if self._ordering.has_waiting and not self._is_ticking:
            self._is_ticking = True
            self._timers.after(_TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._is_ticking = False
        if items := self._ordering.due(self._timers.now()):
            self._forward(items)
        self._tick_later()

    # -- channels --------------------------------------------------------------------------

    def show_channels(self, held: Iterable[str], topics: Topics) -> None:
        """Have these know which channels are held: these now, and what becomes of them."""
        self._topics.append(topics)
        for channel in held:
            topics.subscribe(channel)

    def begin(self, channel: str) -> None:
        """The instance has its first subscriber on a channel."""
        for topics in self._topics:
            topics.subscribe(channel)
        if self._updates_first:
            self._first_updates[channel] = self._timers.after(
                FIRST_UPDATE_SECONDS, lambda: self._first_update(channel)
            )

    def _first_update(self, channel: str) -> None:
        del self._first_updates[channel]
        self.update(channel)

    def update(self, channel: str) -> None:
        """Have the holds of a channel ask their backends."""
        self._update(channel)

    def learn(self, channel: str, last_id: str) -> None:
        """The last id of a channel, as another process knows it."""
        self._ordering.learn(channel, last_id)

    def end(self, channel: str) -> None:
        """Nobody is left on a channel."""
        for topics in self._topics:
            topics.unsubscribe(channel)
        if (timer := self._first_updates.pop(channel, None)) is not None:
            timer.cancel()
        self._ordering.deserted(channel)

    def grant(self, channel: str) -> Grant:
        """What somebody who subscribes now is told."""
        return Grant(self._ordering.last_id(channel))

    def contradicted(self, channel: str, last_id: str) -> None:
        """A backend knows another last id than this."""
        self._ordering.contradicted(channel, last_id)

    def recover(self) -> None:
        """Know no last ids any more."""
        self._ordering.recover()

    # -- another process in the place of this one --------------------------------------------

    def hand_over(self, successor: Successor) -> None:
        """From now on it puts items in order. It has been shown the channels that are held."""
        self._successor = successor
        if waiting := self._ordering.withdraw():
            successor.publish(waiting)

    def take_back(self, successor: Successor) -> None:
        """It is gone before it could take this place."""
        self._successor = None
        self._topics.remove(successor)
