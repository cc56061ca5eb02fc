"""Who is subscribed to what."""

from collections.abc import Callable, Iterable

from realtime_proxy.channels.counted import CountedGroup, CountingWriter
from realtime_proxy.channels.group import Group, Key, Subscription
from realtime_proxy.channels.subscriber import Subscriber
from realtime_proxy.model.item import Item
from realtime_proxy.wire.encodings import WireForm

_NONE: tuple[Group, ...] = ()
_KINDS = {form: "websocket" for form in WireForm if form.is_websocket}
_KINDS[WireForm.RESPONSE] = "response"


class Registry:
    """All channels that have a subscriber, each with its groups by wire form and position."""

    def __init__(self) -> None:
        # Called with the name of a channel that has just lost its last subscriber.
        self.on_deserted: Callable[[str], None] = _ignore
        # Called with the name of a channel that a long-poll has just left, before that.
        self.on_poll_left: Callable[[str], None] = _ignore
        # Called with each group that has gained or lost a member, while deliveries are counted.
        self.on_changed: Callable[[Group], None] | None = None
        # Whether groups are parted by route though deliveries are not counted.
        self.is_limited_by_route = False
        self._channels: dict[str, dict[Key, Group]] = {}
        self._moved: dict[Group, None] = {}

    def __len__(self) -> int:
        return len(self._channels)

    def subscribe(
        self,
        channel: str,
        subscriber: Subscriber,
        *,
        shared: bool = False,
        position: str | None = None,
    ) -> Subscription:
        """Add a subscriber to a channel; keep the result to leave again.

        `shared` must be true for a subscriber that has other channels too: its items then keep
        their order over all of them. `position` is the id of the last item it has, empty if it
        has none, None if it takes whatever comes; with one, subscribe only while no items are on
        their way round (`Intake.at_rest`). Later it is at `group.position` of the result.
        """
        groups = self._channels.setdefault(channel, {})
        counted = isinstance(subscriber.writer, CountingWriter)
        route_id = subscriber.route_id if self._parts_routes else ""
        personal = subscriber.personal is not None
        key = (subscriber.form, personal, shared, position, counted, route_id)
        group = groups.get(key)
        if group is None:
            group = groups[key] = (CountedGroup if counted else Group)(channel, key)
        subscription = group.join(subscriber)
        if self.on_changed is not None:
            self.on_changed(group)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Take a subscriber off its channel; a channel nobody listens to is forgotten."""
        if subscription.subscriber is None:
            return  # has left before
        group = subscription.group
        channel = group.channel
        group.leave(subscription)
        if group.form is WireForm.RESPONSE:
            self.on_poll_left(channel)
        if self.on_changed is not None:
            self.on_changed(group)
        if group:
            return
        groups = self._channels[channel]
        del groups[group.key]
        if not groups:
            del self._channels[channel]
            self.on_deserted(channel)

    def moves_on(self, group: Group, item: Item) -> bool:
        """True if an item follows a group's position, which then changes; `settle` has to come."""
        if not group.move_on(item):
            return False
        self._moved[group] = None
        return True

    def settle(self) -> None:
        """Join groups that have come to the same position. Nothing may be on its way round."""
        moved = [group for group in self._moved if group]
        self._moved.clear()
        for group in moved:  # all of them first: one may be where another was
            del self._channels[group.channel][group.key]
        for group in moved:
            group.key = (*group.key[:3], group.position, *group.key[4:])
            groups = self._channels[group.channel]
            other = groups.setdefault(group.key, group)
            if other is not group:
                large, small = sorted((group, other), key=len, reverse=True)
                large.take_in(small)
                groups[group.key] = large

    def has_subscribers(self, channel: str) -> bool:
        """True if anybody is subscribed to a channel."""
        return channel in self._channels

    def names(self) -> list[str]:
        """The channels that have subscribers."""
        return list(self._channels)

    def groups(self, channel: str) -> Iterable[Group]:
        """The groups of a channel at this moment; none for an unknown one."""
        groups = self._channels.get(channel)
        return list(groups.values()) if groups else _NONE

    def count(self, item: Item) -> int:
        """How many subscribers an item concerns."""
        groups = self._channels.get(item.channel)
        if groups is None:
            return 0
        return sum(len(group) for group in groups.values() if group.form.concerns(item))

    def count_of_route(self, item: Item, route_id: str) -> int:
        """How many subscribers of one route an item concerns."""
        groups = self.groups(item.channel)
        concerned = (group for group in groups if group.form.concerns(item))
        return sum(len(group) for group in concerned if group.route_id == route_id)

    def subscribers(self, channel: str) -> dict[str, int]:
        """How many subscribers a channel has, by kind (those of scripts are streams)."""
        counts: dict[str, int] = {}
        for group in self.groups(channel):
            kind = _KINDS.get(group.form, "http-stream")
            counts[kind] = counts.get(kind, 0) + len(group)
        return counts

    @property
    def _parts_routes(self) -> bool:
        return self.is_limited_by_route or self.on_changed is not None


def _ignore(_channel: str) -> None:
    """Nobody asks who has left."""
