"""From items to all who are subscribed: encoded once per group, joined, written once to each.

Whatever waits for a group is joined into one write per connection, which is 8 to 30 times cheaper
in bursts (`docs/hot-path.md`). The order of items is kept for every connection: those with one
channel see only their group's order; the groups of those with several channels are written in the
order of intake, so only neighbours are joined there.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from operator import methodcaller
from typing import NamedTuple

from realtime_proxy.channels.channel_tally import ChannelTally
from realtime_proxy.channels.group import SLICE, Group
from realtime_proxy.channels.registry import Registry
from realtime_proxy.channels.subscriber import Subscriber
from realtime_proxy.model.item import Item

_UPDATE = methodcaller("update")
# A write larger than this gains nothing from joining, and a slow client's share grows with it.
MAX_JOINED_BYTES = 262_144


def fan_out(
    registry: Registry,
    items: Iterable[Item],
    now: float,
    decided: Callable[[Item], None],
    tally: ChannelTally | None = None,
    left_out: Callable[[Item], Collection[str]] | None = None,
) -> Iterator[int]:
    """Deliver items in their order, yielding now and then so that the caller can let others run.

    Items of one channel never overtake each other as long as one caller at a time runs this.
    `decided` is called with each item when its turn has come, before anybody is told of it;
    `left_out` then tells the routes that do without it. For those it is as if it were lost on the
    way: whoever counts notices with the next one.
    """
    waiting = _Waiting()
    done = 0
    try:
        for item in items:
            decided(item)
            groups = registry.groups_for(item)
            if left_out is not None and (routes := left_out(item)):
                groups = [group for group in groups if group.route_id not in routes]
            if tally is not None:
                tally.delivering(item, groups)
            for group in groups:
                if not group.form.concerns(item):
                    continue
                done += 1
                if group.position is not None and not registry.moves_on(group, item):
                    yield from waiting.write_to(group, now)
                    yield from group.tell(partial(falls_behind, item))
                    continue
                if group.form.is_deflated:
                    yield from prepared(group, item)
                data = None if group.personal else group.form.encode(item)
                if data is None:
                    yield from waiting.write_to(group, now)
                    yield from group.hand_over(item)
                elif group.is_shared:
                    yield from waiting.follow_on(group, data, now)
                else:
                    waiting.add(group, data)
            if registry.has_scopes and (others := registry.bystanders(item)):
                yield from pass_by(registry, item, others, partial(waiting.write_to, now=now))
            if waiting.size > MAX_JOINED_BYTES:
                yield from waiting.write(now)
            done += 1
            if done > SLICE:  # many items for few: their writes alone would never let others run
                done = 0
                yield 0
        yield from waiting.write(now)
    finally:
        registry.settle()


def prepared(group: Group, item: Item) -> Iterator[int]:
    """Do of the encoding for a group what takes its time, yielding as above."""
    for _ in group.form.prepare(item):
        yield 0


def falls_behind(item: Item, subscriber: Subscriber) -> None:
    """Tell a subscriber that an item does not follow what it has."""
    subscriber.fell_behind(item)


def pass_by(
    registry: Registry,
    item: Item,
    groups: Iterable[Group],
    catch_up: Callable[[Group], Iterator[int]] = lambda _group: iter(()),
) -> Iterator[int]:
    """Tell those who go by ids of an item that is for others: only where it was among others.

    `catch_up` writes what waits for a group.
    """
    seen = item.without_content()
    for group in groups:
        if group.position is None:
            yield from group.hand_over(seen)
        elif not registry.moves_on(group, seen):
            yield from catch_up(group)
            yield from group.tell(partial(falls_behind, seen))


class Update(NamedTuple):
    """Whom to have ask their backends: the WebSockets of a channel, or all others."""

    channel: str
    of_websockets: bool = False


def ask_for_updates(registry: Registry, updates: Iterable[Update]) -> Iterator[int]:
    """Have those who are meant ask their backends, yielding as above."""
    for update in updates:
        for group in registry.groups(update.channel):
            if group.form.is_websocket == update.of_websockets:
                yield from group.tell(_UPDATE)


class _Waiting:
    """What has been encoded and not yet written, by group."""

    __slots__ = ("_groups", "_run", "_run_group", "size")

    def __init__(self) -> None:
        self._groups: dict[Group, list[bytes]] = {}
        self._run_group: Group | None = None
        self._run: list[bytes] = []
        self.size = 0

    def add(self, group: Group, data: bytes) -> None:
        """For a group whose members have no other channel: its own order is all there is."""
        self.size += len(data)
        parts = self._groups.get(group)
        if parts is None:
            self._groups[group] = [data]
        else:
            parts.append(data)

    def follow_on(self, group: Group, data: bytes, now: float) -> Iterator[int]:
        """For a group whose members have other channels too: what came before goes first."""
        if group is not self._run_group:
            yield from self._write_run(now)
            self._run_group = group
        self.size += len(data)
        self._run.append(data)

    def write_to(self, group: Group, now: float) -> Iterator[int]:
        """Write what waits for the members of a group."""
        if group.is_shared:
            yield from self._write_run(now)
        elif parts := self._groups.pop(group, None):
            yield from group.write_all(_joined(parts), now, len(parts))

    def write(self, now: float) -> Iterator[int]:
        """Write everything that waits."""
        self.size = 0
        groups, self._groups = self._groups, {}
        for group, parts in groups.items():
            yield from group.write_all(_joined(parts), now, len(parts))
        yield from self._write_run(now)

    def _write_run(self, now: float) -> Iterator[int]:
        group, self._run_group = self._run_group, None
        parts, self._run = self._run, []
        if group is not None:
            yield from group.write_all(_joined(parts), now, len(parts))


def _joined(parts: list[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)
