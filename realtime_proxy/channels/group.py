"""Subscribers of one channel that take items in the same wire form, and have the same."""

from collections.abc import Callable, Iterator

import structlog

from realtime_proxy.channels.scope import Scope
from realtime_proxy.channels.subscriber import Subscriber, Writer
from realtime_proxy.model.item import Item
from realtime_proxy.wire.encodings import WireForm

# After so many writes a fan-out lets others run: at 15 µs a write, 500 take 8 ms.
SLICE = 500

log = structlog.get_logger()


class Subscription:
    """One subscriber's place in one group."""

    __slots__ = ("_before", "group", "index", "subscriber")

    def __init__(self, group: "Group", index: int, subscriber: Subscriber) -> None:
        self.group = group
        self.index = index
        self._before = group.messages  # the same object for all who join at the same time
        self.subscriber: Subscriber | None = subscriber

    @property
    def messages(self) -> int:
        """How many have been written to the group since; what goes to each by itself is not."""
        return self.group.messages - self._before

    def move(self, group: "Group", index: int) -> None:
        """Be in another group from now on, as if it had always been there."""
        self._before += group.messages - self.group.messages
        self.group, self.index = group, index


# Form, personal, shared, position, counted, route, scope.
Key = tuple[WireForm, bool, bool, str | None, bool, str, Scope | None]


class Group:
    """The subscribers of a channel that share a wire form, in two lists side by side.

    Joining appends, leaving moves the last one into the gap: neither copies the lists. While an
    item is on its way round, a leaver only empties its place, and the gaps are closed after.

    `position` is the id of the last item that all members have (empty: none yet), or None if
    nobody counts. It is ahead of what is written while items are on their way.
    """

    __slots__ = (
        "_gaps",
        "_running",
        "channel",
        "form",
        "is_shared",
        "key",
        "last_write_at",
        "messages",
        "personal",
        "position",
        "route_id",
        "scope",
        "subscriptions",
        "writers",
    )

    def __init__(self, channel: str, key: Key) -> None:
        """`key`: form, personal, shared (members have other channels too), and so on.

        The route is empty unless deliveries are counted by it. The scope is None unless members
        may have only some of the channel's items.
        """
        self.channel = channel
        self.key = key
        self.form, self.personal, self.is_shared, self.position, _, self.route_id, self.scope = key
        self.subscriptions: list[Subscription] = []
        self.writers: list[Writer] = []
        self.last_write_at = 0.0
        self.messages = 0
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

    def leave(self, subscription: Subscription) -> bool:
        """Take a subscriber out; it gets nothing any more, not even of a fan-out under way.

        True if others are left.
        """
        if subscription.subscriber is not None:  # else it has left before
            subscription.subscriber = None
            if self._running:
                self.writers[subscription.index] = _NOWHERE
                self._gaps += 1
            else:
                self._close_gap(subscription.index)
        return len(self.subscriptions) > self._gaps

    def take_in(self, other: "Group") -> None:
        """Have the members of another group of the same channel and form, too."""
        for subscription in other.subscriptions:
            subscription.move(self, len(self.subscriptions))
            self.subscriptions.append(subscription)
        self.writers += other.writers
        self.last_write_at = max(self.last_write_at, other.last_write_at)

    def move_on(self, item: Item) -> bool:
        """True if an item follows the position, which is then at that item.

        An id that is absent and an empty one are the same (grip.md G-4.2.2), and after an item
        without one nobody counts any more (G-8.9). An item that is made for other filters stays a
        gap (filters.md F-2.10); what has filters sees to that for each member.
        """
        if (item.prev_id or "") != self.position:
            return False
        if self.personal or not self.form.names_filters(item):
            self.position = item.id or None
        return True

    def _close_gap(self, index: int) -> None:
        last = self.subscriptions.pop()
        writer = self.writers.pop()
        if last.index != index:
            last.index = index
            self.subscriptions[index] = last
            self.writers[index] = writer

    def write_all(
        self,
        data: bytes,
        now: float,
        messages: int = 1,
        slice_size: int = SLICE,
    ) -> Iterator[int]:
        """Write the same bytes to all, yielding between slices so that others can run.

        `messages` says how many the bytes consist of. What is yielded is how many the next slice
        has.
        """
        count = len(self.writers)
        self.messages += messages
        self._running = True
        try:
            for start in range(0, count, slice_size):
                if start:
                    yield min(slice_size, count - start)
                self.last_write_at = now
                for writer in self.writers[start : min(start + slice_size, count)]:
                    writer.write(data)
        finally:
            self._end_round()

    def hand_over(self, item: Item, slice_size: int = SLICE) -> Iterator[int]:
        """Give an item to each, to act on by itself, yielding between slices.

        Who writes anything then has to note the time itself: `last_write_at` is that of all.
        """
        data = self.form.encode(item)

        def give(subscriber: Subscriber) -> None:
            if subscriber.personal is not None:
                subscriber.personal.give(item, data)
            else:
                subscriber.item_arrived(item)

        return self.tell(give, slice_size)

    def tell(self, act: Callable[[Subscriber], None], slice_size: int = SLICE) -> Iterator[int]:
        """Call for each member, yielding between slices so that others can run."""
        count = len(self.subscriptions)
        self._running = True
        try:
            for start in range(0, count, slice_size):
                if start:
                    yield min(slice_size, count - start)
                for subscription in self.subscriptions[start : min(start + slice_size, count)]:
                    self._tell_one(subscription.subscriber, act)
        finally:
            self._end_round()

    def _tell_one(self, subscriber: Subscriber | None, act: Callable[[Subscriber], None]) -> None:
        try:
            if subscriber is not None:
                act(subscriber)
        except Exception:
            # A defect behind one subscriber must not keep items from all others.
            log.exception("delivery failed", channel=self.channel)

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
