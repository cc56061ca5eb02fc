"""A request of a SockJS client that waits for frames: answered by one, or streaming them."""

from typing import TYPE_CHECKING

import attrs

from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.routing.cross_origin import CrossOrigin
from realtime_proxy.serving.held_client import HeldClient
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.sessions.sockjs_transport import MAX_STREAM_BYTES, Transport
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
    from realtime_proxy.serving.sockjs_http_client import SockJsHttpClient

# Of all that is made for SockJS: no cache may keep it, and no browser take it for something else.
COMMON_FIELDS = (
    (b"Cache-Control", b"no-store, no-cache, must-revalidate, max-age=0"),
    (b"X-Content-Type-Options", b"nosniff"),
)


def frame_response(transport: Transport, frame: str) -> Response:
    """A whole response with one frame."""
    headers = Headers([(b"Content-Type", transport.content_type), *COMMON_FIELDS])
    body = transport.encode(frame)
    return Response(200, headers, transport.prelude() + body if transport.streams else body)


@attrs.frozen
class ReceiverOrder:
    """What a receiver is made of. `exchange` is there if its end is to be told to handlers."""

    connection: "HttpConnection"
    request: IncomingRequest
    route: LiveRoute
    transport: Transport
    for_page: CrossOrigin
    exchange: Exchange | None


class SockJsReceiver:
    """Has the connection of one request, until it is answered or its client leaves."""

    __slots__ = ("_client", "_form", "_order", "_sent_bytes")

    def __init__(self, order: ReceiverOrder, client: "SockJsHttpClient") -> None:
        self._order = order
        self._client = client
        self._form: str | None = None  # of the body that has begun
        self._sent_bytes = 0
        order.connection.hold(self)

    @property
    def held_client(self) -> HeldClient | None:
        """The client whose session it is."""
        return self._client.held_client

    @property
    def reads_on(self) -> bool:
        """True while there is something to be read."""
        return False

    def let_go(self) -> bool:
        """Have the session end, which is told here. False if that has to wait."""
        return self._client.let_go()

    @property
    def backlog_bytes(self) -> int:
        """How much the client has not taken yet."""
        return self._order.connection.socket.backlog_bytes

    async def client_reads(self) -> None:
        """Wait until the client has taken everything. Raises trio.BrokenResourceError."""
        await self._order.connection.send(b"")

    def begin(self) -> None:
        """Begin to stream, if that is what the client wants."""
        transport, request = self._order.transport, self._order.request
        if not transport.streams or self._form is not None:
            return
        self._form = response_form(request.head, 200, None)
        headers = Headers([(b"Content-Type", transport.content_type), *COMMON_FIELDS])
        self._write_head(Response(200, headers), self._form, None)
        self._write(transport.prelude())

    def deliver(self, frame: str) -> bool:
        """Give the client a frame; False if it has to ask for the next."""
        transport = self._order.transport
        if self._form is None:
            self.answer(frame_response(transport, frame))
            return False
        self._write(transport.encode(frame))
        if self._sent_bytes < MAX_STREAM_BYTES and not frame.startswith("c"):
            return True
        if self._form == BodyForm.CHUNKED:
            self._order.connection.socket.write(LAST_CHUNK)
        self._finish(self._form)
        return False

    def answer(self, response: Response) -> None:
        """Answer with a whole response; what streams already is cut."""
        if self._form is not None:
            self._order.connection.close(CloseReason.BACKEND_FAILED)
            return
        request, length = self._order.request, len(response.body)
        form = response_form(request.head, response.status, length)
        self._write_head(response, form, length)
        if form != BodyForm.NONE:
            self._order.connection.socket.write(response.body)
        self._finish(form)

    def _write_head(self, response: Response, form: str, length: int | None) -> None:
        response = self._order.for_page.held(response)
        request = self._order.request
        data = encode_response_head(
            response.head(),
            form,
            length,
            keep_alive=self._keeps_alive(form),
            old_client=request.head.version == b"1.0",
        )
        self._order.connection.socket.write(data)
        exchange = self._order.exchange
        if exchange is not None and exchange.record is not None:
            exchange.record.status = response.status
            exchange.record.response_headers = response.headers

    def _write(self, data: bytes) -> None:
        self._sent_bytes += len(data)
        chunked = self._form == BodyForm.CHUNKED
        self._order.connection.socket.write(encode_chunk(data) if chunked else data)

    def _keeps_alive(self, form: str) -> bool:
        is_draining = self._order.connection.context.drain is not None
        return self._order.request.keep_alive and form != BodyForm.CLOSE and not is_draining

    def _finish(self, form: str) -> None:
        self._tell_closed(CloseReason.FINISHED)
        self._order.connection.resume(keep_alive=self._keeps_alive(form))

    def client_gone(self, reason: CloseReason) -> None:
        """The client has left, or its connection was closed."""
        self._tell_closed(reason)
        self._client.receiver_gone(self)

    def _tell_closed(self, reason: CloseReason) -> None:
        exchange, chain = self._order.exchange, self._order.route.chain
        if exchange is not None and chain is not None:
            if exchange.record is not None:
                exchange.record.bytes_out += self._sent_bytes
            chain.closed(exchange, reason.label)
