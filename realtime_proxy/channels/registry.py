"""Who is subscribed to what."""

from collections.abc import Callable, Iterable

from realtime_proxy.channels.group import Group, Subscription
from realtime_proxy.channels.subscriber import Subscriber
from realtime_proxy.model.item import Item
from realtime_proxy.wire.encodings import WireForm

_NONE: tuple[Group, ...] = ()
_Key = tuple[WireForm, bool, bool]  # form, personal, shared


class Registry:
    """All channels that have a subscriber, each with its groups by wire form."""

    def __init__(self) -> None:
        # Called with the name of a channel that has just lost its last subscriber.
        self.on_deserted: Callable[[str], None] = _ignore
        self._channels: dict[str, dict[_Key, Group]] = {}

    def __len__(self) -> int:
        return len(self._channels)

    def subscribe(
        self, channel: str, subscriber: Subscriber, *, shared: bool = False
    ) -> Subscription:
        """Add a subscriber to a channel; keep the result to leave again.

        `shared` must be true for a subscriber that has other channels too: its items then keep
        their order over all of them.
        """
        groups = self._channels.setdefault(channel, {})
        personal = subscriber.personal is not None
        key = (subscriber.form, personal, shared)
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group(channel, subscriber.form, personal=personal, shared=shared)
        return group.join(subscriber)

    def unsubscribe(self, subscription: Subscription) -> None:
        """Take a subscriber off its channel; a channel nobody listens to is forgotten."""
        group = subscription.group
        channel = group.channel
        group.leave(subscription)
        if group:
            return
        groups = self._channels.get(channel)
        key = (group.form, group.personal, group.is_shared)
        if groups is not None and groups.get(key) is group:
            del groups[key]
            if not groups:
                del self._channels[channel]
                self.on_deserted(channel)

    def has_subscribers(self, channel: str) -> bool:
        """True if anybody is subscribed to a channel."""
        return channel in self._channels

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


def _ignore(_channel: str) -> None:
    """Nobody asks who has left."""
