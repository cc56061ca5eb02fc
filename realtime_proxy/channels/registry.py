"""Who is subscribed to what."""

from collections.abc import Callable, Collection, Iterable

from realtime_proxy.channels.counted import CountedGroup, CountingWriter
from realtime_proxy.channels.group import Group, Key, Subscription
from realtime_proxy.channels.scoped_groups import ScopedGroups
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
        # Whether anybody is limited to some items of a channel: all others are spared what follows.
        self.has_scopes = False
        self._scoped: dict[str, ScopedGroups] = {}  # channels held on scoped routes
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
        parts_routes = self.is_limited_by_route or self.on_changed is not None
        route_id = subscriber.route_id if parts_routes else ""
        personal = subscriber.personal is not None
        scope = subscriber.scope_on(channel)
        key = (subscriber.form, personal, shared, position, counted, route_id, scope)
        group = groups.get(key)
        if group is None:
            group = groups[key] = (CountedGroup if counted else Group)(channel, key)
            self._note_scope(group)
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
        has_others = group.leave(subscription)
        if group.form is WireForm.RESPONSE:
            self.on_poll_left(channel)
        if self.on_changed is not None:
            self.on_changed(group)
        if has_others:
            return
        groups = self._channels[channel]
        del groups[group.key]
        self._forget_scope(group)
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
                self._forget_scope(small)
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

    def groups_for(self, item: Item) -> Iterable[Group]:
        """The groups of an item's channel at this moment that may have it."""
        if self.has_scopes and (scoped := self._scoped.get(item.channel)) is not None:
            return scoped.groups_for(item)
        groups = self._channels.get(item.channel)
        return list(groups.values()) if groups else _NONE

    def bystanders(self, item: Item) -> Collection[Group]:
        """The groups that may not have an item of their channel, but go by its id."""
        scoped = self._scoped.get(item.channel)
        return _NONE if scoped is None else scoped.bystanders(item)

    def missing_scope(self, item: Item) -> str:
        """The claim of which an item says nothing, so that some do without it; empty if none do."""
        scoped = self._scoped.get(item.channel)
        return "" if scoped is None else scoped.missing_scope(item)

    def count(self, item: Item) -> int:
        """How many subscribers an item concerns."""
        groups: Iterable[Group]
        if self.has_scopes:
            groups = self.groups_for(item)
        elif (of_channel := self._channels.get(item.channel)) is None:
            return 0
        else:
            groups = of_channel.values()
        return sum(len(group) for group in groups if group.form.concerns(item))

    def count_of_route(self, item: Item, route_id: str) -> int:
        """How many subscribers of one route an item concerns."""
        groups = self.groups_for(item)
        concerned = (group for group in groups if group.form.concerns(item))
        return sum(len(group) for group in concerned if group.route_id == route_id)

    def subscribers(self, channel: str) -> dict[str, int]:
        """How many subscribers a channel has, by kind (those of scripts are streams)."""
        counts: dict[str, int] = {}
        for group in self.groups(channel):
            kind = _KINDS.get(group.form, "http-stream")
            counts[kind] = counts.get(kind, 0) + len(group)
        return counts

    def _note_scope(self, group: Group) -> None:
        """Have a new group found by its scope, and those beside it by having none."""
        scoped = self._scoped.get(group.channel)
        if scoped is not None:
            scoped.add(group)
        elif group.scope is not None:
            self._scoped[group.channel] = ScopedGroups(self._channels[group.channel].values())
            self.has_scopes = True

    def _forget_scope(self, group: Group) -> None:
        scoped = self._scoped.get(group.channel)
        if scoped is not None:
            scoped.discard(group)
            if not scoped.has_scopes:
                del self._scoped[group.channel]
                self.has_scopes = bool(self._scoped)


def _ignore(_channel: str) -> None:
    """Nobody asks who has left."""
