"""A stream that goes on at next links: its machine, joined to channels, timers and the backend.

It has a task only while a link is fetched.
"""

from collections.abc import Callable
from functools import partial

import trio

from realtime_proxy.backend.response import BackendResponse
from realtime_proxy.channels.subscriber import Subscriber
from realtime_proxy.errors import BackendError, GripError, ProtocolError
from realtime_proxy.grip.instruct import HoldMode, Instruct, parse_link_instruct
from realtime_proxy.grip.response_content import ResponseContent
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.item import Action, Item
from realtime_proxy.net.timers import Timer
from realtime_proxy.serving.delivery_scope import followed
from realtime_proxy.serving.hold_order import HoldOrder
from realtime_proxy.serving.link_tasks import LinkTask
from realtime_proxy.serving.link_timers import SharedTimer
from realtime_proxy.serving.links import Links
from realtime_proxy.serving.stream_hold import StreamHold
from realtime_proxy.serving.waiting_subscriber import WaitingSubscriber
from realtime_proxy.sessions.http_stream import (
    Ask,
    AskLater,
    Deliver,
    Dismiss,
    End,
    Follow,
    Forward,
    Gather,
    HttpStream,
    Page,
    Positions,
    State,
    StreamEffect,
)


class LinkedStream(StreamHold):
    """A stream with a next link, a gone link, or both."""

    __slots__ = (
        "_caught_up",
        "_implicit",
        "_link_timer",
        "_links",
        "_looked_at",
        "_machine",
        "_moves",
        "_pause",
        "_task",
        "_timeout_seconds",
    )

    def __init__(self, order: HoldOrder, instruct: Instruct, form: str, links: Links) -> None:
        """Channels are subscribed to at once, so nothing may be on its way round."""
        limit = order.connection.context.server.max_backlog_bytes
        self._machine = HttpStream(links.next, limit)
        self._timeout_seconds = _timeout_of(instruct)
        self._links = links
        self._implicit = order.implicit
        self._looked_at = 0.0
        self._link_timer: SharedTimer | None = None
        self._pause: Timer | None = None
        self._task: LinkTask | None = None
        self._moves = False  # its places in channels have to be taken anew
        self._caught_up: Positions | None = None
        super().__init__(order, instruct.keep_alive, form)

    def follow(self) -> None:
        """From here on items follow; unless there are newer ones already than the backend knew."""
        positions = self._positions()
        channels = self.connection.context.channels
        if [name for name in positions if channels.contradicts(name, positions[name])]:
            self._perform(self._machine.update(positions))
        else:
            self._wait_for_link()

    def turn_pages(self) -> None:
        """Nothing is held yet: the stream goes on at its link."""
        self._perform(self._machine.start_paging())

    # -- what channels and timers say ------------------------------------------------------

    def item_arrived(self, item: Item) -> None:
        """Act on an item that is not just bytes: a hint has the link followed at once."""
        payload = item.http_stream
        if payload is not None and payload.action is Action.HINT:
            self._at_rest(lambda now: self._machine.update(now, urgent=True))
        else:
            super().item_arrived(item)

    def fell_behind(self, item: Item) -> None:
        """Wait with this item, and ask for what is missing before it."""
        self.keep(item)
        self.connection.context.intake.at_rest(self._gather)

    def update(self) -> None:
        """Look at the link, whatever its time."""
        self._at_rest(self._machine.update)

    def link_due(self) -> None:
        """Look at the link, unless items came on all channels meanwhile: nothing is missing."""
        self._link_timer = None
        groups = [place.group for place in self._subscriptions]
        if groups and all(group.last_write_at > self._looked_at for group in groups):
            self._looked_at = self.connection.context.timers.now()
            self._wait_for_link()
        else:
            self.update()

    def _gather(self) -> None:
        """Ask for what is missing, once it is settled what the client has."""
        if self.personal is not None and self.is_filtering:
            intake = self.connection.context.intake
            self.personal.when_settled(lambda: intake.at_rest(self._gather))
        else:
            self._perform(self._machine.fell_behind(self._positions()))

    def last_ids(self) -> dict[str, str | None]:
        """The channels, as the backend names them, with the last ids that the client has."""
        if self._caught_up is None:
            return super().last_ids()
        prefix = self._route.channel_prefix
        return {name.removeprefix(prefix): last_id for name, last_id in self._caught_up.items()}

    def keep(self, item: Item) -> None:
        """Have an item wait until the link is asked."""
        if self.personal is None and self.form.names_filters(item):
            return  # not for this client: what follows it is behind a gap
        if not self._machine.item_waits(item):
            self._route.log.warning(
                "too much waits for a link", channel=item.channel, uri=_shown(self._machine.uri)
            )

    def _at_rest(self, event: Callable[[Positions], list[StreamEffect]]) -> None:
        """Tell the machine something when nothing is on its way round."""
        intake = self.connection.context.intake
        intake.at_rest(lambda: self._perform(event(self._positions())))

    def _positions(self) -> Positions:
        return {place.group.channel: place.group.position for place in self._subscriptions}

    # -- effects ---------------------------------------------------------------------------

    def _perform(self, effects: list[StreamEffect]) -> None:
        followed: Positions = {}
        early: list[Item] = []  # behind one on which a filter failed
        for effect in effects:
            match effect:
                case Ask():
                    self._ask(effect)
                case AskLater(seconds):
                    self._pause = self.connection.context.timers.after(seconds, self._pause_over)
                case Dismiss():
                    self._dismiss()
                case Gather():
                    self._moves = True
                    self._subscribe_anew(dict.fromkeys(self._positions()), WaitingSubscriber(self))
                case Forward():
                    self._stop_keep_alive()
                case Follow(followed):
                    self._follow(followed)
                case Deliver(item) if self._has_fallen_back(item.channel, followed):
                    early.append(item)
                case Deliver(item, positions):
                    self._caught_up = positions
                    self._deliver(item)
                    self._caught_up = None
                case End(problem, is_cut):
                    if problem:
                        self.fail(problem, is_cut=is_cut)
                    else:
                        self.end(CloseReason.FINISHED)
            if self._machine.state is State.ENDED:
                return  # an item that had waited was a close
        for item in early:
            self.fell_behind(item)

    def _has_fallen_back(self, channel: str, followed: Positions) -> bool:
        return self.personal is not None and self._positions().get(channel) != followed[channel]

    def _ask(self, ask: Ask) -> None:
        context = self.connection.context
        self._leave_link_timer()
        self._looked_at = context.timers.now()
        self._task = context.link_tasks.start(partial(self._work, ask), urgent=ask.urgent)

    def _dismiss(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _pause_over(self) -> None:
        self.connection.context.intake.at_rest(self._retry)

    def _retry(self) -> None:
        if self._pause is not None:  # else what was to be asked was dismissed before this round
            self._pause = None
            self._perform(self._machine.retry(self._positions()))

    def _subscribe_anew(self, positions: Positions, subscriber: Subscriber) -> None:
        registry = self.connection.context.registry
        before, self._subscriptions = self._subscriptions, ()
        self._join(positions, subscriber)
        for place in before:  # only now, so that no channel is deserted in between
            self.sent(place.messages)
            registry.unsubscribe(place)

    def _follow(self, positions: Positions) -> None:
        if self._moves or positions != self._positions() or self._is_named_anew():
            self._moves = False
            self._subscribe_anew(positions, self)
        if self._timer is None:
            self._arm()
        self._wait_for_link()

    def _is_named_anew(self) -> bool:
        """True if a channel's name says by now whom its items are for."""
        groups = [place.group for place in self._subscriptions]
        return any(group.scope != self.scope_on(group.channel) for group in groups)

    def _deliver(self, item: Item) -> None:
        if not self.form.concerns(item):
            return  # it was for others
        self._armed_at = self.connection.context.timers.now()
        data = self.form.encode(item)
        if self.personal is not None:
            self.personal.give(item, data)
        elif data is None:
            self.item_arrived(item)
        else:
            self.writer.write(data)
            self.sent()
            if item.http_stream is not None:
                self._content_sent(len(item.http_stream.content))

    # -- the link --------------------------------------------------------------------------

    def _wait_for_link(self) -> None:
        self._leave_link_timer()
        if self._machine.uri is not None:
            timers = self.connection.context.link_timers
            self._link_timer = timers.join(self._machine.uri, self._timeout_seconds, self)

    def _leave_link_timer(self) -> None:
        if self._link_timer is not None:
            self.connection.context.link_timers.leave(self._link_timer, self)
            self._link_timer = None

    async def _work(self, ask: Ask, task: LinkTask) -> None:
        try:
            await self._fetch(ask, task)
        except trio.BrokenResourceError:
            pass  # the client is gone, which the watcher reports
        except Exception:
            self._route.log.exception("stream failed", route=self._route.id)
            if self._task is task:
                self.connection.close(CloseReason.INTERNAL_ERROR)
        finally:
            if self._task is task:
                self._task = None

    async def _fetch(self, ask: Ask, task: LinkTask) -> None:
        try:
            page, instruct = await self._receive(ask, task)
        except (BackendError, ProtocolError) as error:
            self._route.log.warning(
                "next link failed", route=self._route.id, uri=_shown(ask.uri), problem=str(error)
            )
            await self._tell(task, lambda _: self._machine.failed())
        except GripError as error:
            problem = str(error)
            await self._tell(task, lambda _: self._machine.refused(problem))
        else:
            held = page.positions if page.hold is HoldMode.STREAM else ()
            async with self.connection.context.holding(tuple(held)):
                await self._tell(task, lambda now: self._completed(page, instruct, now))

    async def _tell(self, task: LinkTask, event: Callable[[Positions], list[StreamEffect]]) -> None:
        """Tell the machine something when nothing is on its way round, and do what it says.

        Raises Cancelled if that was to let this request go, or if somebody has just done so: a task
        that was about to run goes on up to here.
        """

        def tell() -> None:
            if not task.is_over:
                self._perform(event(self._positions()))

        await self.connection.context.intake.result_at_rest(tell)
        await trio.lowlevel.checkpoint_if_cancelled()

    async def _receive(self, ask: Ask, task: LinkTask) -> tuple[Page, Instruct]:
        """Fetch a link and pass its body on; what its head says."""
        request = self._links.request(ask, self._looked_at)
        response = await self.connection.context.link_requests.fetch(self._links.errand, request)
        task.leave_place()
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            instruct = parse_link_instruct(response.head)
            instruct = followed(instruct, self._route, self._exchange)
            page = self._links.page(ask, instruct, self._implicit)
            self._machine.answered(page)
            await self._forward(task, response, ResponseContent(instruct.channels, instruct.meta))
        finally:
            response.close()
        return page, instruct

    async def _forward(
        self, task: LinkTask, response: BackendResponse, content: ResponseContent
    ) -> None:
        has_begun = False
        part = content.feed(response.take())
        while True:
            if part and not has_begun:
                has_begun = True
                await self._begin_body(task)
            if part:
                await self.connection.send(self._encoded(part))
                self._content_sent(len(part))
            if response.complete:
                return content.finish()
            part = content.feed(await response.read())

    async def _begin_body(self, task: LinkTask) -> None:
        """Have the body be what comes next: after items that wait for a filter."""
        intake = self.connection.context.intake
        while not await intake.result_at_rest(lambda: task.is_over or self._body_begins()):
            settled = trio.Event()
            if self.personal is not None:
                self.personal.when_settled(settled.set)
                await settled.wait()
        await trio.lowlevel.checkpoint_if_cancelled()

    def _body_begins(self) -> bool:
        if self.is_filtering:
            return False
        self._perform(self._machine.body_begins(self._positions()))
        return True

    def _completed(self, page: Page, instruct: Instruct, now: Positions) -> list[StreamEffect]:
        channels = self.connection.context.channels
        known = {name: channels.last_id(name) for name in page.positions}
        if page.hold is HoldMode.STREAM and not page.problem:
            self._adopt(instruct)
        return self._machine.completed(now, known)

    def _adopt(self, instruct: Instruct) -> None:
        """Go by what a new hold says; of its channels the machine tells."""
        self._timeout_seconds = _timeout_of(instruct)
        keep_alive = instruct.keep_alive or self._comments
        if keep_alive != self._keep_alive:
            self._stop_keep_alive()
            self._keep_alive = keep_alive
        most = self.connection.context.grip.max_channels
        filters = instruct.filters(self._route.channel_prefix, most)
        if filters or self.personal is not None:
            self._moves = self._moves or self.personal is None
            self._filter(filters, instruct.meta, lambda: self._links.errand)

    def _stop_keep_alive(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- the end ---------------------------------------------------------------------------

    @property
    def may_end(self) -> bool:
        """False while something for it is on its way: items, or what a link gives it."""
        return self._machine.state is not State.RECEIVING and super().may_end

    def _release(self) -> None:
        self._machine.ended()
        self._dismiss()
        self._leave_link_timer()
        super()._release()

    def _tell_closed(self, reason: CloseReason) -> None:
        super()._tell_closed(reason)
        self._links.tell_gone()


def _shown(uri: str | None) -> str:
    """A link as logs may have it: queries carry secrets."""
    return (uri or "").partition("?")[0]


def _timeout_of(instruct: Instruct) -> int:
    return 0 if instruct.next_link is None else instruct.next_link.timeout_seconds
