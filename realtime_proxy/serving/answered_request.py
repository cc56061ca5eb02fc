"""The answer to one client request: responses of our own, failures, and what is told of its end.

Everything that ends an exchange early is an exception with the status to answer; it becomes a
response in one place, `failure_answer.py`.
"""

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
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.connection_record import ConnectionRecord
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response, ResponseHead, text_response
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.routing.cross_origin import CrossOrigin
from realtime_proxy.routing.script import Script
from realtime_proxy.serving.client_fields import NOT_FOR_CLIENTS
from realtime_proxy.serving.failure_answer import Failure, answer_for
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.request_body import RequestBody, StoredBody
from realtime_proxy.serving.request_log import LoggedRequest
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
SCHEMES = (("http", "https"), ("ws", "wss"))

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


class AnsweredRequest:
    """One request, and the means to answer it."""

    __slots__ = (
        "_address",
        "_backend",
        "_body",
        "_body_bytes",
        "_connection",
        "_context",
        "_exchange",
        "_for_page",
        "_form_sent",
        "_head_bytes",
        "_head_content_bytes",
        "_record",
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
        self._record: ConnectionRecord | None = None  # of the exchange, if anybody writes one
        self._address: str | None = None
        self._tls = False
        self._trusted = False
        self._for_page: ForPage = None
        self._form_sent: str | None = None
        # For the log: the last target tried, and what was answered.
        self._backend = ""
        self._status = 0
        self._head_bytes = self._body_bytes = 0
        self._head_content_bytes = 0  # as statistics estimate it

    @property
    def _shown_head(self) -> RequestHead:
        """The head of the request, for logs and operators."""
        return self._request.head

    def _client_address(self) -> str:
        """Where the client is, by what trusted proxies say of it."""
        if self._address is None:
            peer, came = self._connection.peer, self._request.head.headers
            proxies = self._context.proxies
            self._address = proxies.client_address(came, peer, trusted=self._trusted)
        return self._address

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
            self._head_content_bytes = head.content_bytes()
        old = self._request.head.version == b"1.0"
        data = encode_response_head(head, form, length, keep_alive=keep_alive, old_client=old)
        self._head_bytes = len(data)
        if (record := self._record) is not None:
            record.status, record.response_headers = head.status, Headers(head.headers)
        return data

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
            if self._exchange is not None:
                self._tell_closed(self._exchange, reason)
            if self._context.request_log.wants(self._route):
                self._log(after)
            if self._tally is not None:
                self._count_end(self._tally, after, reason)
        return after

    def _count_end(self, tally: RouteTally, after: After | None, reason: CloseReason) -> None:
        """Count what has come and gone with a request, and its end unless it is held."""
        if after is not After.HELD and self._connection.presence is not None:
            tally.closed(reason.label)
        counts = tally.counts()
        counts.client_header_bytes_sent += self._head_content_bytes
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
            scheme=SCHEMES[self.is_websocket][self._tls],
            client_address=client,
            route=self._route,
            backend=self._backend,
        )

    def _tell_closed(self, exchange: Exchange, reason: CloseReason) -> None:
        route = self._route
        if route is None or route.chain is None or exchange.held:
            return  # a hold tells it itself when it ends
        if exchange.record is not None:
            exchange.record.bytes_out += self._head_bytes + self._body_bytes
        route.chain.closed(exchange, reason.label)
