"""What all workers of an instance have counted: packets for listeners, totals for the metrics."""

from collections import Counter
from typing import Any

from realtime_proxy.config.schema import Stats
from realtime_proxy.metrics.deliveries import Deliveries
from realtime_proxy.metrics.histogram import Histogram
from realtime_proxy.metrics.packet import Packet
from realtime_proxy.metrics.reports import Reports
from realtime_proxy.metrics.subscriptions import Subscriptions
from realtime_proxy.metrics.tallied import Tallied, Visited
from realtime_proxy.metrics.traffic import Traffic

# Workers tell within a tenth of a second: by then all have told of an item.
MERGE_SECONDS = 0.3


class Statistics:
    """Adds up what workers tell. It has to be told the time when something is due.

    `totals` is by route; there is one without name for routes that have no id of their own.
    """

    def __init__(self, settings: Stats, linger_seconds: float, *, merges: bool = False) -> None:
        """`merges`: there are several workers."""
        self._settings = settings
        self._subscriptions = Subscriptions(settings.subscription_ttl_seconds, linger_seconds)
        self._deliveries = Deliveries(MERGE_SECONDS if merges else 0.0)
        self._reports = Reports(settings.report_interval_seconds)
        self._last: dict[int, Tallied] = {}
        self.totals: dict[str, Traffic] = {}
        self.counters: Counter[str] = Counter()
        self.delivery_seconds = Histogram()

    def add(self, worker: int, tallied: Tallied, now: float) -> list[Packet]:
        """Take what a worker tells; what is to be told on at once."""
        _book_received(tallied)
        self._last[worker] = tallied
        self._reports.add(worker, tallied)
        for route, traffic in tallied.traffic.items():
            self.totals.setdefault(route, Traffic()).add(traffic)
        self.counters.update(tallied.counters)
        self.delivery_seconds.add(tallied.delivery_seconds)
        packets = _activity(tallied)
        packets += [self._connection(visited) for visited in tallied.visited]
        for listened in tallied.listened:
            packets += self._subscriptions.changed(worker, listened, now)
        for delivered in tallied.delivered:
            packets += self._deliveries.add(worker, delivered, now)
        return packets

    def forget(self, worker: int, now: float) -> list[Packet]:
        """A worker is gone. Its clients are not told one by one: they are not refreshed."""
        self._last.pop(worker, None)
        self._reports.forget(worker)
        return self._subscriptions.forget(worker, now)

    def tick(self, now: float) -> list[Packet]:
        """What the time has come for."""
        return [
            *self._deliveries.tick(now),
            *self._subscriptions.tick(now),
            *self._reports.tick(now),
        ]

    @property
    def due_at(self) -> float:
        """When the time comes for something; infinite if for nothing."""
        return min(self._deliveries.due_at, self._subscriptions.due_at, self._reports.due_at)

    def _connection(self, visited: Visited) -> Packet:
        visit = visited.visit
        members: dict[str, Any] = {"route": visit.route} if visit.route else {}
        members["id"] = visit.id
        if visited.ended:
            return Packet("conn", members | {"unavailable": True})
        members["type"] = visit.kind
        if visit.peer:
            members["peer-address"] = visit.peer
        if visit.tls:
            members["ssl"] = True
        return Packet("conn", members | {"ttl": self._settings.connection_ttl_seconds})

    # -- at this moment --------------------------------------------------------------------

    def connections(self) -> dict[str, int]:
        """How many connections each route has."""
        return {route: self._reports.connections(route) for route in self._reports.routes()}

    def held(self) -> dict[tuple[str, str], int]:
        """How many connections are held, by route and kind."""
        held: Counter[tuple[str, str]] = Counter()
        for tallied in self._last.values():
            for route, kind, connections in tallied.held:
                held[route, kind] += connections
        return held

    def backlog_bytes(self) -> int:
        """How many bytes wait for slow clients."""
        return sum(tallied.backlog_bytes for tallied in self._last.values())


def _book_received(tallied: Tallied) -> None:
    """Items are published to channels and not to routes: they count where no route is named."""
    items = tallied.counters.get("items_published", 0)
    blocks = tallied.counters.get("blocks_published", 0)
    if items:
        traffic = tallied.traffic.setdefault("", Traffic())
        traffic.received += items
        traffic.blocks_received += blocks


def _activity(tallied: Tallied) -> list[Packet]:
    packets = []
    requests = 0
    for route, traffic in tallied.traffic.items():
        requests += traffic.requests
        if traffic.activity:
            named = {"route": route} if route else {}
            packets.append(Packet("activity", {**named, "count": traffic.activity}))
    if requests:
        packets.append(Packet("counts", {"requests-received": requests}))
    return packets
