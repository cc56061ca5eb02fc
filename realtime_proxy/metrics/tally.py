"""What a worker counts while somebody wants to know: the statistics socket, or the metrics port.

It is told of every client, and has to be told the time about every second. Nothing of it is there
when nobody asks, so that connections and deliveries cost nothing more.
"""

import math
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Protocol, Self

import attrs

from realtime_proxy.config.schema import Config
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.histogram import Histogram
from realtime_proxy.metrics.presence import Presence
from realtime_proxy.metrics.route_tally import RouteTally
from realtime_proxy.metrics.tallied import Delivered, Held, Listened, Tallied, Visited

_MINUTE_SECONDS = 60.0
# So far apart at most are the moments at which the time is told.
_TICK_SECONDS = 1.0
_COUNTERS = [field.name for field in attrs.fields(Counters)]
_counts_of = attrgetter(*_COUNTERS)


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


class Client(Protocol):
    """A connection on which a client may be."""

    @property
    def presence(self) -> Presence | None:
        """The client, as long as it is there."""


class _Routes(dict[str, RouteTally]):
    """The counts of every route, made when they are first looked up."""

    def __init__(self, tally: "Tally") -> None:
        super().__init__()
        self._tally = tally

    def __missing__(self, name: str) -> RouteTally:
        route = self[name] = RouteTally(self._tally, name)
        return route


class Tally:
    """The counts of one worker. `on_change` is called for the first change after each `take`.

    `routes` has those of each route by its id.
    """

    def __init__(
        self,
        rules: TallyRules,
        counters: Counters,
        on_change: Callable[[], None],
        sender: str = "",
        clients: Iterable[Client] = (),
    ) -> None:
        """`sender` names the process in the names of HTTP requests; `clients` are all there are.

        Who has come is looked for there and not kept: that would be another table of their number.
        """
        self.rules = rules
        self.routes = _Routes(self)
        self._tells_visits = rules.refresh_seconds > 0
        self._counters = counters
        self._on_change = on_change
        self._sender = sender
        self._clients = clients
        self._is_changed = False
        # Called before anything is taken, for what is counted only then.
        self.on_take: Callable[[], None] = _nothing
        self._counters_told = (0,) * len(_COUNTERS)
        self._changed_routes: list[RouteTally] = []
        self._minute_at = self._refresh_at = math.inf  # of who comes now
        self._visited: list[tuple[Presence, bool]] = []
        self._listened: dict[tuple[str, str], int] = {}
        self._delivered: list[Delivered] = []
        self.delivery_seconds = Histogram()
        self.backlog_bytes = 0

    def changed(self) -> None:
        """Something has to be told."""
        if not self._is_changed:
            self._is_changed = True
            self._on_change()

    def route_changed(self, route: RouteTally) -> None:
        """A route has something to tell, for the first time since it was taken."""
        self._changed_routes.append(route)
        self.changed()

    # -- clients ---------------------------------------------------------------------------

    def tell_visits(self, is_wanted: bool) -> None:
        """Tell of each client from now on, or not, as nobody would hear of it."""
        self._tells_visits = is_wanted and self.rules.refresh_seconds > 0

    def begin(
        self, route_id: str, name: int | bytes, peer: str, *, is_tls: bool, header_bytes: int = 0
    ) -> Presence:
        """A client has come with a request, or for a WebSocket. Keep the result until its `end`."""
        route = self.routes[route_id]
        presence = Presence(route, name, peer, is_tls, self._minute_at, self._refresh_at)
        counts = route.counts()
        counts.requests += 1
        counts.activity += 1
        counts.minutes += 1
        counts.client_header_bytes_received += header_bytes
        route.connections += 1
        route.most = max(route.most, route.connections)
        if self._tells_visits:
            self._visited.append((presence, False))
        return presence

    def ended(self, presence: Presence) -> None:
        """A client has left; for `Presence.end` only."""
        if self._tells_visits:
            self._visited.append((presence, True))
        self.changed()

    def tick(self, now: float) -> None:
        """Count the minutes of those who stay, and tell of them again."""
        refresh_seconds = self.rules.refresh_seconds or math.inf
        # A minute has passed for sure: who comes next may do so just before the next tick.
        self._minute_at = now + _TICK_SECONDS + _MINUTE_SECONDS
        self._refresh_at = now + refresh_seconds
        shared: dict[float, float] = {}  # one object for all moments that are equal
        for client in self._clients:
            presence = client.presence
            if presence is None:
                continue
            if presence.minute_at <= now:
                at = presence.minute_at + _MINUTE_SECONDS
                presence.minute_at = shared.setdefault(at, at)
                self._minute_passed(presence)
            if presence.refresh_at <= now:
                presence.refresh_at = self._refresh_at
                if self._tells_visits:
                    self.changed()
                    self._visited.append((presence, False))

    def _minute_passed(self, presence: Presence) -> None:
        counts = presence.route.counts()
        counts.minutes += 1
        if presence.has_traffic:
            presence.has_traffic = False
            counts.activity += 1

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
        self.on_take()
        self._is_changed = False
        changed, self._changed_routes = self._changed_routes, []
        routes = self.routes.values()
        visited, self._visited = self._visited, []
        tallied = Tallied(
            traffic={route.name: route.take() for route in changed},
            connections={route.name: (route.connections, route.most) for route in routes},
            held=[
                Held(route.name, kind, count)
                for route in routes
                for kind, count in route.held.items()
            ],
            visited=[Visited(one.visit(self._sender), ended) for one, ended in visited],
            listened=[Listened(*key, count) for key, count in self._listened.items()],
            delivered=self._delivered,
            counters=self._new_counts(),
            delivery_seconds=self.delivery_seconds,
            backlog_bytes=self.backlog_bytes,
        )
        for route in routes:
            route.most = route.connections
        self._delivered, self._listened = [], {}
        self.delivery_seconds = Histogram()
        return tallied

    def _new_counts(self) -> dict[str, int]:
        counts: tuple[int, ...] = _counts_of(self._counters)
        told, self._counters_told = self._counters_told, counts
        if counts == told:
            return {}
        changes = zip(_COUNTERS, counts, told, strict=True)
        return {name: count - before for name, count, before in changes if count != before}


def _nothing() -> None:
    """Everything has been counted where it happened."""
