"""Reports: what has passed on each route since the last one."""

import math
from typing import Any

from realtime_proxy.metrics.packet import Packet
from realtime_proxy.metrics.tallied import Tallied
from realtime_proxy.metrics.traffic import Traffic

_BLOCKS = ("blocks-received", "blocks-sent")
# Members of a report by what they are counted as.
_MEMBERS = {
    name: name.replace("_", "-")
    for name in Traffic.__struct_fields__
    if isinstance(getattr(Traffic(), name), int) and name not in {"activity", "requests"}
} | {"response_sent": "http-response-sent"}


class Reports:
    """One report per route and interval, for as long as anything happens on it."""

    def __init__(self, interval_seconds: float) -> None:
        """Not above 0: there are none. The first interval begins with the first `tick`."""
        self._interval_seconds = interval_seconds
        self._since: float | None = None
        self._traffic: dict[str, Traffic] = {}
        self._connections: dict[int, dict[str, int]] = {}
        self._most: dict[str, int] = {}
        self._active: dict[str, None] = {}

    def add(self, worker: int, tallied: Tallied) -> None:
        """Take what a worker has counted."""
        for route, traffic in tallied.traffic.items():
            self._traffic.setdefault(route, Traffic()).add(traffic)
            self._active[route] = None
        mine = self._connections.setdefault(worker, {})
        for route, (count, most) in tallied.connections.items():
            others = self.connections(route) - mine.get(route, 0)
            mine[route] = count
            self._most[route] = max(self._most.get(route, 0), others + most)

    def connections(self, route: str) -> int:
        """How many connections a route has now."""
        return sum(counts.get(route, 0) for counts in self._connections.values())

    def routes(self) -> list[str]:
        """The routes that have had a connection."""
        return list(dict.fromkeys(name for of in self._connections.values() for name in of))

    def forget(self, worker: int) -> None:
        """A worker is gone, and its connections with it."""
        self._connections.pop(worker, None)

    @property
    def due_at(self) -> float:
        """When it is time for reports; infinite if there are none."""
        if self._interval_seconds <= 0:
            return math.inf
        return -math.inf if self._since is None else self._since + self._interval_seconds

    def tick(self, now: float) -> list[Packet]:
        """The reports, when it is time for them."""
        if self._since is None:
            self._since = now
        passed = now - self._since
        if passed < self._interval_seconds or self._interval_seconds <= 0:
            return []
        self._since = now
        packets: list[Packet] = []
        for route in list(self._active):
            values = self._values(route)
            if not any(values.values()):
                del self._active[route]
            packets.append(_packet(route, {**values, "duration": round(passed * 1000)}))
        self._traffic = {}
        self._most = {route: self.connections(route) for route in self.routes()}
        return packets

    def _values(self, route: str) -> dict[str, int]:
        traffic = self._traffic.get(route) or Traffic()
        counts = {member: getattr(traffic, name) for name, member in _MEMBERS.items()}
        for name in _BLOCKS:
            if not counts[name]:
                del counts[name]
        return {"connections": self._most.get(route, 0), **counts}


def _packet(route: str, members: dict[str, Any]) -> Packet:
    return Packet("report", ({"route": route} if route else {}) | members)
