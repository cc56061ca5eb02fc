"""HTTP clients held open: streams that items are appended to, long-polls that one item answers.

A hold has no task. Items, timers and the watcher call it; what it does never waits.
"""

import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING

import attrs
from msgspec.structs import replace

from realtime_proxy.channels.counted import counting
from realtime_proxy.channels.group import Subscription
from realtime_proxy.channels.subscriber import Subscriber
from realtime_proxy.errors import FilterError, FilterMismatch, ProtocolError
from realtime_proxy.grip.filters import FilterChain, mismatch_without_filters
from realtime_proxy.grip.instruct import Instruct, KeepAlive, KeepAliveMode
from realtime_proxy.grip.json_patch import patched_body
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.connection_record import ConnectionRecord
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import Action, Item
from realtime_proxy.model.messages import RequestHead, Response
from realtime_proxy.model.uri import Uri
from realtime_proxy.net.timers import Timer
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.routing.script import ScriptBody
from realtime_proxy.serving.backend_tally import response_head_bytes
from realtime_proxy.serving.client_exchange import ForPage, answer_for
from realtime_proxy.serving.errand import Errand
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.personal_delivery import (
    PersonalDelivery,
    note_skipped,
    personal_delivery,
)
from realtime_proxy.sessions.http_response import answer_of_item
from realtime_proxy.sessions.keep_alive import first_delay, idle_delay
from realtime_proxy.sessions.remembered_poll import RememberedPoll
from realtime_proxy.wire.encodings import WireForm
from realtime_proxy.wire.http1_server import (
    LAST_CHUNK,
    BodyForm,
    IncomingRequest,
    encode_chunk,
    encode_response_head,
    response_form,
)

if TYPE_CHECKING:
    from realtime_proxy.serving.http_connection import HttpConnection


@attrs.define
class HoldOrder:
    """Everything a hold is made of: whose connection, which channels, what to send and repeat.

    `positions` has the id of the last item that the client has, for each channel (with its
    prefix) that is tracked; else None.
    """

    connection: "HttpConnection"
    request: IncomingRequest
    route: LiveRoute
    positions: Mapping[str, str | None]
    implicit: tuple[str, ...]  # those of the channels that the target adds to every hold
    filters: dict[str, FilterChain]  # by channel, where there are any
    meta: dict[str, str]
    headers: Headers  # for the client
    backend_head: RequestHead  # to ask again
    body: bytes
    trusted: bool
    exchange: Exchange | None
    for_page: ForPage
    is_retry: bool
    script: ScriptBody | None = None  # that a stream's body is part of

    def log_subscriptions(self) -> None:
        """Write a record for each channel."""
        context, head = self.connection.context, self.backend_head
        scheme = "https" if self.connection.counts_as_tls(self.request.head) else "http"
        uri = context.request_log.uri(scheme, head.headers.get(b"host") or b"", head.target)
        further = {"retry": True} if self.is_retry else {}
        for channel in self.positions:
            self.route.log.info("subscribe", uri=uri, channel=channel, **further)

    @property
    def counts(self) -> bool:
        """True if the client may fall behind on any channel."""
        return any(position is not None for position in self.positions.values())

    def errand(self) -> Errand | None:
        """For requests on behalf of the hold; None if what the client asked for is no URI."""
        context, head = self.connection.context, self.backend_head
        scheme = "https" if self.connection.counts_as_tls(self.request.head) else "http"
        try:
            uri = Uri.of_request(scheme, head.headers.get(b"host") or b"", head.target)
        except ValueError:
            return None
        return Errand(context, self.route, self.exchange, uri)


