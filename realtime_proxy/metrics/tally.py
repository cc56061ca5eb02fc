"""What a worker counts while somebody wants to know: the statistics socket, or the metrics port.

It is told of every visit, and has to be told the time now and then. Nothing of it is there when
nobody asks, so that connections and deliveries cost nothing more.
"""

import math
from collections.abc import Callable, Hashable
from typing import Self

import attrs

from realtime_proxy.config.schema import Config
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.histogram import Histogram
from realtime_proxy.metrics.tallied import Delivered, Held, Listened, Tallied, Visit, Visited
from realtime_proxy.metrics.traffic import Traffic

_MINUTE_SECONDS = 60.0
# So often all visits are looked at. In lists by time they would take a third more memory each.
_LOOK_SECONDS = 0.5


@attrs.frozen
class TallyRules:
    """What is counted and told.

    `refresh_seconds`: every visit is told again so often, 0: visits are not told at all.
    `tells_channels`: who listens to what, and each delivery. `block_bytes`: the size of a block,
    0 if none are counted.
    """

    refresh_seconds: float = 0.0
    tells_channels: bool = False
    block_bytes: int = 0

    @classmethod
    def of(cls, config: Config) -> Self | None:
        """What a configuration wants to have counted; None if nobody asks."""
        stats = config.stats
        if not stats.pub:
            return (
                cls(block_bytes=config.publish.message_block_bytes)
                if config.metrics.listen
                else None
            )
        return cls(
            refresh_seconds=stats.connection_ttl_seconds * 3 / 4 if stats.connections else 0.0,
            tells_channels=True,
            block_bytes=config.publish.message_block_bytes,
        )


@attrs.define(eq=False, weakref_slot=False)
class _Presence:
    """A visit that lasts: its next minute, and when it is told of again."""

    visit: Visit
    minute_at: float
    refresh_at: float
    has_traffic: bool = False
    held: str = ""


class Tally:
    """The counts of one worker. `on_change` is called for the first change after each `take`."""

    def __init__(
        self, rules: TallyRules, counters: Counters, on_change: Callable[[], None]
    ) -> None:
        self.rules = rules
        self._counters = counters
        self._on_change = on_change
        self._is_changed = False
        self._counters_told: dict[str, int] = {}
        self._traffic: dict[str, Traffic] = {}
        self._connections: dict[str, int] = {}
        self._most: dict[str, int] = {}
        self._held: dict[tuple[str, str], int] = {}
        self._visits: dict[Hashable, _Presence] = {}
        self._look_at = 0.0
        self._visited: list[Visited] = []
        self._listened: dict[tuple[str, str], int] = {}
        self._delivered: list[Delivered] = []
        self.delivery_seconds = Histogram()
        self.backlog_bytes = 0

    def route(self, route: str) -> Traffic:
        """The counts of a route, to add to."""
        self.changed()
        traffic = self._traffic.get(route)
        if traffic is None:
            traffic = self._traffic[route] = Traffic()
        return traffic

    def changed(self) -> None:
        """Something has to be told."""
        if not self._is_changed:
            self._is_changed = True
            self._on_change()

    # -- visits ----------------------------------------------------------------------------

    def begin(self, client: Hashable, visit: Visit, now: float) -> None:
        """A client has come with a request, or for a WebSocket."""
        refresh_seconds = self.rules.refresh_seconds
        self._visits[client] = _Presence(
            visit, now + _MINUTE_SECONDS, now + refresh_seconds if refresh_seconds else math.inf
        )
        traffic = self.route(visit.route)
        traffic.requests += 1
        traffic.activity += 1
        traffic.minutes += 1
        count = self._connections[visit.route] = self._connections.get(visit.route, 0) + 1
        self._most[visit.route] = max(count, self._most.get(visit.route, 0))
        if refresh_seconds:
            self._visited.append(Visited(visit, ended=False))

    def end(self, client: Hashable) -> None:
        """Whatever a client came for is over; nothing if it came for nothing."""
        self.release(client)
        presence = self._visits.pop(client, None)
        if presence is None:
            return
        self.changed()
        self._connections[presence.visit.route] -= 1
        if self.rules.refresh_seconds:
            self._visited.append(Visited(presence.visit, ended=True))

    def message_passed(self, client: Hashable) -> None:
        """A message has come or gone on a WebSocket."""
        presence = self._visits.get(client)
        if presence is not None:
            presence.has_traffic = True

    def tick(self, now: float) -> None:
        """Count the minutes of those who stay, and tell of them again."""
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        for presence in self._visits.values():
            if presence.minute_at <= now:
                presence.minute_at += _MINUTE_SECONDS
                self._minute_passed(presence)
            if presence.refresh_at <= now:
                presence.refresh_at = now + self.rules.refresh_seconds
                self.changed()
                self._visited.append(Visited(presence.visit, ended=False))

    def _minute_passed(self, presence: _Presence) -> None:
        traffic = self.route(presence.visit.route)
        traffic.minutes += 1
        if presence.has_traffic:
            presence.has_traffic = False
            traffic.activity += 1

    def hold(self, client: Hashable, kind: str) -> None:
        """What a client came for is held from now on."""
        presence = self._visits.get(client)
        if presence is not None and not presence.held:
            self.changed()
            presence.held = kind
            key = presence.visit.route, kind
            self._held[key] = self._held.get(key, 0) + 1

    def release(self, client: Hashable) -> None:
        """It is held no longer."""
        presence = self._visits.get(client)
        if presence is not None and presence.held:
            self.changed()
            self._held[presence.visit.route, presence.held] -= 1
            presence.held = ""

    def closed(self, client: Hashable, reason: str) -> None:
        """Say why what a client came for is about to end."""
        presence = self._visits.get(client)
        if presence is not None:
            closed = self.route(presence.visit.route).closed
            closed[reason] = closed.get(reason, 0) + 1

    # -- channels --------------------------------------------------------------------------

    def listened(self, mode: str, channel: str, subscribers: int) -> None:
        """A channel has so many subscribers in a mode from now on."""
        self.changed()
        self._listened[mode, channel] = subscribers

    def delivered(self, delivered: Delivered) -> None:
        """An item is on its way to its subscribers."""
        self.changed()
        self._delivered.append(delivered)

    # -- telling ---------------------------------------------------------------------------

    def take(self) -> Tallied:
        """What there is to tell, which is then told."""
        self._is_changed = False
        most = self._most
        tallied = Tallied(
            traffic=self._traffic,
            connections={
                route: (count, most.get(route, count)) for route, count in self._connections.items()
            },
            held=[Held(*key, count) for key, count in self._held.items()],
            visited=self._visited,
            listened=[Listened(*key, count) for key, count in self._listened.items()],
            delivered=self._delivered,
            counters=self._new_counts(),
            delivery_seconds=self.delivery_seconds,
            backlog_bytes=self.backlog_bytes,
        )
        self._traffic, self._visited, self._delivered = {}, [], []
        self._most, self._listened = dict(self._connections), {}
        self.delivery_seconds = Histogram()
        return tallied

    def _new_counts(self) -> dict[str, int]:
        counts = attrs.asdict(self._counters)
        told, self._counters_told = self._counters_told, counts
        return {name: count - told.get(name, 0) for name, count in counts.items()}
