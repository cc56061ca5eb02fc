"""Where items are delivered in the order in which they have come, in rounds of what waits."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Generic, TypeVar

import structlog
import trio

from realtime_proxy.channels.channel_tally import ChannelTally
from realtime_proxy.channels.fanout import Update, ask_for_updates, fan_out
from realtime_proxy.channels.registry import Registry
from realtime_proxy.inputs.holding import Channels
from realtime_proxy.inputs.publishing import Reach
from realtime_proxy.inputs.waiting_room import WaitingRoom, size_of
from realtime_proxy.model.item import Item
from realtime_proxy.net.timers import Timers

Result = TypeVar("Result")
Slice = TypeVar("Slice")
Step = Callable[[], None]

log = structlog.get_logger()


class Intake:
    """Takes items in the order in which they come, and has one task deliver them in that order.

    A round delivers what is in line, and others run within it. Whoever depends on what everybody
    has by now acts between two rounds: `at_rest`.
    """

    def __init__(self, registry: Registry, channels: Channels, timers: Timers) -> None:
        self._registry = registry
        self._channels = channels
        self._timers = timers
        self.tally: ChannelTally | None = None
        self.line: WaitingRoom | None = None  # where publishers wait, if they come here
        self._waits_since: float | None = None  # the first item in line, while that is counted
        self._pending: list[Item] = []
        self._before: list[tuple[list[Item], Step]] = []  # items, and what is done next
        self._updates: dict[Update, None] = {}
        self._done: list[Step] = []
        self._at_rest: list[Step] = []
        self._is_under_way = False
        self._newcomer_turns = 0
        self._lot = trio.lowlevel.ParkingLot()

    def submit(self, items: Iterable[Item], done: Step | None = None) -> int:
        """Put items in line; how many subscribers they are for, at this moment.

        `done` is called when everything in line now is delivered.
        """
        matched = 0
        logs_items = log.is_enabled_for(logging.INFO)
        has_scopes = self._registry.has_scopes
        for item in items:
            receivers = self._registry.count(item)
            if (
                receivers
                or (self._is_busy and self._channels.holds(item.channel))
                or (has_scopes and self._registry.bystanders(item))
            ):
                matched += receivers
                self._pending.append(item)
                if self.line is not None:
                    self.line.enter(size_of(item))
            else:
                # Whoever comes before the next round came after this item.
                self._channels.decided(item)
            if logs_items:
                log.info("publish", channel=item.channel, receivers=receivers)
            if has_scopes and (claim := self._registry.missing_scope(item)):
                log.warning("item without scope", channel=item.channel, claim=claim)
        if done is not None:
            if self._is_busy or self._updates:
                self._when_delivered(done)
            else:
                done()
        if self._pending or self._done:
            if self._waits_since is None and self.tally is not None and self._pending:
                self._waits_since = self._timers.now()
            self._lot.unpark()
        return matched

    def reach(self, items: Iterable[Item]) -> Reach:
        """How many subscribers items have, at this moment; there is room for all of them."""
        matched = sum(self._registry.count(item) for item in items)
        return Reach(matched, matched)

    @property
    def _is_busy(self) -> bool:
        """True if items are on their way or in line, or would be for somebody who comes now."""
        return self._is_under_way or bool(self._pending or self._before or self._newcomer_turns)

    def _when_delivered(self, step: Step) -> None:
        self._done.append(step)

    def in_turn(self, step: Step, channel: str | None = None) -> None:  # noqa: ARG002
        """Run a step after the items that are in line now, and before those that come later.

        If only those of one `channel` matter, it may be sooner.
        """
        if self._is_busy:
            items, self._pending = self._pending, []
            self._before.append((items, step))
            self._lot.unpark()
        else:
            step()

    def update(self, channels: Iterable[str]) -> None:
        """Have all holds of these channels ask their backends, after what is in line."""
        self._updates.update(dict.fromkeys(Update(channel) for channel in channels))
        self._lot.unpark()

    def refresh(self, channel: str) -> None:
        """Have all WebSockets of a channel ask their backends, after what is in line."""
        self._updates[Update(channel, of_websockets=True)] = None
        self._lot.unpark()

    def recover(self) -> None:
        """After what is in line, know no last ids, and have all holds ask their backends."""
        self.in_turn(self._recover)

    def _recover(self) -> None:
        self._channels.forget_last_ids()
        self.update(self._registry.names())

    def expect_newcomers(self) -> None:
        """Let those who have just been woken to subscribe do so before anything is delivered."""
        # They run in the next turn of the loop, before the delivering task or after it.
        self._newcomer_turns = 2
        self._lot.unpark()

    # -- between two rounds ----------------------------------------------------------------

    def at_rest(self, step: Step) -> None:
        """Run a step while nothing is on its way round: now, or after this round."""
        if self._is_under_way:
            self._at_rest.append(step)
        else:
            step()

    async def result_at_rest(self, step: Callable[[], Result]) -> Result:
        """Run a step as `at_rest` does, and wait for what it returns or raises."""
        if not self._is_under_way:
            return step()
        waiting = _Waiting(step)
        self._at_rest.append(waiting.run)
        return await waiting.result()

    # -- rounds ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver for as long as the worker lives, letting others run between slices."""
        while True:
            if self._has_work:
                await trio.lowlevel.checkpoint()
            while not self._has_work:
                await self._lot.park()
            await self._let_newcomers_in()
            await self._go_round()

    @property
    def _has_work(self) -> bool:
        return bool(self._is_busy or self._updates or self._done)

    async def _let_newcomers_in(self) -> None:
        while self._newcomer_turns:
            await trio.lowlevel.checkpoint()
            self._newcomer_turns -= 1

    async def _go_round(self) -> None:
        before, self._before = self._before, []
        items, self._pending = self._pending, []
        updates, self._updates = self._updates, {}
        done, self._done = self._done, []
        for earlier, step in before:
            if earlier:
                await self._deliver_and_leave(earlier)
            run_logged(step)
        if items:
            await self._deliver_and_leave(items)
        if updates:
            await self._round(ask_for_updates(self._registry, updates))
        for step in done:
            run_logged(step)

    async def _deliver_and_leave(self, items: list[Item]) -> None:
        await self._deliver(items)
        if self.line is not None:
            self.line.leave(sum(map(size_of, items)))

    async def _deliver(self, items: list[Item]) -> None:
        since, self._waits_since = self._waits_since, None
        now, tally = self._timers.now(), self.tally
        await self._round(fan_out(self._registry, items, now, self._channels.decided, tally))
        if tally is not None and since is not None:
            tally.delivered_after(self._timers.now() - since)

    async def _round(
        self,
        slices: Iterator[Slice],
        pause: Callable[[Slice], Awaitable[None]] | None = None,
    ) -> None:
        """Go through slices, with others running between them; then do what waits for the end."""
        await self._let_newcomers_in()
        self._is_under_way = True
        try:
            for one in slices:
                if pause is None:
                    await trio.lowlevel.checkpoint()
                else:
                    await pause(one)
        except Exception:
            # A defect met on one item must not end publishing.
            log.exception("delivery failed")
        finally:
            self._is_under_way = False
        steps, self._at_rest = self._at_rest, []
        for step in steps:
            run_logged(step)


def run_logged(step: Step) -> None:
    """Run a step of somebody else's."""
    try:
        step()
    except Exception:
        # A defect of one who waits must not end publishing.
        log.exception("step after delivery failed")


class _Waiting(Generic[Result]):
    """A step that a task waits for: run if and only if that task gets its result."""

    def __init__(self, step: Callable[[], Result]) -> None:
        self._step: Callable[[], Result] | None = step
        self._task = trio.lowlevel.current_task()
        self._results: list[Result] = []
        self._error: Exception | None = None

    def run(self) -> None:
        """Run it, unless its task has been cancelled."""
        if self._step is None:
            return
        try:
            self._results.append(self._step())
        except Exception as error:  # noqa: BLE001  the task's matter
            self._error = error
        trio.lowlevel.reschedule(self._task)

    async def result(self) -> Result:
        """What it returned; raises what it raised."""

        def give_up(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._step = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)
        if self._error is not None:
            raise self._error
        return self._results[0]
