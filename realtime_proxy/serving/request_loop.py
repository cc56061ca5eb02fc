"""The requests of one client connection, read and served one after another.

A task does this only while there are some; what becomes of the connection between two of them, or
when one is held, is `http_connection.py`.
"""

import itertools
from collections.abc import Awaitable

import structlog
import trio

from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.messages import RequestHead, text_response
from realtime_proxy.net.client_socket import ClientSocket
from realtime_proxy.net.timers import Timer
from realtime_proxy.serving.answered_request import After
from realtime_proxy.serving.context import ServingContext
from realtime_proxy.serving.lingering import Lingering
from realtime_proxy.serving.request_body import NO_BODY, RequestBody, StoredBody
from realtime_proxy.wire.http1_server import (
    BodyForm,
    IncomingRequest,
    RequestParser,
    encode_response_head,
)

# A client that always has one more request ready must not keep others waiting.
_REQUESTS_AT_ONCE = 16

log = structlog.get_logger()


class RequestLoop:
    """Serves what comes on a connection, as `peer` sends it; subclasses say what follows."""

    __slots__ = (
        "_cut_for",
        "_is_request_read",
        "_leftover",
        "_parser",
        "_scope",
        "_timer",
        "_tls",
        "context",
        "peer",
        "socket",
    )

    def __init__(
        self, context: ServingContext, socket: ClientSocket, peer: str, *, tls: bool
    ) -> None:
        self.context = context
        self.socket = socket
        self.peer = peer
        self._tls = tls
        self._leftover = b""  # what the client has sent and nobody has read yet
        self._parser: RequestParser | None = None
        self._scope: trio.CancelScope | None = None
        self._timer: Timer | Lingering | None = None
        self._cut_for: CloseReason | None = None
        self._is_request_read = False

    @property
    def came_over_tls(self) -> bool:
        """True if the client speaks TLS, here or with who has handed it over."""
        return self._tls

    def counts_as_tls(self, head: RequestHead) -> bool:
        """True if a request came over TLS, here or (if that is believed) at a proxy before us."""
        return self._tls or self.context.proxies.came_over_tls(head.headers, self.peer)

    # -- what becomes of the connection ----------------------------------------------------

    def wait(self) -> None:
        """Wait for a request without a task."""
        raise NotImplementedError

    def _serve_one(
        self, request: IncomingRequest, body: RequestBody | StoredBody
    ) -> Awaitable[After]:
        """Answer a request, or have it held. Raises trio.BrokenResourceError."""
        raise NotImplementedError

    def _visit_over(self) -> None:
        """What the client came for is done."""
        raise NotImplementedError

    def _linger(self) -> None:
        """Say that nothing more comes, and wait a little for the client to close."""
        raise NotImplementedError

    def close(self, reason: CloseReason, *, reset: bool = False) -> None:
        """Close at once."""
        raise NotImplementedError

    # -- the task --------------------------------------------------------------------------

    async def _serve(self, scope: trio.CancelScope) -> None:
        """Serve requests for as long as they are there."""
        self._scope = scope
        try:
            parser = self._parser = RequestParser(self.context.head_limits, self.context.known)
            parser.buffer, self._leftover = self._leftover, b""
            for count in itertools.count(1):
                self._is_request_read = False
                try:
                    request = parser.next_request() or await self._next_request(parser)
                    if request is None:
                        return
                    has_body = request.framing.has_body
                    body = self._body(request, parser) if has_body else NO_BODY
                except ProtocolError as error:
                    await self._refuse(error)
                    return
                if count % _REQUESTS_AT_ONCE == 0:
                    await trio.lowlevel.checkpoint()
                try:
                    after = await self._serve_one(request, body)
                finally:
                    body.forget()
                if self._cut_for is not None:  # too late to cut it short: it ends here
                    self.close(self._cut_for)
                    return
                if after is not After.NEXT:
                    self._end(after)
                    return
                self._visit_over()
                if not (parser.buffer or self.socket.has_input):
                    self.wait()
                    return
        except Exception as error:  # noqa: BLE001  it is told
            self._failed(error)
        finally:
            if self._scope is scope:  # else a hold has ended meanwhile, and another task works
                self._scope = None

    def _failed(self, error: Exception) -> None:
        """What the task has met ends the connection, whatever it is."""
        if isinstance(error, trio.BrokenResourceError):
            self.close(self._reason_of_end())
        else:
            log.error("connection failed", peer=self.peer, exc_info=error)
            self.close(CloseReason.INTERNAL_ERROR)

    @property
    def reason_of_cut(self) -> CloseReason:
        """Why a request was cut short: its client has left, unless there was another reason."""
        return self._cut_for or CloseReason.CLIENT_GONE

    def _reason_of_end(self) -> CloseReason:
        if self.socket.overflowed:
            return CloseReason.CLIENT_TOO_SLOW
        return self.reason_of_cut

    async def _next_request(self, parser: RequestParser) -> IncomingRequest | None:
        """The next request, or None if the connection now waits or has ended."""
        self._cancel_timer()  # which was for having nothing to do
        while (request := parser.next_request()) is None:
            data = self.socket.receive() if self.socket.has_input else None
            if data is None and not parser.buffer:
                self._cancel_timer()
                self.wait()
                return None
            if data is None:
                if self._timer is None:
                    self._timer = self.context.timers.after(
                        self.context.server.header_timeout_seconds, self._head_too_slow
                    )
                await self.socket.wait_readable()
                continue
            if self._cut_for is not None:
                raise ProtocolError(408, "The request head took too long to arrive.")
            if not data:
                self.close(CloseReason.CLIENT_GONE)
                return None
            parser.feed(data)
        self._cancel_timer()
        return request

    def _head_too_slow(self) -> None:
        self._cut_for = CloseReason.IDLE
        self.socket.end_input()

    def _body(self, request: IncomingRequest, parser: RequestParser) -> RequestBody:
        server = self.context.server
        limits = (server.max_body_bytes, server.body_timeout_seconds)
        context = self.context
        return RequestBody(
            request,
            parser,
            self.socket,
            context.timers,
            context.retained,
            limits,
            self._request_read,
        )

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _request_read(self) -> None:
        """From now on nobody reads, so the client's end has to be watched for."""
        self._is_request_read = True
        if self.socket.has_ended and self._scope is not None:
            self._scope.cancel()

    def send(self, data: bytes) -> Awaitable[object]:
        """Send, and wait until the client has taken it. Raises trio.BrokenResourceError."""
        return self.socket.send_all(data)

    async def _refuse(self, error: ProtocolError) -> None:
        """Answer what is not a request we can serve, and close."""
        log.info("request refused", peer=self.peer, status=error.status, why=str(error))
        response = text_response(error.status, str(error))
        data = encode_response_head(
            response.head(), BodyForm.LENGTH, len(response.body), keep_alive=False
        )
        await self.send(data + response.body)
        self._linger()

    def _end(self, after: After) -> None:
        if after is After.CUT or after is After.RESET:
            self.close(CloseReason.BACKEND_FAILED, reset=after is After.RESET)
        elif after is After.CLOSE:
            self._linger()
