"""Subscribers of one channel that take items in the same wire form."""

from collections.abc import Iterator

import structlog

from realtime_proxy.channels.subscriber import Subscriber, Writer
from realtime_proxy.model.item import Item
from realtime_proxy.wire.encodings import WireForm

# After so many writes a fan-out lets others run: at 15 µs a write, 500 take 8 ms.
SLICE = 500

log = structlog.get_logger()


class Subscription:
    """One subscriber's place in one group."""

    __slots__ = ("group", "index", "subscriber")

    def __init__(self, group: "Group", index: int, subscriber: Subscriber) -> None:
        self.group = group
        self.index = index
        self.subscriber: Subscriber | None = subscriber


class Group:
    """The subscribers of a channel that share a wire form, in two lists side by side.

    Joining appends, leaving moves the last one into the gap: neither copies the lists. While an
    item is on its way round, a leaver only empties its place, and the gaps are closed after.
    """

    __slots__ = (
        "_gaps",
        "_running",
        "channel",
        "form",
        "is_shared",
        "last_write_at",
        "personal",
        "subscriptions",
        "writers",
    )

    def __init__(
        self, channel: str, form: WireForm, *, personal: bool, shared: bool = False
    ) -> None:
        """`shared`: the members are subscribed to other channels as well."""
        self.channel = channel
        self.form = form
        self.is_shared = shared
        self.personal = personal
        self.subscriptions: list[Subscription] = []
        self.writers: list[Writer] = []
        self.last_write_at = 0.0
        self._running = False
        self._gaps = 0

    def __len__(self) -> int:
        return len(self.subscriptions) - self._gaps

    def join(self, subscriber: Subscriber) -> Subscription:
        """Add a subscriber; it gets the items that come from now on."""
        subscription = Subscription(self, len(self.subscriptions), subscriber)
        self.subscriptions.append(subscription)
        self.writers.append(subscriber.writer)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Take a subscriber out; it gets nothing any more, not even of a fan-out under way."""
        if subscription.subscriber is None:
            return  # has left before
        subscription.subscriber = None
        if self._running:
            self.writers[subscription.index] = _NOWHERE
            self._gaps += 1
        else:
            self._close_gap(subscription.index)

    def _close_gap(self, index: int) -> None:
        last = self.subscriptions.pop()
        writer = self.writers.pop()
        if last.index != index:
            last.index = index
            self.subscriptions[index] = last
            self.writers[index] = writer

    def write_all(self, data: bytes, now: float) -> Iterator[None]:
        """Write the same bytes to all, yielding between slices so that others can run."""
        count = len(self.writers)
        self._running = True
        try:
            for start in range(0, count, SLICE):
                if start:
                    yield
                self.last_write_at = now
                for writer in self.writers[start : min(start + SLICE, count)]:
                    writer.write(data)
        finally:
            self._end_round()

    def hand_over(self, item: Item) -> Iterator[None]:
        """Give an item to each, to act on by itself, yielding between slices.

        Who writes anything then has to note the time itself: `last_write_at` is that of all.
        """
        data = self.form.encode(item)
        count = len(self.subscriptions)
        self._running = True
        try:
            for start in range(0, count, SLICE):
                if start:
                    yield
                for subscription in self.subscriptions[start : min(start + SLICE, count)]:
                    self._give(subscription, item, data)
        finally:
            self._end_round()

    def _give(self, subscription: Subscription, item: Item, data: bytes | None) -> None:
        subscriber = subscription.subscriber
        try:
            if subscriber is None:
                return
            if subscriber.personal is not None:
                subscriber.personal.give(item, data)
            else:
                subscriber.item_arrived(item)
        except Exception:
            # A defect behind one subscriber must not keep items from all others.
            log.exception("delivery failed", channel=item.channel)

    def _end_round(self) -> None:
        """Close the gaps of those who left while something went round."""
        self._running = False
        if not self._gaps:
            return
        index = 0
        while index < len(self.subscriptions):
            if self.subscriptions[index].subscriber is None:
                self._close_gap(index)
            else:
                index += 1
        self._gaps = 0


class _Nowhere:
    """Stands in for the writer of one who has left."""

    def write(self, data: bytes) -> None:
        pass


_NOWHERE = _Nowhere()
