"""Delivery at a limited rate: slice by slice, each with what it weighs before it goes.

Items are not joined, as they are without a rate (`fanout.py`): what is held back gains nothing from
cheaper writes.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from realtime_proxy.channels.channel_tally import ChannelTally
from realtime_proxy.channels.fanout import falls_behind, pass_by, prepared
from realtime_proxy.channels.group import Group
from realtime_proxy.channels.limits import Limits
from realtime_proxy.channels.registry import Registry
from realtime_proxy.model.item import Item


class Portion(NamedTuple):
    """Some deliveries that are next: what they weigh, and whose they are."""

    route_id: str
    weight: int


def fan_out_limited(
    registry: Registry,
    items: Iterable[tuple[Item, Collection[str]]],
    limits: Limits,
    now: Callable[[], float],
    decided: Callable[[Item], None],
    tally: ChannelTally | None = None,
) -> Iterator[Portion]:
    """Deliver items in their order, yielding before each slice, so that the caller can wait.

    With each item come the routes that do without it. For those the item is as if it were lost on
    the way: whoever counts notices with the next one. The rest is as with `fan_out`.
    """
    try:
        for item, left_out in items:
            decided(item)
            groups = [one for one in registry.groups_for(item) if one.route_id not in left_out]
            if tally is not None:
                tally.delivering(item, groups)
            for group in groups:
                if not group.form.concerns(item):
                    continue
                if group.position is not None and not registry.moves_on(group, item):
                    for _ in group.tell(partial(falls_behind, item)):
                        yield Portion(group.route_id, 0)
                    continue
                if group.form.is_deflated:
                    for _ in prepared(group, item):
                        yield Portion(group.route_id, 0)
                weight = limits.weight(item, group.form)
                yield Portion(group.route_id, weight * min(limits.slice_size, len(group)))
                for count in _deliver(group, item, limits.slice_size, now):
                    yield Portion(group.route_id, weight * count)
            if registry.has_scopes:
                for _ in pass_by(registry, item, registry.bystanders(item)):
                    yield Portion("", 0)
    finally:
        registry.settle()


def _deliver(group: Group, item: Item, slice_size: int, now: Callable[[], float]) -> Iterator[int]:
    data = None if group.personal else group.form.encode(item)
    if data is None:
        return group.hand_over(item, slice_size)
    return group.write_all(data, now(), slice_size=slice_size)
