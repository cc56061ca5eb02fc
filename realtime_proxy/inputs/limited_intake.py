"""An intake that delivers no more than it may, and lets only so much wait for that."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping

import attrs
import structlog
import trio

from realtime_proxy.channels.fanout import ask_for_updates, fan_out
from realtime_proxy.channels.limited_fanout import Portion, fan_out_limited
from realtime_proxy.channels.limits import Limits
from realtime_proxy.channels.registry import Registry
from realtime_proxy.inputs.holding import Channels
from realtime_proxy.inputs.intake import Intake, Step, run_logged
from realtime_proxy.inputs.publishing import Reach
from realtime_proxy.inputs.tokens import Tokens
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import Item
from realtime_proxy.net.timers import Timers

_NOBODY: frozenset[str] = frozenset()

log = structlog.get_logger()


@attrs.frozen
class _Waiting:
    """What an item in line weighs, by route, and the routes that had no room for it."""

    weights: Mapping[str, int]
    left_out: frozenset[str]


class LimitedIntake(Intake):
    """Delivers one item after the other at the rate that `tokens` allow, or else what is in line.

    For each route with an id, and for all others together, deliveries up to a weight may wait. An
    item that finds no room is dropped for that route. Where nothing waits there is room for any.
    """

    def __init__(
        self,
        registry: Registry,
        channels: Channels,
        timers: Timers,
        limits: Limits,
        tokens: Tokens | None,
        counters: Counters,
    ) -> None:
        """`tokens` is None without a limit of the rate."""
        super().__init__(registry, channels, timers)
        registry.is_limited_by_route = bool(limits.max_queued)
        self._limits = limits
        self._tokens = tokens
        self._counters = counters
        self._waiting: deque[_Waiting] = deque()  # for each item in line
        self._waiting_channels: Counter[str] = Counter()
        self._queued: Counter[str] = Counter()
        self._full: set[str] = set()
        self._steps: deque[tuple[int, Step]] = deque()  # after so many items
        self._delivered = 0
        self._is_behind = False  # something in line has had to wait for the rate

    # -- in line -----------------------------------------------------------------------------

    def submit(self, items: Iterable[Item], done: Step | None = None) -> int:
        """Put items in line; how many subscribers they are for, at this moment."""
        return super().submit(self._admitted(items), done)

    def reach(self, items: Iterable[Item]) -> Reach:
        """How many subscribers items have, and how many would get them if they came now."""
        matched = queued = 0
        line = self._queued.copy()
        for item in items:
            for route, weight in self._limits.weights(self._registry, item).items():
                count = self._registry.count_of_route(item, route)
                matched += count
                if not self._is_full(line[route], weight):
                    line[route] += weight
                    queued += count
        return Reach(matched, queued)

    def in_turn(self, step: Step, channel: str | None = None) -> None:
        """Run a step after the items that are in line now, and before those that come later.

        If only those of one `channel` matter, it may be sooner.
        """
        if channel is not None and not self._waiting_channels[channel]:
            self.at_rest(step)
        elif self._is_busy:
            self._when_delivered(step)
        else:
            step()

    def _when_delivered(self, step: Step) -> None:
        going_round = len(self._waiting) - len(self._pending)
        self._steps.append((self._delivered + going_round + len(self._pending), step))

    def _admitted(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            weights = self._limits.weights(self._registry, item)
            left_out = self._left_out(item, weights) if weights else _NOBODY
            if weights and len(left_out) == len(weights):
                continue
            before = len(self._pending)
            yield item
            if len(self._pending) > before:
                taken = {route: weights[route] for route in weights.keys() - left_out}
                self._queued.update(taken)
                self._waiting.append(_Waiting(taken, left_out))
                self._waiting_channels[item.channel] += 1

    def _left_out(self, item: Item, weights: Mapping[str, int]) -> frozenset[str]:
        """The routes that have no room for an item, which is dropped for them."""
        left_out = frozenset(
            route for route in weights if self._is_full(self._queued[route], weights[route])
        )
        for route in left_out:
            self._drop(route, item)
        return left_out

    def _is_full(self, queued: int, weight: int) -> bool:
        limit = self._limits.max_queued
        return bool(limit and queued and queued + weight > limit)

    def _drop(self, route: str, item: Item) -> None:
        dropped = self._registry.count_of_route(item, route)
        self._counters.deliveries_dropped += dropped
        if route not in self._full:  # one line for all until there is room again
            self._full.add(route)
            log.warning(
                "exceeded publish hwm, dropping messages",
                route=route,
                hwm=self._limits.max_queued,
                channel=item.channel,
                receivers=dropped,
            )

    # -- rounds ------------------------------------------------------------------------------

    async def _go_round(self) -> None:
        """Deliver what comes before the next step.

        At a rate it is one item: who acts between two rounds need not wait for all that is in line.
        """
        if self._tokens is not None:
            count = 1
        else:
            count = self._steps[0][0] - self._delivered if self._steps else len(self._pending)
        items, self._pending = self._pending[:count], self._pending[count:]
        updates, self._updates = self._updates, {}
        if items:
            await self._deliver_and_leave(items)
        if updates:
            await self._round(ask_for_updates(self._registry, updates))
        while self._steps and self._steps[0][0] <= self._delivered:
            run_logged(self._steps.popleft()[1])

    async def _deliver(self, items: list[Item]) -> None:
        since, tally = self._waits_since, self.tally
        if self._tokens is None:
            await self._deliver_at_once(items)
        else:
            (item,) = items
            await self._deliver_at_rate(item, self._waiting[0])
        if tally is not None and since is not None and not self._pending:
            self._waits_since = None
            tally.delivered_after(self._timers.now() - since)

    async def _deliver_at_once(self, items: list[Item]) -> None:
        decided, now = self._channels.decided, self._timers.now()
        before = self._delivered
        await self._round(fan_out(self._registry, items, now, decided, self.tally, self._begin))
        for item in items[self._delivered - before :]:  # those that a defect has kept from it
            self._begin(item)

    def _begin(self, item: Item) -> frozenset[str]:
        """The turn of an item has come, so it no longer waits; the routes that do without it."""
        waiting = self._waiting[0]
        self._end(item, waiting.weights)
        return waiting.left_out

    async def _deliver_at_rate(self, item: Item, waiting: _Waiting) -> None:
        left = Counter(waiting.weights)

        async def wait_for_leave(portion: Portion) -> None:
            await self._leave_for(portion.weight)
            gone = min(portion.weight, left[portion.route_id])
            left[portion.route_id] -= gone
            self._queued[portion.route_id] -= gone

        portions = fan_out_limited(
            self._registry,
            [(item, waiting.left_out)],
            self._limits,
            self._timers.now,
            self._channels.decided,
            self.tally,
        )
        await self._round(portions, wait_for_leave)
        self._end(item, left)

    async def _leave_for(self, weight: int) -> None:
        if self._tokens is None or not weight:
            await trio.lowlevel.checkpoint()
            return
        self._is_behind |= await self._tokens.take(weight)
        if self._is_behind:
            self._counters.deliveries_delayed += weight

    def _end(self, item: Item, left: Mapping[str, int]) -> None:
        """An item waits no more; what is left of its weight goes at once, or to nobody."""
        self._waiting.popleft()
        self._delivered += 1
        self._queued.subtract(left)
        self._waiting_channels[item.channel] -= 1
        if not self._waiting_channels[item.channel]:
            del self._waiting_channels[item.channel]
        self._is_behind &= bool(self._pending)
        half = self._limits.max_queued / 2
        self._full = {route for route in self._full if self._queued[route] > half}
