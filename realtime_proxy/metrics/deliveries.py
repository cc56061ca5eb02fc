"""How many have got an item: told once, even when several workers have delivered it."""

import math
from collections import OrderedDict

import attrs

from realtime_proxy.metrics.packet import Packet
from realtime_proxy.metrics.tallied import Delivered

Key = tuple[str, str | None, str]  # channel, item id, transport


@attrs.define(eq=False)
class _Waiting:
    due_at: float
    count: int
    blocks: int
    workers: list[int]


class Deliveries:
    """Puts together what workers tell of one item, within `merge_seconds` of the first of them.

    Items without an id are told apart by their order. A worker that is later gets a packet of its
    own, so that the sum is right whatever happens.
    """

    def __init__(self, merge_seconds: float) -> None:
        """0: there is one worker."""
        self._merge_seconds = merge_seconds
        self._waiting: OrderedDict[tuple[Key, int], _Waiting] = OrderedDict()
        self._first: dict[Key, int] = {}
        self._next: dict[tuple[Key, int], int] = {}

    def add(self, worker: int, delivered: Delivered, now: float) -> list[Packet]:
        """A worker has delivered an item; what is to be told at once."""
        key = delivered.channel, delivered.item_id, delivered.transport
        if not self._merge_seconds:
            return [_packet(key, delivered.receivers, delivered.blocks)]
        first = self._first.setdefault(key, 0)
        number = max(first, self._next.get((key, worker), 0))
        self._next[key, worker] = number + 1
        waiting = self._waiting.get((key, number))
        if waiting is None:
            waiting = _Waiting(now + self._merge_seconds, 0, 0, [])
            self._waiting[key, number] = waiting
        waiting.count += delivered.receivers
        waiting.blocks += delivered.blocks
        waiting.workers.append(worker)
        return []

    @property
    def due_at(self) -> float:
        """When the first has waited long enough; infinite if none waits."""
        return next((waiting.due_at for waiting in self._waiting.values()), math.inf)

    def tick(self, now: float) -> list[Packet]:
        """What has waited long enough."""
        packets: list[Packet] = []
        while self._waiting and next(iter(self._waiting.values())).due_at <= now:
            (key, number), waiting = self._waiting.popitem(last=False)
            packets.append(_packet(key, waiting.count, waiting.blocks))
            if (key, number + 1) in self._waiting:
                self._first[key] = number + 1
            else:
                del self._first[key]
                for worker in waiting.workers:
                    self._next.pop((key, worker), None)
        return packets


def _packet(key: Key, count: int, blocks: int) -> Packet:
    channel, item_id, transport = key
    members = {"channel": channel, "item-id": item_id, "count": count, "transport": transport}
    if blocks:
        members["blocks"] = blocks
    return Packet("message", {name: value for name, value in members.items() if value is not None})