class _Hold:
    """What both kinds share: subscriptions, a timer, handlers and filters, those that watch."""

    __slots__ = (
        "_exchange",
        "_route",
        "_subscriptions",
        "_timer",
        "connection",
        "form",
        "personal",
        "writer",
    )

    kind = ""

    def __init__(self, order: HoldOrder, form: WireForm) -> None:
        self.connection = order.connection
        record = None if order.exchange is None else order.exchange.record
        self.writer = counting(order.connection.socket, record)
        self.form = form
        self._route = order.route
        self._exchange = order.exchange
        self.personal = personal_delivery(self, order.route, order.exchange)
        if order.filters:
            self._filter(order.filters, order.meta, order.errand)
        self._timer: Timer | None = None
        self._subscriptions: tuple[Subscription, ...] = ()

    @property
    def route_id(self) -> str:
        """The id that the configuration gives its route, empty if it gives none."""
        return self._route.stats_id

    def item_arrived(self, item: Item) -> None:
        """Act on an item that is more than bytes to append."""
        raise NotImplementedError

    def skipped(self, item: Item, error: FilterError) -> None:
        """Do without an item on which a filter failed."""
        note_skipped(self.connection.context, self._route, item, error)

    def as_seen(self, item: Item) -> Item:
        """An item with the content that this client would get without filters."""
        return item

    def last_ids(self) -> dict[str, str | None]:
        """The channels, as the backend names them, with the last ids that the client has."""
        prefix = self._route.channel_prefix
        return {
            place.group.channel.removeprefix(prefix): place.group.position
            for place in self._subscriptions
        }

    def is_tracked(self, channel: str) -> bool:
        """True if items of this channel have to follow each other."""
        return any(
            place.group.channel == channel and place.group.position is not None
            for place in self._subscriptions
        )

    def fall_back(self, channel: str, position: str) -> None:
        """Be at this earlier place in a channel, if its places count."""
        registry = self.connection.context.registry
        places = list(self._subscriptions)
        for index, place in enumerate(places):
            group = place.group
            if group.channel == channel and group.position is not None:
                places[index] = registry.subscribe(
                    channel, self, shared=group.is_shared, position=position
                )
                registry.unsubscribe(place)
        self._subscriptions = tuple(places)

    def _filter(
        self,
        filters: dict[str, FilterChain],
        meta: Mapping[str, str],
        make_errand: Callable[[], Errand | None],
    ) -> None:
        if self.personal is None:
            self.personal = PersonalDelivery(self, self._route, self._exchange)
        self.personal.filter_by(filters, meta)
        if any(chain.asks for chain in filters.values()):
            self.personal.go_by(make_errand())

    def fell_behind(self, item: Item) -> None:
        """Ask the backend for what is missing, if there is a way to."""

    def update(self) -> None:
        """Ask the backend for news, if there is a way to."""

    def _subscribe(self, order: HoldOrder, positions: Mapping[str, str | None]) -> None:
        self._join(positions, self)
        if self._route.logs_requests:
            order.log_subscriptions()
        if (tally := self.connection.context.tally) is not None:
            tally.hold(self.connection, self.kind)
        if self._exchange is not None and self._route.chain is not None:
            self._exchange.held = self.kind
            if (record := self._record) is not None:
                record.opened_at = record.opened_at or time.time()
                record.holds += 1
                record.channels = tuple(positions)
            self._route.chain.opened(self._exchange)

    def _join(self, positions: Mapping[str, str | None], subscriber: Subscriber) -> None:
        registry = self.connection.context.registry
        shared = len(positions) > 1
        for channel, position in positions.items():
            place = registry.subscribe(channel, subscriber, shared=shared, position=position)
            self._subscriptions += (place,)

    def _release(self) -> None:
        """Leave every channel, and forget the timer."""
        registry = self.connection.context.registry
        for subscription in self._subscriptions:
            registry.unsubscribe(subscription)
        self._subscriptions = ()
        if self.personal is not None:
            self.personal.close()
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _record(self) -> ConnectionRecord | None:
        return None if self._exchange is None else self._exchange.record

    def _count_item(self) -> None:
        """Count an item that this hold has acted on by itself."""
        if (record := self._record) is not None:
            record.messages_out += 1

    def _tell_closed(self, reason: CloseReason) -> None:
        if (tally := self.connection.context.tally) is not None:
            tally.closed(self.connection, reason.value)
        if self._exchange is not None and self._route.chain is not None:
            self._route.chain.closed(self._exchange, reason.value)

    def client_gone(self, reason: CloseReason) -> None:
        """The client's connection has ended, whatever the reason."""
        self._release()
        self._tell_closed(reason)

    def _last_delivery_at(self) -> float:
        at_latest = 0.0 if self.personal is None else self.personal.last_write_at
        return max([at_latest, *(place.group.last_write_at for place in self._subscriptions)])


