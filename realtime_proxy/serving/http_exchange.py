"""One HTTP request to its backend: the response is relayed, or its instructions are followed."""

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from realtime_proxy.backend.response import BackendResponse
from realtime_proxy.errors import BackendError, BackendMisbehaved, GripError, ProtocolError
from realtime_proxy.grip.instruct import (
    HoldMode,
    Instruct,
    is_instruct,
    may_stream,
    parse_instruct,
    parse_instruct_headers,
)
from realtime_proxy.grip.response_content import filtered_body
from realtime_proxy.grip.websocket_events import has_events
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response, ResponseHead
from realtime_proxy.pipeline.chain import Chain
from realtime_proxy.pipeline.decision import Refuse
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.routing.cross_origin import CrossOrigin
from realtime_proxy.routing.script import Script, ScriptBody
from realtime_proxy.serving.answered_request import After
from realtime_proxy.serving.client_fields import held_fields
from realtime_proxy.serving.delivery_scope import followed, implicit_channels, take_scope
from realtime_proxy.serving.failure_answer import Failure
from realtime_proxy.serving.hold_order import HoldOrder
from realtime_proxy.serving.links import Links
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.live_target import LiveTarget
from realtime_proxy.serving.relaying_exchange import RelayingExchange
from realtime_proxy.serving.request_body import RequestBody, StoredBody, require_repeatable
from realtime_proxy.serving.request_upload import RequestUpload
from realtime_proxy.serving.response_hold import ResponseHold, hold_of
from realtime_proxy.serving.stream_beginning import begin_stream
from realtime_proxy.serving.upstream import BackendRequest, Upstream
from realtime_proxy.wire.http1_server import (
    BodyForm,
    IncomingRequest,
    encode_chunk,
    response_form,
)

if TYPE_CHECKING:
    from realtime_proxy.serving.http_connection import HttpConnection

# The largest body that carries instructions (grip.md G-3.5).
MAX_INSTRUCT_BYTES = 100_000


