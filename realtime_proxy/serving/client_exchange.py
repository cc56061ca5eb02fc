"""What every client request goes through: route, trust, handlers, and responses of our own.

Everything that ends an exchange early is an exception with the status to answer; it becomes a
response in one place, `failure_answer.py`.
"""

import time
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING

import attrs
import structlog
import trio

from realtime_proxy.errors import (
    BackendError,
    BackendUnreachable,
    GripError,
    OverloadError,
    ProtocolError,
)
from realtime_proxy.metrics.route_tally import RouteTally
from realtime_proxy.metrics.tally import Tally
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.connection_record import ConnectionRecord
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.messages import RequestHead, Response, ResponseHead, text_response
from realtime_proxy.pipeline.decision import Answer, Refuse
from realtime_proxy.pipeline.exchange import Exchange, Identity
from realtime_proxy.routing.condition import host_of
from realtime_proxy.routing.cross_origin import CrossOrigin
from realtime_proxy.routing.script import Script
from realtime_proxy.serving.client_fields import NOT_FOR_CLIENTS
from realtime_proxy.serving.decision_endpoint import DecisionEndpoint
from realtime_proxy.serving.failure_answer import Failure, answer_for
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.request_body import RequestBody, StoredBody
from realtime_proxy.serving.request_log import LoggedRequest
from realtime_proxy.wire.http1_client import encode_request_head
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

# By whether it is a WebSocket, then by whether it came over TLS.
_SCHEMES = (("http", "https"), ("ws", "wss"))

# What is done to responses for a page of another origin that asks; None: nothing.
ForPage = CrossOrigin | Script | None

log = structlog.get_logger()


class After(Enum):
    """What becomes of the connection after an exchange."""

    NEXT = "the next request may come"
    CLOSE = "nothing more can be sent"
    CUT = "the response is cut short: its framing shows that"
    RESET = "the response is cut short, and only a reset shows that"
    HELD = "a hold has the connection now"


