"""Long-polls: one item answers, or in the end the backend's response."""

from enum import Enum

from msgspec.structs import replace

from realtime_proxy.errors import FilterError, FilterMismatch
from realtime_proxy.grip.filters import mismatch_without_filters
from realtime_proxy.grip.instruct import Instruct
from realtime_proxy.grip.json_patch import patched_body
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import Action, Item
from realtime_proxy.model.messages import RequestHead, Response
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.serving.failure_answer import answer_for
from realtime_proxy.serving.hold_order import HoldOrder
from realtime_proxy.serving.http_hold import HttpHold
from realtime_proxy.serving.links import Links
from realtime_proxy.serving.retained_bodies import no_room_for_bodies
from realtime_proxy.sessions.access_loss import AccessLoss
from realtime_proxy.sessions.http_response import answer_of_item
from realtime_proxy.sessions.remembered_poll import RememberedPoll
from realtime_proxy.wire.encodings import WireForm
from realtime_proxy.wire.http1_server import (
    BodyForm,
    encode_response_head,
    response_form,
)


class _Stage(Enum):
    """How far a long-poll is."""

    HELD = "waits for an item"
    IN_LINE = "is going to ask its backend"
    ASKING = "asks its backend"
    STALE = "asks, and what it will hear is old already"
    OVER = "something has taken its place"
    ANSWERED = "has answered its client"


class ResponseHold(HttpHold):
    """A long-poll: answered by the first item, or at its deadline by the backend's response.

    While its backend is asked again it stays what it is, until the answer takes its place.
    """

    __slots__ = ("_kept_bytes", "_packed", "_stage", "for_page")

    kind = "response"
    links: Links | None = None  # of those that are to be told of an end

    def __init__(self, order: HoldOrder, instruct: Instruct) -> None:
        """Raises OverloadError if there is no room for the bodies that it has to keep."""
        self._kept_bytes = len(order.body) + len(instruct.body)
        if not order.connection.context.retained.take(self._kept_bytes):
            raise no_room_for_bodies()
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

    def give_way(self) -> float | None:
        """Something else takes the place of this hold. Until when that may be held, if limited."""
        self._stage = _Stage.OVER
        self._release()
        self.connection.context.lifetimes.end(self, CloseReason.FINISHED)
        ends_at = self.connection.context.ages.end(self)
        if self._exchange is not None:
            self._exchange.held = ""
        self.connection.leave_to_repeat()
        return ends_at

    # -- the end ---------------------------------------------------------------------------

    def remembered(self) -> RememberedPoll:
        """How to answer, and what to ask with."""
        return RememberedPoll.unpack(self._packed)

    def _release(self) -> None:
        """Leave every channel, and forget the timer."""
        super()._release()
        self.connection.context.retained.give_back(self._kept_bytes)
        self._kept_bytes = 0

    def client_gone(self, reason: CloseReason) -> None:
        """The client's connection has ended, whatever the reason."""
        self._stage = _Stage.OVER
        super().client_gone(reason)

    def _time_out(self, reason: CloseReason = CloseReason.TIMED_OUT) -> None:
        poll = self.remembered()
        answer = Response(poll.status, Headers(poll.headers), poll.body, poll.reason)
        self._answer(poll, answer, reason)

    def let_go(self) -> bool:
        """Answer as at the deadline. False while an item for it is on its way through a filter."""
        if not self.may_end:
            return False
        if not self.is_over:
            self._time_out(CloseReason.SHUTDOWN)
        return True

    def dismiss(self, dismissal: Dismissal) -> None:
        """Answer as at the deadline."""
        if not self.is_over:
            self._time_out(dismissal.reason)

    def lose_access(self, loss: AccessLoss) -> None:
        """Answer in place of the backend."""
        if not self.is_over:
            challenge = "" if self.identity is None else self.identity.challenge
            self._answer(self.remembered(), loss.response(challenge), loss.reason)

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
        keep_alive = poll.keep_alive and self.connection.context.drain is None
        head = response.head()
        data = encode_response_head(head, form, length, keep_alive=keep_alive, old_client=old)
        self.writer.write(data if form == BodyForm.NONE else data + response.body)
        if (record := self._record) is not None:
            record.status, record.response_headers = response.status, response.headers
        if (counts := self._counts()) is not None:
            counts.client_header_bytes_sent += head.content_bytes()
            counts.client_content_bytes_sent += length
        self._tell_closed(reason)
        self.connection.resume(keep_alive=keep_alive)


class ToldPoll(ResponseHold):
    """A long-poll whose backend wants to be told when it is over."""

    __slots__ = ("links",)

    def __init__(self, order: HoldOrder, instruct: Instruct, links: Links) -> None:
        super().__init__(order, instruct)
        self.links = links

    def _tell_closed(self, reason: CloseReason) -> None:
        super()._tell_closed(reason)
        if self.links is not None:
            self.links.tell_gone()


def hold_of(order: HoldOrder, instruct: Instruct, links: Links | None) -> ResponseHold:
    """The hold of a request. A next link means nothing to it."""
    if links is None or links.gone is None:
        return ResponseHold(order, instruct)
    return ToldPoll(order, instruct, links)


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
        is_tls=order.tls,
        client_address=order.client_address,
    )


def _with_length(order: HoldOrder) -> Headers:
    """The fields to ask again with: the whole body is known by now."""
    headers = order.backend_head.headers
    if not order.body and not order.request.framing.has_body:
        return headers
    return headers.replaced(b"Content-Length", b"%d" % len(order.body))
