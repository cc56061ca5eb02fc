"""From an item to all who are subscribed: encoded once per group, written to each in turn."""

from collections.abc import Iterable, Iterator

from realtime_proxy.channels.registry import Registry
from realtime_proxy.model.item import Item


def fan_out(registry: Registry, items: Iterable[Item], now: float) -> Iterator[None]:
    """Deliver items in their order, yielding now and then so that the caller can let others run.

    Items of one channel never overtake each other as long as one caller at a time runs this.
    """
    for item in items:
        for group in registry.groups(item.channel):
            if group.form.concerns(item):
                yield from group.deliver(item, now)