class ClientExchange:
    """One request and the means to answer it; what is asked of backends is left to subclasses."""

    __slots__ = (
        "_backend",
        "_body",
        "_body_bytes",
        "_connection",
        "_context",
        "_exchange",
        "_for_page",
        "_form_sent",
        "_head_bytes",
        "_request",
        "_route",
        "_status",
        "_tally",
        "_tls",
        "_trusted",
    )

    is_websocket = False

    def __init__(
        self,
        connection: "HttpConnection",
        request: IncomingRequest,
        body: RequestBody | StoredBody,
    ) -> None:
        self._connection = connection
        self._context = connection.context
        self._request = request
        self._body = body
        self._route: LiveRoute | None = None
        self._tally: RouteTally | None = None  # of the route, once that is known, if anybody asks
        self._exchange: Exchange | None = None
        self._tls = False
        self._trusted = False
        self._for_page: ForPage = None
        self._form_sent: str | None = None
        # For the log: the last target tried, and what was answered.
        self._backend = ""
        self._status = 0
        self._head_bytes = self._body_bytes = 0

    async def run(self) -> After:
        """Serve the request. Raises trio.BrokenResourceError when the client is gone."""
        roll = self._context.roll
        if roll is None:
            return await self._guarded(self._serve)
        number = self._connection.socket.number
        roll.began(number, self)
        after = await self._guarded(self._serve)
        if after is After.HELD:
            roll.held(number, self)
        return after

    async def _serve(self) -> After:
        tls = self._tls = self._connection.counts_as_tls(self._request.head)
        route = self._route = self._find_route(tls=tls)
        scheme = _SCHEMES[self.is_websocket][tls]
        head = self._inbound_head(route, scheme)
        if self._context.tally is not None:
            self._arrived(self._context.tally, route)
        if (refusal := self._refusal(route)) is not None:
            return await self._decided(refusal, route)
        if route.max_connections:
            self._context.places.take(route.id, route.max_connections)
            self._connection.route_place = route.id
        if route.decides:
            endpoint = DecisionEndpoint(self._context, self._connection.peer, trusted=self._trusted)
            return await self._send_response(
                await endpoint.answer(self._request, route, is_tls=tls)
            )
        if route.chain is not None:
            exchange = self._exchange = self._new_exchange(head, route, scheme)
            if route.recheck_seconds:
                exchange.came_as = encode_request_head(head)
            decision = await route.chain.request(exchange)
            if decision is not None:
                return await self._decided(decision, route)
            head = exchange.request
        if route.edits is not None:
            head = route.edits.apply(head)
        return await self._ask(route, head)

    def _refusal(self, route: LiveRoute) -> Refuse | None:  # noqa: ARG002  for subclasses
        """What turns the request away by the route's own rules; None if nothing does."""
        return None

    async def _ask(self, route: LiveRoute, head: RequestHead) -> After:
        raise NotImplementedError

    def _arrived(self, tally: Tally, route: LiveRoute) -> None:
        """Count the client as present, until what becomes of the connection is over."""
        name, address = self._name(), self._client_address()
        presence = tally.begin(route.stats_id, name, address, is_tls=self._tls)
        self._connection.presence = presence
        self._tally = presence.route
        counts = presence.route.counts()
        counts.client_header_bytes_received += self._request.head.content_bytes()

    def _name(self) -> int | bytes:
        """What statistics call the client by."""
        return self._connection.request_number or 0

    def _content_sent(self, size: int) -> None:
        """Count a part of a body that the client gets."""
        if self._tally is not None:
            self._tally.counts().client_content_bytes_sent += size

    def _find_route(self, *, tls: bool) -> LiveRoute:
        request, peer = self._request, self._connection.peer
        route = self._context.route_of(request, peer, websocket=self.is_websocket, tls=tls)
        if route is None:
            host = host_of(request.host)
            raise ProtocolError(502, f"No route for host: {host.decode(errors='replace')}")
        return route

    def _inbound_head(self, route: LiveRoute, scheme: str) -> RequestHead:
        """The request as handlers and the backend may see it."""
        trusted = self._trusted = self._context.is_trusted(self._request.head)
        head, peer = self._asked_head(route), self._connection.peer
        headers = self._context.forwarding.inbound_headers(
            head,
            peer,
            scheme,
            trusted=trusted,
            marks=route.marks,
            identity_headers=route.identity_headers,
        )
        if head.version == b"1.0" and not headers.has(b"host"):  # backends are spoken to in 1.1
            headers.append((b"Host", self._request.host))
        return RequestHead(head.method, head.target, headers, head.version)

    def _asked_head(self, route: LiveRoute) -> RequestHead:  # noqa: ARG002  for subclasses
        """The head of the request that is asked for, which may be in the query of another."""
        return self._request.head

    def _new_exchange(self, head: RequestHead, route: LiveRoute, scheme: str) -> Exchange:
        exchange = Exchange(
            head,
            route.id,
            scheme,
            self._client_address(),
            peer_address=self._connection.peer,
            client_certificate=self._connection.socket.client_certificate,
        )
        if route.chain is not None and route.chain.keeps_record:
            exchange.record = ConnectionRecord(time.time())
        return exchange

    def _client_address(self) -> str:
        """Where the client is, by what trusted proxies say of it."""
        peer, came = self._connection.peer, self._request.head.headers
        return self._context.proxies.client_address(came, peer, trusted=self._trusted)

    async def _decided(self, decision: Refuse | Answer, route: LiveRoute) -> After:
        if isinstance(decision, Refuse):
            route.log.info("request refused", route=route.id, why=decision.why)
        return await self._send_response(decision.response)

    # -- what operators see ----------------------------------------------------------------

    channels: tuple[str, ...] = ()
    group_messages = 0

    @property
    def connection(self) -> "HttpConnection":
        """The connection it came on."""
        return self._connection

    @property
    def route(self) -> LiveRoute | None:
        """The route of the request; None if it is not known yet, or there is none."""
        return self._route

    @property
    def identity(self) -> Identity | None:
        """Who has sent it; None if no handler has found out yet."""
        return None if self._exchange is None else self._exchange.identity

    @property
    def _shown_head(self) -> RequestHead:
        """The head of the request, for logs and operators."""
        return self._request.head

    def came_for(self) -> tuple[bytes, bytes]:
        """The URI, with its secrets, and the client's address."""
        scheme = _SCHEMES[self.is_websocket][self._tls].encode()
        uri = b"%b://%b%b" % (scheme, self._request.host, self._shown_head.target)
        return uri, self._client_address().encode()

    def dismiss(self, dismissal: Dismissal) -> None:
        """Cut it: nothing is known of its response."""
        self._connection.cut(dismissal.reason)

    # -- responses of our own --------------------------------------------------------------

    async def _send_response(self, response: Response) -> After:
        head = response.head()
        head.headers = head.headers.end_to_end(NOT_FOR_CLIENTS)
        if isinstance(self._for_page, Script):
            response = self._for_page.whole(attrs.evolve(response, headers=head.headers))
            head = response.head()
        length = len(response.body)
        form = response_form(self._request.head, head.status, length)
        keep_alive = self._keeps_alive(form)
        data = self._encode_head(head, form, length, keep_alive=keep_alive)
        if form != BodyForm.NONE:
            data += response.body
            self._body_bytes = length
        await self._connection.send(data)
        return After.NEXT if keep_alive else After.CLOSE

    def _encode_head(
        self, head: ResponseHead, form: str, length: int | None, *, keep_alive: bool
    ) -> bytes:
        self._form_sent = form
        self._status = head.status
        if isinstance(self._for_page, CrossOrigin):
            head.headers = self._for_page.allowed(head.headers)
        if self._tally is not None:
            self._tally.counts().client_header_bytes_sent += head.content_bytes()
        old = self._request.head.version == b"1.0"
        data = encode_response_head(head, form, length, keep_alive=keep_alive, old_client=old)
        self._head_bytes = len(data)
        if (record := self._record) is not None:
            record.status, record.response_headers = head.status, head.headers
        return data

    @property
    def _record(self) -> ConnectionRecord | None:
        return None if self._exchange is None else self._exchange.record

    def _keeps_alive(self, form: str) -> bool:
        return (
            self._request.keep_alive
            and form != BodyForm.CLOSE
            and self._body.complete
            and self._context.drain is None
        )

    # -- failures --------------------------------------------------------------------------

    async def _guarded(self, serve: Callable[[], Awaitable[After]]) -> After:
        reason, after = CloseReason.FINISHED, None
        try:
            after = await serve()
        except (ProtocolError, BackendError, GripError, OverloadError) as error:
            is_ours = isinstance(error, OverloadError)
            reason = CloseReason.REFUSED if is_ours else CloseReason.BACKEND_FAILED
            after = await self._fail(error)
        except (trio.BrokenResourceError, trio.Cancelled):
            reason = self._connection.reason_of_cut
            raise
        except Exception:
            log.exception("request failed", route=self._route.id if self._route else None)
            reason = CloseReason.INTERNAL_ERROR
            after = await self._fail_internally()
        finally:
            self._tell_closed(reason)
            if self._context.request_log.wants(self._route):
                self._log(after)
            if self._tally is not None:
                self._count_end(self._tally, after, reason)
        return after

    def _count_end(self, tally: RouteTally, after: After | None, reason: CloseReason) -> None:
        """Count what has come and gone with a request, and its end unless it is held."""
        if after is not After.HELD and self._connection.presence is not None:
            tally.closed(reason.value)
        counts = tally.counts()
        counts.client_content_bytes_sent += self._body_bytes
        # The body of a request that is repeated was counted before.
        if isinstance(self._body, RequestBody):
            counts.client_content_bytes_received += self._body.size

    async def _fail(self, error: Failure) -> After:
        route = self._route
        if isinstance(error, BackendUnreachable) and route is not None and route.targets:
            self._backend = error.target or route.targets[-1].label
        if not isinstance(error, ProtocolError | OverloadError):
            self._context.counters.backend_failures += 1
        (route.log if route else log).warning(
            "request failed",
            route=route.id if route else None,
            target=self._shown_head.path.decode(errors="replace"),
            backend=error.target or None,
            problem=str(error),
        )
        answer = answer_for(error, route)
        if self._form_sent is None:
            return await self._send_response(answer)
        if route is not None and route.debug and not isinstance(self._for_page, Script):
            return await self._explain(answer.body, is_ours=not isinstance(error, BackendError))
        return self._cut()

    async def _explain(self, problem: bytes, *, is_ours: bool) -> After:
        """Write into a body that has begun what went wrong with it (debug routes).

        It is cut all the same if it was the backend that failed: what came of it is not all.
        """
        problem = b"\n\n" + problem
        if self._form_sent == BodyForm.CHUNKED:
            await self._connection.send(encode_chunk(problem) + (LAST_CHUNK if is_ours else b""))
        elif self._form_sent == BodyForm.CLOSE:
            await self._connection.send(problem)
        else:
            return self._cut()
        return After.CLOSE if is_ours else self._cut()

    async def _fail_internally(self) -> After:
        """A defect of the proxy. Whatever state it has left, this connection ends."""
        if self._form_sent is not None:
            return self._cut()
        self._request.keep_alive = False
        return await self._send_response(text_response(500, "Failed to process request."))

    def _cut(self) -> After:
        return After.RESET if self._form_sent == BodyForm.CLOSE else After.CUT

    def _log(self, after: After | None) -> None:
        """Write the record of this request; `after` is None if the client has left."""
        request = self._logged()
        if after is After.HELD:
            request.result = "accept"
        elif after in (After.NEXT, After.CLOSE) and self._status:
            request.status, request.body_bytes = self._status, self._body_bytes
        else:
            request.result = "error"
        self._context.request_log.write(request)

    def _logged(self) -> LoggedRequest:
        head = self._shown_head
        exchange = self._exchange
        client = self._client_address() if exchange is None else exchange.client_address
        return LoggedRequest(
            head=head,
            host=self._request.host,
            scheme=_SCHEMES[self.is_websocket][self._tls],
            client_address=client,
            route=self._route,
            backend=self._backend,
        )

    def _tell_closed(self, reason: CloseReason) -> None:
        exchange, route = self._exchange, self._route
        if exchange is None or route is None or route.chain is None or exchange.held:
            return  # a hold tells it itself when it ends
        if exchange.record is not None:
            exchange.record.bytes_out += self._head_bytes + self._body_bytes
        route.chain.closed(exchange, reason.value)
