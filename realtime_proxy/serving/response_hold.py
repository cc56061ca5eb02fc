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
from realtime_proxy.model.messages import Response
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.serving.failure_answer import answer_for
from realtime_proxy.serving.hold_order import HoldOrder
from realtime_proxy.serving.http_hold import HttpHold
from realtime_proxy.serving.links import Links
from realtime_proxy.serving.retained_bodies import no_room_for_bodies
from realtime_proxy.sessions.access_loss import AccessLoss
from realtime_proxy.sessions.http_response import answer_of_item
from realtime_proxy.sessions.poll_answer import PollAnswer, poll_answer
from realtime_proxy.sessions.remembered_poll import OwnAnswer, RememberedPoll
from realtime_proxy.wire.encodings import WireForm


class _Stage(Enum):
    """How far a long-poll is."""

    HELD = "waits for an item"
    IN_LINE = "is going to ask its backend"
    ASKING = "asks its backend"
    STALE = "asks, and what it will hear is old already"
    OVER = "something has taken its place"
    ANSWERED = "has answered its client"


_DONE = (_Stage.OVER, _Stage.ANSWERED)
_REPEATING = (_Stage.IN_LINE, _Stage.ASKING, _Stage.STALE)


class ResponseHold(HttpHold):
    """A long-poll: answered by the first item, or at its deadline by the backend's response.

    While its backend is asked again it stays what it is, until the answer takes its place.
    """

    __slots__ = ("_kept_bytes", "_own", "_packed", "_stage", "for_page")

    kind = "response"
    links: Links | None = None  # of those that are to be told of an end

    def __init__(self, order: HoldOrder, instruct: Instruct) -> None:
        """Raises OverloadError if there is no room for the bodies that it has to keep."""
        self._kept_bytes = len(order.body) + len(instruct.body)
        if not order.connection.context.retained.take(self._kept_bytes):
            raise no_room_for_bodies()
        super().__init__(order, WireForm.RESPONSE)
        self._own = _own_answer(order, instruct).pack()
        self._packed = _remembered(order).pack()
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
        if payload is None or self._stage in _DONE:
            return
        if payload.action is Action.HINT:
            self.ask_again()
        elif payload.content_filters:
            self.skipped(item, mismatch_without_filters(payload.content_filters))
        elif payload.action is Action.SEND:
            self._count_item()
            if self.for_page is None:
                context = self.connection.context
                may_stay = context.drain is None
                answer = context.poll_answers.of_item(payload, self._own, may_stay=may_stay)
                self._answer(answer, CloseReason.FINISHED)
            else:
                own = self.own_answer()
                response = answer_of_item(payload, Headers(own.headers), own.body)
                self._answer_with(response, CloseReason.FINISHED)

    def as_seen(self, item: Item) -> Item:
        """An item with the body that its patch makes of this hold's own."""
        payload = item.http_response
        if payload is None or payload.body_patch is None:
            return item
        body = patched_body(self.own_answer().body, payload.body_patch)
        return replace(item, http_response=replace(payload, body=body, body_patch=None))

    def skipped(self, item: Item, error: FilterError) -> None:
        """Do without an item on which a filter failed.

        One that is made for other filters is answered by a 502, as Pushpin does.
        """
        super().skipped(item, error)
        if self._route.debug or isinstance(error, FilterMismatch):
            self._answer_with(answer_for(error, self._route), CloseReason.BACKEND_FAILED)

    # -- asking the backend again ----------------------------------------------------------

    @property
    def exchange(self) -> Exchange | None:
        """What handlers share, if there are any."""
        return self._exchange

    @property
    def is_over(self) -> bool:
        """True if nothing is left to do."""
        return self._stage in _DONE

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

    def own_answer(self) -> OwnAnswer:
        """What its client gets at the deadline."""
        return OwnAnswer.unpack(self._own)

    def remembered(self) -> RememberedPoll:
        """What to ask with."""
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
        self._answer_with(self.own_answer().response(), reason)

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
            self._answer_with(loss.response(challenge), loss.reason)

    def _answer_with(self, response: Response, reason: CloseReason) -> None:
        """Answer with a response that is for this client alone."""
        if self.for_page is not None:
            response = self.for_page.held(response)
        may_stay = self.connection.context.drain is None
        self._answer(poll_answer(self.own_answer(), response, may_stay=may_stay), reason)

    def _answer(self, answer: PollAnswer, reason: CloseReason) -> None:
        if self._stage in _REPEATING:
            self.connection.stop_repeat()
        self._stage = _Stage.ANSWERED
        self._release()
        self.writer.write(answer.data)
        response = answer.response
        if self._exchange is not None and (record := self._exchange.record) is not None:
            # A copy: others may have been given the same answer.
            record.status, record.response_headers = response.status, Headers(response.headers)
        if (counts := self._counts()) is not None:
            counts.client_header_bytes_sent += answer.header_bytes
            counts.client_content_bytes_sent += answer.body_bytes
        self._tell_closed(reason)
        self.connection.resume(keep_alive=answer.keep_alive)


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


def _own_answer(order: HoldOrder, instruct: Instruct) -> OwnAnswer:
    request = order.request
    return OwnAnswer(
        request.head.method,
        request.head.version,
        request.keep_alive,
        instruct.status,
        instruct.reason,
        tuple(order.headers),
        instruct.body,
    )


def _remembered(order: HoldOrder) -> RememberedPoll:
    backend = order.backend_head
    headers = backend.headers
    if order.body or order.request.framing.has_body:  # the whole body is known by now
        headers = headers.replaced(b"Content-Length", b"%d" % len(order.body))
    return RememberedPoll(
        backend.method,
        backend.target,
        tuple(headers),
        order.body,
        order.trusted,
        order.tls,
        order.client_address,
    )
