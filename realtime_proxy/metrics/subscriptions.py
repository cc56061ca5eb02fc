"""Who listens to what: told at the first subscriber, at changes, now and then, and at the end."""

import math
from collections import OrderedDict
from typing import Any

import attrs

from realtime_proxy.metrics.packet import Packet
from realtime_proxy.metrics.tallied import Listened

# A number that changes all the time is told no more often.
CHANGE_SECONDS = 1.0
Key = tuple[str, str]  # mode, channel


@attrs.define(eq=False)
class _Entry:
    """One channel in one mode: its subscribers by worker."""

    counts: dict[int, int] = attrs.field(factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


class Subscriptions:
    """The channels of an instance. Times are in seconds; every method gives what is to be told."""

    def __init__(self, ttl_seconds: int, linger_seconds: float) -> None:
        """`linger_seconds`: so long channels stay that long-polls have left."""
        self._ttl_seconds = ttl_seconds
        self._linger_seconds = linger_seconds
        self._refresh_seconds = ttl_seconds * 3 / 4
        self._entries: dict[Key, _Entry] = {}
        # Each in the order of their times, as everything in one waits equally long.
        self._changed: OrderedDict[Key, float] = OrderedDict()
        self._refreshes: OrderedDict[Key, float] = OrderedDict()
        self._lingering: OrderedDict[Key, float] = OrderedDict()

    def changed(self, worker: int, listened: Listened, now: float) -> list[Packet]:
        """A worker has another number of subscribers."""
        key = listened.mode, listened.channel
        entry = self._entries.get(key)
        if entry is None:
            if not listened.subscribers:
                return []
            entry = self._entries[key] = _Entry()
        was_empty = not entry.counts
        entry.counts[worker] = listened.subscribers
        if not listened.subscribers:
            del entry.counts[worker]
        if not entry.counts:
            return [] if was_empty else self._deserted(key, now)
        if was_empty:
            self._lingering.pop(key, None)
            return [self._told(key, now)]
        self._changed.setdefault(key, now + CHANGE_SECONDS)
        return []

    def _deserted(self, key: Key, now: float) -> list[Packet]:
        self._changed.pop(key, None)
        self._refreshes.pop(key, None)
        if key[0] == "response" and self._linger_seconds:
            self._lingering[key] = now + self._linger_seconds
            return []
        return [self._ended(key)]

    def forget(self, worker: int, now: float) -> list[Packet]:
        """A worker is gone, and its subscribers with it."""
        keys = [key for key, entry in self._entries.items() if worker in entry.counts]
        return [packet for key in keys for packet in self.changed(worker, Listened(*key, 0), now)]

    @property
    def due_at(self) -> float:
        """When the time comes for something; infinite if for nothing."""
        lines = (self._lingering, self._changed, self._refreshes)
        return min((next(iter(line.values())) for line in lines if line), default=math.inf)

    def tick(self, now: float) -> list[Packet]:
        """What the time has come for."""
        packets = [self._ended(key) for key in _due(self._lingering, now)]
        packets += [self._told(key, now) for key in _due(self._changed, now)]
        packets += [self._told(key, now) for key in _due(self._refreshes, now)]
        return packets

    def _told(self, key: Key, now: float) -> Packet:
        self._changed.pop(key, None)
        self._refreshes.pop(key, None)
        self._refreshes[key] = now + self._refresh_seconds
        count = self._entries[key].total
        return _packet(key, ttl=self._ttl_seconds, subscribers=count)

    def _ended(self, key: Key) -> Packet:
        del self._entries[key]
        return _packet(key, unavailable=True)


def _packet(key: Key, **members: Any) -> Packet:
    mode, channel = key
    return Packet("sub", {"mode": mode, "channel": channel, **members})


def _due(waiting: OrderedDict[Key, float], now: float) -> list[Key]:
    """Those whose time has come, taken out."""
    due: list[Key] = []
    while waiting and next(iter(waiting.values())) <= now:
        due.append(waiting.popitem(last=False)[0])
    return due
