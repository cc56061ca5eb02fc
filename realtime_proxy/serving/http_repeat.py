"""A held request asked again: the backend may answer, hold it again, or fail."""

import time
from typing import TYPE_CHECKING

import attrs
import trio

from realtime_proxy.errors import BackendError
from realtime_proxy.grip.instruct import Instruct
from realtime_proxy.metrics.route_tally import RouteTally
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, ResponseHead
from realtime_proxy.serving.answered_request import After
from realtime_proxy.serving.hold_order import HoldOrder
from realtime_proxy.serving.http_exchange import HttpExchange
from realtime_proxy.serving.links import Links
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.request_body import StoredBody
from realtime_proxy.serving.request_log import LoggedRequest
from realtime_proxy.serving.response_hold import ResponseHold
from realtime_proxy.serving.upstream import BackendRequest, Upstream
from realtime_proxy.wire.http1_rules import NO_BODY
from realtime_proxy.wire.http1_server import IncomingRequest

if TYPE_CHECKING:
    from realtime_proxy.serving.http_connection import HttpConnection

_LINE = "long-polls"  # of all of them, in the room of recoveries


class Superseded(trio.BrokenResourceError):
    """The client has been answered otherwise while its backend was asked."""


class RepeatedExchange(HttpExchange):
    """Asks the backend of a long-poll again. The hold stays until there is something instead."""

    __slots__ = (
        "_asked_with",
        "_ends_at",
        "_has_taken_over",
        "_hold",
        "_known",
        "_poll",
        "_urgent",
    )

    is_retry = True

    def __init__(self, connection: "HttpConnection", hold: ResponseHold, *, urgent: bool) -> None:
        poll, own = hold.remembered(), hold.own_answer()
        client_head = RequestHead(own.method, poll.target, Headers(), own.version)
        request = IncomingRequest(
            client_head, b"", NO_BODY, keep_alive=own.keep_alive, expects_continue=False
        )
        super().__init__(connection, request, StoredBody(poll.body))
        self._hold = hold
        self._poll = poll
        self._urgent = urgent
        self._has_taken_over = False
        self._ends_at: float | None = None  # until when it may be held, by its first hold
        self._asked_with = RequestHead(poll.method, poll.target, Headers(poll.headers))
        self._known: dict[str, str | None] = {}  # of channels, when the backend was asked
        self._exchange = hold.exchange
        self._record = None if hold.exchange is None else hold.exchange.record
        self._address = poll.client_address
        self._for_page = hold.for_page
        self._trusted = poll.is_trusted
        self._tls = poll.is_tls

    async def run(self) -> After:
        """Ask; the response is treated like a first one. Raises Superseded."""
        after: After | None = None
        try:
            after = await self._guarded(self._ask_again)
        finally:
            self._context.polls.leave(self._hold)
            if self._has_taken_over and after is not After.HELD and self._hold.links is not None:
                self._hold.links.tell_gone()
        return after

    async def _ask_again(self) -> After:
        route = self._route = self._route_now()
        if self._context.tally is not None:
            self._tally = self._context.tally.routes[route.stats_id]
            self._tally.counts().activity += 1
        async with self._context.recoveries.turn(_LINE, urgent=self._urgent):
            request = self._request_now()
            if (record := self._record) is not None:
                record.asked_at = time.time()
            response, target = await Upstream(self._context, route).ask(request)
        self._context.polls.leave(self._hold)
        return await self._respond(route, target, request, response)

    def _route_now(self) -> LiveRoute:
        """What has become of the route that it was held with."""
        held = self._route = self._hold.route
        current = self._context.route_now(held)
        if current is None:
            raise BackendError(f"Route {held.id} is no longer there.")
        return current

    def _request_now(self) -> BackendRequest:
        """The original request, told by `Grip-Last` what the client has by now."""
        if self._hold.is_over:
            raise Superseded
        self._known = self._hold.known_ids()
        headers = Headers(self._poll.headers).without((b"grip-last",))
        headers.extend(
            (b"Grip-Last", f"{channel}; last-id={last_id}".encode())
            for channel, last_id in self._hold.asked().items()
            if last_id is not None
        )
        head = RequestHead(self._poll.method, self._poll.target, headers)
        self._asked_with = head
        return BackendRequest(
            head,
            self._poll.body,
            trusted=self._trusted,
            tls=self._tls,
            exchange=self._exchange,
        )

    def _log(self, after: After | None) -> None:
        if after is not None or not self._hold.is_answered:
            super()._log(after)

    def _count_end(self, tally: RouteTally, after: After | None, reason: CloseReason) -> None:
        hold = self._hold
        if after is not None or (hold.is_over and not hold.is_answered):
            super()._count_end(tally, after, reason)  # else the hold tells of its end

    def _logged(self) -> LoggedRequest:
        request = super()._logged()
        request.head = self._asked_with
        request.host = request.head.headers.get(b"host") or b""
        request.is_retry = True
        return request

    # -- what takes the place of the hold --------------------------------------------------

    def _encode_head(
        self, head: ResponseHead, form: str, length: int | None, *, keep_alive: bool
    ) -> bytes:
        self._take_over()
        return super()._encode_head(head, form, length, keep_alive=keep_alive)

    def _begin_poll(self, order: HoldOrder, instruct: Instruct) -> ResponseHold:
        is_stale = self._hold.is_stale
        self._take_over()
        order.ends_at = self._ends_at
        hold = super()._begin_poll(order, instruct)
        if is_stale:
            hold.ask_again()
        return hold

    def _links(self, order: HoldOrder, instruct: Instruct) -> Links | None:
        links, earlier = super()._links(order, instruct), self._hold.links
        if links is not None:
            return links.after(earlier)
        return None if earlier is None else attrs.evolve(earlier, next=None)

    def _known_when_asked(self, channel: str) -> str | None:
        return self._known.get(channel)

    def _take_over(self) -> None:
        if self._has_taken_over:  # to be held again, and could not be
            return
        if self._hold.is_over:
            raise Superseded
        self._has_taken_over = True
        self._ends_at = self._hold.give_way()