class StreamHold(_Hold):
    """An HTTP response whose body stays open: items are appended to it."""

    __slots__ = ("_armed_at", "_form", "_keep_alive", "_keeps_connection", "_script")

    kind = "stream"

    def __init__(self, order: HoldOrder, keep_alive: KeepAlive | None, form: str) -> None:
        chunked = form == BodyForm.CHUNKED
        wire_form = WireForm.CHUNK if chunked else WireForm.RAW
        super().__init__(order, WireForm.ITEM if order.script is not None else wire_form)
        self._script = order.script
        self._form = form
        self._keep_alive = keep_alive
        self._keeps_connection = chunked and order.request.keep_alive
        self._armed_at = 0.0
        self._subscribe(order, order.positions)

    def begin(self, data: bytes) -> None:
        """Send the head and what goes with it; from here on items follow."""
        self.connection.hold(self)
        if data:
            self.writer.write(data)
        self._arm()

    def item_arrived(self, item: Item) -> None:
        """Act on an item that is not just bytes: a close, or anything within a script."""
        payload = item.http_stream
        if payload is None:
            return
        if payload.action is Action.CLOSE:
            self.end(CloseReason.PUBLISHED_CLOSE)
        elif payload.content_filters:
            self.skipped(item, mismatch_without_filters(payload.content_filters))
        elif payload.action is Action.SEND and self._append(payload.content):
            self._armed_at = self.connection.context.timers.now()
            self._count_item()

    def _append(self, content: bytes, *, is_last: bool = False) -> bool:
        """Send something as more of the body. What can't be part of a script cuts it: False."""
        self._content_sent(len(content))
        try:
            data = self._encoded(content, is_last=is_last)
        except ProtocolError as error:
            self._route.log.warning("stream failed", route=self._route.id, problem=str(error))
            self.connection.close(CloseReason.INTERNAL_ERROR)
            return False
        self.writer.write(data)
        return True

    def _content_sent(self, size: int) -> None:
        """Count what is sent to this client alone."""
        if (tally := self.connection.context.tally) is not None:
            tally.route(self.route_id).client_content_bytes_sent += size

    def _encoded(self, content: bytes, *, is_last: bool = False) -> bytes:
        """Some of the body as it is sent. Raises ProtocolError if it can't be part of a script."""
        if self._script is not None:
            content = self._script.encode(content, is_last=is_last)
        return encode_chunk(content) if self._form == BodyForm.CHUNKED else content

    def skipped(self, item: Item, error: FilterError) -> None:
        """Do without an item on which a filter failed; with `debug`, end with the reason."""
        super().skipped(item, error)
        if self._route.debug:
            self.fail(error.reason)

    def end(self, reason: CloseReason) -> None:
        """End the body as it should end, and let the connection take the next request."""
        if self._script is not None and not self._append(b"", is_last=True):
            return
        self._release()
        if self._form == BodyForm.CHUNKED:
            self.writer.write(LAST_CHUNK)
        self._tell_closed(reason)
        self.connection.resume(keep_alive=self._keeps_connection)

    def fail(self, problem: str, *, is_cut: bool = False) -> None:
        """End the body because of a backend; if some of it is missing, so that the client can tell.

        On debug routes it is told why (grip.md G-6.4.5).
        """
        self.connection.context.counters.backend_failures += 1
        self._route.log.warning("stream failed", route=self._route.id, problem=problem)
        if self._route.debug and not self._append(f"\n\n{problem}\n".encode()):
            return
        if is_cut and not self._route.debug:
            is_plain = self._form == BodyForm.CLOSE
            self.connection.close(CloseReason.BACKEND_FAILED, reset=is_plain)
        else:
            self.end(CloseReason.BACKEND_FAILED)

    def _arm(self) -> None:
        """Set the timer for the next keep-alive, or for the longest silence allowed."""
        timers = self.connection.context.timers
        self._armed_at = timers.now()
        if self._keep_alive is not None:
            delay = first_delay(self._keep_alive.timeout_seconds)
            self._timer = timers.after(delay, self._keep_alive_due)
        elif limit := self.connection.context.server.hold_timeout_seconds:
            self._timer = timers.after(limit, self._silence_due)

    def _keep_alive_due(self) -> None:
        keep_alive = self._keep_alive
        if keep_alive is None:
            return
        timers = self.connection.context.timers
        if keep_alive.mode is KeepAliveMode.IDLE:
            silent = timers.now() - max(self._armed_at, self._last_delivery_at())
            if delay := idle_delay(keep_alive.timeout_seconds, silent):
                self._timer = timers.after(delay, self._keep_alive_due)
                return
        if (tally := self.connection.context.tally) is not None:
            tally.route(self.route_id).activity += 1
        if self._append(keep_alive.content):
            self._arm()

    def _silence_due(self) -> None:
        context = self.connection.context
        limit = context.server.hold_timeout_seconds
        left = limit - (context.timers.now() - max(self._armed_at, self._last_delivery_at()))
        if left > 0:
            self._timer = context.timers.after(left, self._silence_due)
        else:
            self.end(CloseReason.IDLE)