class HttpExchange(RelayingExchange):
    """One request on its way through the house."""

    is_retry = False
    _ends_at: float | None = None  # until when it may be held, if it has been already

    __slots__ = ("_upload",)

    def __init__(
        self,
        connection: "HttpConnection",
        request: IncomingRequest,
        body: RequestBody | StoredBody,
    ) -> None:
        super().__init__(connection, request, body)
        self._upload: RequestUpload | None = None  # of a body that arrives meanwhile

    def _inbound_head(self, route: LiveRoute, scheme: str) -> RequestHead:
        head = super()._inbound_head(route, scheme)
        if not self._trusted and route.over_http_targets and head.headers.remember(has_events):
            raise ProtocolError(403, "Client not allowed to send WebSocket events directly.")
        return head

    def _asked_head(self, route: LiveRoute) -> RequestHead:
        head = self._request.head
        if route.json_p is None:
            return head
        # A script's GET has no body: one that has is no script's, and its body would be left over.
        asked = None if self._request.framing.has_body else route.json_p.read(head)
        if asked is None:
            self._for_page = CrossOrigin.of(head.headers)
            return head
        self._for_page = asked.script
        self._body = StoredBody(asked.body)
        return asked.head

    async def _fail(self, error: Failure) -> After:
        if self._route is None and self._context.server.cross_origin:
            self._for_page = CrossOrigin.of(self._request.head.headers)
        return await super()._fail(error)

    async def _ask(self, route: LiveRoute, head: RequestHead) -> After:
        body = self._body
        request = BackendRequest(
            head,
            body if isinstance(body, RequestBody) else body.remembered,
            self._request.framing.chunked,
            self._trusted,
            self._tls,
            self._exchange,
            self._context.dropped_headers,
        )
        request.initial()
        if (record := self._record) is not None:
            record.asked_at = time.time()
        upstream = Upstream(self._context, route)
        if isinstance(body, StoredBody) or body.complete:
            response, target = await upstream.ask(request)
            return await self._respond(route, target, request, response)
        return await self._ask_while_uploading(route, upstream, request, body)

    async def _ask_while_uploading(
        self, route: LiveRoute, upstream: Upstream, request: BackendRequest, body: RequestBody
    ) -> After:
        """The body is still arriving: it goes up while the response may come down already."""
        upload = self._upload = RequestUpload(request, body, self._uploaded_more)

        async def answer() -> After:
            response, target = await upstream.ask(request, upload.begin)
            return await self._respond(route, target, request, response)

        return await upload.beside(answer)

    def _uploaded_more(self, size: int) -> None:
        if self._tally is not None:
            self._tally.counts().server_content_bytes_sent += size

    # -- the way back ----------------------------------------------------------------------

    async def _respond(
        self,
        route: LiveRoute,
        target: LiveTarget,
        request: BackendRequest,
        response: BackendResponse,
    ) -> After:
        self._backend = target.label
        if (record := self._record) is not None:
            now = time.time()
            record.backend, record.backend_status = target.label, response.head.status
            record.backend_seconds = now - (record.asked_at or now)
        try:
            chain, exchange = route.chain, self._exchange
            status = response.head.status
            if chain is not None and exchange is not None and chain.may_change_head(status):
                refusal = _asked_about(response.head, chain, exchange)
                if refusal is not None:
                    return await self._decided(refusal, route)
            if route.grip and not self._trusted and response.head.headers.remember(is_instruct):
                return await self._follow_instruct(route, target, request, response)
            if isinstance(self._for_page, Script):
                return await self._relay_script(self._for_page, response)
            return await self._relay(response)
        except (BackendError, GripError) as error:
            error.target = response.source
            raise
        finally:
            self._done_with(response)

    def _done_with(self, response: BackendResponse) -> None:
        """Let the response's connection go, unless its request is still on the way."""
        if self._upload is None or not self._upload.is_under_way:
            response.close()

    # -- GRIP ------------------------------------------------------------------------------

    async def _follow_instruct(
        self,
        route: LiveRoute,
        target: LiveTarget,
        request: BackendRequest,
        response: BackendResponse,
    ) -> After:
        body = response.take()
        while not response.complete and len(body) <= MAX_INSTRUCT_BYTES:
            body += await response.read()
        if len(body) > MAX_INSTRUCT_BYTES:
            return await self._stream_then_hold(route, target, request, response, body)
        self._done_with(response)
        instruct = parse_instruct(response.head, body)
        if self._upload is not None:  # a hold may have to repeat the whole request
            await self._upload.finish()
        require_repeatable(self._body)
        shown = held_fields(instruct, response.head, self._exchange, self._context)
        if instruct.hold is None and instruct.next_link is None:
            body = filtered_body(instruct.channels, instruct.meta, instruct.body)
            return await self._send_response(
                Response(instruct.status, shown, body, instruct.reason)
            )
        if route.scope_claim:
            if (refusal := take_scope(route, self._exchange)) is not None:
                return await self._decided(refusal, route)
            instruct = followed(instruct, route, self._exchange)
        order = self._hold_order(route, target, request, instruct, shown)
        if instruct.hold is HoldMode.RESPONSE:
            return await self._hold_poll(order, instruct)
        return await self._hold_stream(order, instruct, shown)

    async def _hold_poll(self, order: HoldOrder, instruct: Instruct) -> After:
        begin = partial(self._begin_poll, order, instruct)
        await self._subscribed(order, begin, at_rest=self.is_retry or order.counts)
        return After.HELD

    async def _subscribed(
        self, order: HoldOrder, begin: Callable[[], object], *, at_rest: bool
    ) -> None:
        """Begin a hold once the items of its channels come here, perhaps between two rounds."""
        if not at_rest and self._context.channels.have(order.positions):
            begin()  # so it is with most: others hold them already
            return
        async with self._context.holding(order.positions):
            if at_rest:
                await self._context.intake.result_at_rest(begin)
            else:
                begin()

    def _begin_poll(self, order: HoldOrder, instruct: Instruct) -> ResponseHold:
        """Hold the request. If the backend does not know the last items yet, it is asked again."""
        self._body.forget()  # the hold has it
        hold = hold_of(order, instruct, self._links(order, instruct))
        hold.begin(instruct.timeout_seconds)
        contradicts, is_old = self._context.channels.contradicts, False
        for name, position in order.positions.items():
            if position is not None and contradicts(name, position, self._known_when_asked(name)):
                is_old = True
        if is_old:
            hold.ask_again()
        return hold

    def _links(self, order: HoldOrder, instruct: Instruct) -> Links | None:
        if instruct.next_link is None and instruct.gone_link is None:
            return None
        return Links.of(instruct, order.errand)

    def _known_when_asked(self, _channel: str) -> str | None:
        """The last id of a channel when the request left; None if nobody thought of it."""
        return None

    def _hold_order(
        self,
        route: LiveRoute,
        target: LiveTarget,
        request: BackendRequest,
        instruct: Instruct,
        shown: Headers,
    ) -> HoldOrder:
        prefix, most = route.channel_prefix, self._context.grip.max_channels
        implicit = target.subscribe
        if implicit and route.scope_claim:
            implicit = implicit_channels(target, route, self._exchange)
        positions = instruct.positions(prefix, most)
        # Not by names: to make an object from so many takes three times as long.
        return HoldOrder(
            self._connection,
            self._request,
            route,
            dict.fromkeys(implicit) | positions if implicit else positions,
            implicit,
            instruct.filters(prefix, most),
            instruct.meta,
            shown,
            request.head,
            self._body.remembered,
            self._trusted,
            self._tls,
            self._client_address(),
            self._exchange,
            self._for_page,
            self.is_retry,
        )

    async def _hold_stream(self, order: HoldOrder, instruct: Instruct, shown: Headers) -> After:
        links = self._links(order, instruct)
        head = ResponseHead(instruct.status, instruct.reason, shown)
        body, problem = b"", instruct.problem
        try:
            body = filtered_body(instruct.channels, instruct.meta, instruct.body)
        except GripError as error:
            problem = str(error)  # told within the stream (filters.md F-2.15)
        if isinstance(self._for_page, Script):
            order.script, body = self._begin_script(self._for_page, head, body)
            head = self._for_page.head(head)
        form = response_form(self._request.head, head.status, None)
        keep_alive = self._keeps_alive(form)
        data = self._encode_head(head, form, None, keep_alive=keep_alive)
        if form == BodyForm.NONE:
            await self._connection.send(data)
            return After.NEXT if keep_alive else After.CLOSE
        chunk = encode_chunk(body) if form == BodyForm.CHUNKED else body
        await self._begin_stream(order, instruct, links, form, data + chunk, problem)
        self._body_bytes = len(body)
        return After.HELD

    async def _begin_stream(
        self,
        order: HoldOrder,
        instruct: Instruct,
        links: Links | None,
        form: str,
        data: bytes,
        problem: str,
    ) -> None:
        """Let a stream begin, its channels held and subscribed to."""
        if instruct.hold is None or problem:
            order.positions = {}
        order.ends_at = self._ends_at
        begin = partial(begin_stream, order, instruct, links, form, data, problem)
        await self._subscribed(order, begin, at_rest=links is not None)

    async def _stream_then_hold(
        self,
        route: LiveRoute,
        target: LiveTarget,
        request: BackendRequest,
        response: BackendResponse,
        body: bytes,
    ) -> After:
        """A first body too long to be collected: sent as it comes, then held."""
        instruct = parse_instruct_headers(response.head)
        if not may_stream(response.head, instruct):
            raise BackendMisbehaved(f"GRIP instruct response too large from {response.source}")
        require_repeatable(self._body)
        if route.scope_claim:
            if (refusal := take_scope(route, self._exchange)) is not None:
                return await self._decided(refusal, route)
            instruct = followed(instruct, route, self._exchange)
        shown = held_fields(instruct, response.head, self._exchange, self._context)
        order = self._hold_order(route, target, request, instruct, shown)
        links = self._links(order, instruct)
        head = ResponseHead(instruct.status, instruct.reason, shown)
        if isinstance(self._for_page, Script):
            order.script, body = self._begin_script(self._for_page, head, body)
            head = self._for_page.head(head)
        form = response_form(self._request.head, head.status, None)
        await self._connection.send(
            self._encode_head(head, form, None, keep_alive=self._keeps_alive(form))
        )
        await self._send_first_body(response, order.script, body, form)
        if (record := self._record) is not None:
            record.bytes_out += self._head_bytes + self._body_bytes
        await self._begin_stream(order, instruct, links, form, b"", instruct.problem)
        return After.HELD

    async def _send_first_body(
        self, response: BackendResponse, script: ScriptBody | None, body: bytes, form: str
    ) -> None:
        """Send a body as it comes, without an end; `body` is what there is of it."""
        chunked = form == BodyForm.CHUNKED
        while True:
            if body:
                await self._connection.send(encode_chunk(body) if chunked else body)
                self._body_bytes += len(body)
            if response.complete:
                return
            body = await response.read()
            if script is not None:
                body = script.encode(body)


def _asked_about(head: ResponseHead, chain: Chain, exchange: Exchange) -> Refuse | None:
    """Let handlers change a head; what is known of its fields holds if they leave them."""
    came = head.headers
    head.headers = Headers(came)
    refusal = chain.response_head(exchange, head)
    if head.headers == came:
        head.headers = came
    return refusal