class _Stage(Enum):
    """How far a long-poll is."""

    HELD = "waits for an item"
    IN_LINE = "is going to ask its backend"
    ASKING = "asks its backend"
    STALE = "asks, and what it will hear is old already"
    OVER = "something has taken its place"
    ANSWERED = "has answered its client"


class ResponseHold(_Hold):
    """A long-poll: answered by the first item, or at its deadline by the backend's response.

    While its backend is asked again it stays what it is, until the answer takes its place.
    """

    __slots__ = ("_packed", "_stage", "for_page")

    kind = "response"

    def __init__(self, order: HoldOrder, instruct: Instruct) -> None:
        super().__init__(order, WireForm.RESPONSE)
        self._packed = _remembered(order, instruct).pack()
        self.for_page = order.for_page
        self._stage = _Stage.HELD
        self._subscribe(order, order.positions)

    def begin(self, timeout_seconds: float) -> None:
        """Wait for an item or the deadline."""
        self.connection.hold(self)
        timers = self.connection.context.timers
        self._timer = timers.after(timeout_seconds, self._time_out)

    def item_arrived(self, item: Item) -> None:
        """Answer with the item, or ask the backend again on a hint."""
        payload = item.http_response
        if payload is None or self.is_over:
            return
        if payload.action is Action.HINT:
            self.ask_again()
        elif payload.content_filters:
            self.skipped(item, mismatch_without_filters(payload.content_filters))
        elif payload.action is Action.SEND:
            self._count_item()
            poll = self.remembered()
            answer = answer_of_item(payload, Headers(poll.headers), poll.body)
            self._answer(poll, answer, CloseReason.FINISHED)

    def as_seen(self, item: Item) -> Item:
        """An item with the body that its patch makes of this hold's own."""
        payload = item.http_response
        if payload is None or payload.body_patch is None:
            return item
        body = patched_body(self.remembered().body, payload.body_patch)
        return replace(item, http_response=replace(payload, body=body, body_patch=None))

    def skipped(self, item: Item, error: FilterError) -> None:
        """Do without an item on which a filter failed.

        One that is made for other filters is answered by a 502, as Pushpin does.
        """
        super().skipped(item, error)
        if self._route.debug or isinstance(error, FilterMismatch):
            poll = self.remembered()
            failure = answer_for(error, self._route)
            self._answer(poll, failure, CloseReason.BACKEND_FAILED)

    # -- asking the backend again ----------------------------------------------------------

    @property
    def route(self) -> LiveRoute:
        """The route it was held with."""
        return self._route

    @property
    def exchange(self) -> Exchange | None:
        """What handlers share, if there are any."""
        return self._exchange

    @property
    def is_over(self) -> bool:
        """True if nothing is left to do."""
        return self._stage in (_Stage.OVER, _Stage.ANSWERED)

    @property
    def is_stale(self) -> bool:
        """True if there is more to ask than what was asked."""
        return self._stage is _Stage.STALE

    @property
    def is_answered(self) -> bool:
        """True if the client has its answer from here."""
        return self._stage is _Stage.ANSWERED

    def fell_behind(self, item: Item) -> None:  # noqa: ARG002  the backend's answer will tell
        """Ask the backend for what is missing."""
        self.ask_again()

    def update(self) -> None:
        """Ask the backend for news, when it is convenient."""
        self.ask_again(urgent=False)

    def ask_again(self, *, urgent: bool = True) -> None:
        """Ask the backend again, which may take a while; its response takes this hold's place."""
        if self._stage is _Stage.ASKING:
            self._stage = _Stage.STALE
        elif self._stage is _Stage.HELD:
            self._stage = _Stage.IN_LINE
            self.connection.context.polls.enter(self, urgent=urgent)

    def begin_asking(self, *, urgent: bool) -> bool:
        """Ask; False if there is nobody any more to ask for."""
        if self.is_over:
            return False
        self.connection.repeat(self, urgent=urgent)
        return True

    def asked(self) -> dict[str, str | None]:
        """The last ids to ask with, which is done now."""
        self._stage = _Stage.ASKING
        return self.last_ids()

    def known_ids(self) -> dict[str, str | None]:
        """The last ids of its channels that are known here by now, whatever its client has."""
        last_id = self.connection.context.channels.last_id
        names = (place.group.channel for place in self._subscriptions)
        return {name: last_id(name) for name in names}

    def give_way(self) -> None:
        """Something else takes the place of this hold."""
        self._stage = _Stage.OVER
        self._release()
        if self._exchange is not None:
            self._exchange.held = ""
        self.connection.leave_to_repeat()

    # -- the end ---------------------------------------------------------------------------

    def remembered(self) -> RememberedPoll:
        """How to answer, and what to ask with."""
        return RememberedPoll.unpack(self._packed)

    def client_gone(self, reason: CloseReason) -> None:
        """The client's connection has ended, whatever the reason."""
        self._stage = _Stage.OVER
        super().client_gone(reason)

    def _time_out(self) -> None:
        poll = self.remembered()
        answer = Response(poll.status, Headers(poll.headers), poll.body, poll.reason)
        self._answer(poll, answer, CloseReason.TIMED_OUT)

    def _answer(self, poll: RememberedPoll, response: Response, reason: CloseReason) -> None:
        if self._stage in (_Stage.ASKING, _Stage.STALE, _Stage.IN_LINE):
            self.connection.stop_repeat()
        self._stage = _Stage.ANSWERED
        self._release()
        if self.for_page is not None:
            response = self.for_page.held(response)
        request = RequestHead(poll.method, b"", Headers(), poll.version)
        length = len(response.body)
        form = response_form(request, response.status, length)
        old = poll.version == b"1.0"
        data = encode_response_head(
            response.head(), form, length, keep_alive=poll.keep_alive, old_client=old
        )
        self.writer.write(data if form == BodyForm.NONE else data + response.body)
        if (record := self._record) is not None:
            record.status, record.response_headers = response.status, response.headers
        if (tally := self.connection.context.tally) is not None:
            traffic = tally.route(self.route_id)
            traffic.client_header_bytes_sent += response_head_bytes(response.head())
            traffic.client_content_bytes_sent += length
        self._tell_closed(reason)
        self.connection.resume(keep_alive=poll.keep_alive)


def _remembered(order: HoldOrder, instruct: Instruct) -> RememberedPoll:
    request, backend = order.request, order.backend_head
    return RememberedPoll(
        method=request.head.method,
        version=request.head.version,
        keep_alive=request.keep_alive,
        status=instruct.status,
        reason=instruct.reason,
        headers=tuple(order.headers),
        body=instruct.body,
        backend_method=backend.method,
        backend_target=backend.target,
        backend_headers=tuple(_with_length(order)),
        backend_body=order.body,
        is_trusted=order.trusted,
    )


def _with_length(order: HoldOrder) -> Headers:
    """The fields to ask again with: the whole body is known by now."""
    headers = order.backend_head.headers
    if not order.body and not order.request.framing.has_body:
        return headers
    return headers.replaced(b"Content-Length", b"%d" % len(order.body))
