"""Asking a route's backends: signing, failover in order, and the bytes that go out."""

import time
from collections.abc import Callable
from functools import lru_cache

import attrs

from realtime_proxy.backend.connection import BackendConnection
from realtime_proxy.backend.origin import Origin
from realtime_proxy.backend.request import IDEMPOTENT, OutgoingRequest
from realtime_proxy.backend.response import BackendResponse, LocalResponse, NetworkResponse
from realtime_proxy.backend.zhttp_peers import MAX_BODY_BYTES, ZhttpAddress
from realtime_proxy.errors import BackendError, BackendUnreachable, ProtocolError
from realtime_proxy.grip.features import GRIP_FEATURE, OWN_FIELDS
from realtime_proxy.metrics.route_tally import RouteTally
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, ResponseHead
from realtime_proxy.model.shared_headers import SharedHeaders
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.routing.trailers import trailer_fields
from realtime_proxy.serving.context import ServingContext
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.live_target import LiveTarget
from realtime_proxy.serving.request_body import MAX_REMEMBERED_BYTES, RequestBody
from realtime_proxy.wire.http1_client import encode_request_head
from realtime_proxy.wire.http1_rules import known
from realtime_proxy.wire.http1_server import encode_chunk, encode_last_chunk

Upload = Callable[[BackendConnection], None]
_CHUNKED = known(Headers([(b"Transfer-Encoding", b"chunked")]))


@lru_cache(16)  # there is another one every second
def _own_fields(token: bytes) -> SharedHeaders:
    own = [(b"Grip-Sig", token)] if token else []
    return known(Headers([*own, (b"Grip-Feature", GRIP_FEATURE)]))


def _signed(headers: SharedHeaders, token: bytes) -> SharedHeaders:
    return headers.lacking(OWN_FIELDS).plus(_own_fields(token))


@attrs.define
class BackendRequest:
    """What to ask: a head as handlers left it, and a body, whole or still arriving.

    `head.headers` has Content-Length where the length is known; `chunked` where it is not.
    """

    head: RequestHead
    body: bytes | RequestBody = b""
    chunked: bool = False
    trusted: bool = False
    tls: bool = False  # how the client came, for backends that are told a whole URI
    exchange: Exchange | None = None
    dropped_trailers: frozenset[bytes] = frozenset()
    once_only: bool = False  # a WebSocket event: must never reach a backend twice
    _taken: bytes = attrs.field(default=b"", init=False)
    _initial: bytes | None = attrs.field(default=None, init=False)

    def initial(self) -> bytes:
        """What of the body is here when the first backend is asked; the same for the next."""
        if self._initial is None:
            if isinstance(self.body, bytes):
                self._initial = self.body
            else:
                self._taken = self.body.take()
                self._initial = self.framed(self._taken) if self.chunked else self._taken
        return self._initial

    async def whole(self, max_bytes: int) -> bytes:
        """The body without its framing, for a backend that is a function; cut soon after the limit.

        Raises ProtocolError as reading does.
        """
        if isinstance(self.body, bytes):
            return self.body
        self.initial()
        parts = [self._taken]
        while self.body.size <= max_bytes and (part := await self.body.read()):
            parts.append(part)
        return b"".join(parts)

    def framed(self, data: bytes) -> bytes:
        """Body bytes as a chunk; with the last chunk and the trailers if these are the last."""
        chunk = encode_chunk(data)
        if isinstance(self.body, bytes) or not self.body.complete:
            return chunk
        return chunk + encode_last_chunk(trailer_fields(self.body.trailers, self.dropped_trailers))

    @property
    def body_bytes_here(self) -> int:
        """How much of the body is here when a backend is asked."""
        return len(self.body if isinstance(self.body, bytes) else self._taken)

    @property
    def is_complete(self) -> bool:
        """True if nothing of the body is still to come."""
        return isinstance(self.body, bytes) or self.body.complete


class Upstream:
    """The backends of one route."""

    __slots__ = ("_context", "_route")

    def __init__(self, context: ServingContext, route: LiveRoute) -> None:
        self._context = context
        self._route = route

    async def ask(
        self, request: BackendRequest, upload: Upload | None = None
    ) -> tuple[BackendResponse, LiveTarget]:
        """The response of the first target that can be reached. Raises BackendError.

        `upload` is called once the head is sent if more of the body is to come.
        """
        timed_out = True
        for target in self._route.targets:
            try:
                return await self.ask_target(target, request, upload), target
            except BackendUnreachable as error:
                self._route.log.warning(
                    "backend unreachable", route=self._route.id, problem=str(error)
                )
                timed_out = timed_out and error.status == 504
        labels = ", ".join(target.label for target in self._route.targets)
        message = f"Unable to connect to any targets. Tried: {labels}"
        raise BackendUnreachable(message, timed_out=timed_out)

    async def ask_target(
        self, target: LiveTarget, request: BackendRequest, upload: Upload | None = None
    ) -> BackendResponse:
        """The response of one target. Raises BackendError."""
        head = self._head_for(target, request)
        tally, now = self._tally(), self._context.timers.now
        begun_at = now()
        response: NetworkResponse | LocalResponse
        try:
            if target.zhttp is not None:
                response = await self._ask_zhttp(target, target.zhttp, head, request)
            elif (origin := target.origin_for(head.headers)) is None:
                response = await self._ask_local(target, head, request)
            else:
                outgoing = self._outgoing(head, request, upload)
                response = await self._context.caller.call(origin, outgoing)
        except BackendError as error:
            error.target = target.label
            if tally is not None:
                tally.failed(error.kind)
            raise
        if tally is not None:
            response.tally = tally
            sizes = head.content_bytes(), request.body_bytes_here
            _count_trip(tally, sizes, response.head, now() - begun_at)
        return response

    async def shake_hands(self, target: LiveTarget, request: BackendRequest) -> NetworkResponse:
        """The answer of one target to a request for another protocol. Raises BackendError."""
        head = self._head_for(target, request)
        origin = target.origin_for(head.headers)
        if origin is None:
            raise BackendError("WebSockets cannot be used with zhttpreq target")
        outgoing = attrs.evolve(self._outgoing(head, request, None), upgrades=True)
        return await self.send(target, origin, outgoing, (head.content_bytes(), 0))

    async def send(
        self, target: LiveTarget, origin: Origin, outgoing: OutgoingRequest, sizes: tuple[int, int]
    ) -> NetworkResponse:
        """The answer of one target to a request as it goes out. Raises BackendError.

        `sizes` are those of head and body as statistics count them.
        """
        tally, now = self._tally(), self._context.timers.now
        begun_at = now()
        try:
            response = await self._context.caller.call(origin, outgoing)
        except BackendError as error:
            error.target = target.label
            if tally is not None:
                tally.failed(error.kind)
            raise
        if tally is not None:
            response.tally = tally
            _count_trip(tally, sizes, response.head, now() - begun_at)
        return response

    def _tally(self) -> RouteTally | None:
        tally = self._context.tally
        return None if tally is None else tally.routes[self._route.stats_id]

    def _outgoing(
        self, head: RequestHead, request: BackendRequest, upload: Upload | None
    ) -> OutgoingRequest:
        initial = request.initial()
        if request.chunked:
            head.headers = SharedHeaders.of(head.headers).plus(_CHUNKED)
        return OutgoingRequest(
            head.method,
            encode_request_head(head) + initial,
            repeatable=head.method in IDEMPOTENT and request.is_complete and not request.once_only,
            upload=None if request.is_complete else upload,
        )

    def _head_for(self, target: LiveTarget, request: BackendRequest) -> RequestHead:
        """A head of its own for this very request: the target's Host, a fresh signature."""
        head = request.head
        headers, signer = target.addressed(head.headers), self._route.signer
        if not request.trusted and self._route.grip:
            token = b"" if signer is None else signer.token(time.time())
            headers = headers.remember_latest(_signed, token)
        signed = RequestHead(head.method, head.target, headers, head.version)
        chain = self._route.chain
        if chain is not None and chain.has_backend_request and request.exchange is not None:
            signed.headers = Headers(headers)
            refusal = chain.backend_request(request.exchange, signed)
            if refusal is not None:
                raise ProtocolError(refusal.response.status, "Internal Server Error")
        return signed

    async def _ask_local(
        self, target: LiveTarget, head: RequestHead, request: BackendRequest
    ) -> LocalResponse:
        if target.local is None:
            raise BackendUnreachable(f"{target.label} has no address")
        body = await request.whole(MAX_REMEMBERED_BYTES)
        return LocalResponse(target.local(head, body), target.label)

    async def _ask_zhttp(
        self, target: LiveTarget, address: ZhttpAddress, head: RequestHead, request: BackendRequest
    ) -> LocalResponse:
        """One message for the whole request, so that its body has to be here first."""
        peers, arrives = self._context.zhttp, not request.is_complete
        try:
            peers.require(address)  # else the next target gets the body as it comes
            body = await request.whole(MAX_BODY_BYTES)
            if len(body) > MAX_BODY_BYTES:
                raise ProtocolError(413, f"Body must not exceed {MAX_BODY_BYTES} bytes")
            scheme = "https" if request.tls else "http"
            timeout_seconds = self._context.caller.settings.read_timeout_seconds
            response = await peers.ask(address, scheme, head, body, timeout_seconds)
        except BackendError as error:
            error.target = target.label
            if arrives and request.is_complete and isinstance(error, BackendUnreachable):
                raise BackendError(str(error)) from error  # what has been read can't be had again
            raise
        return LocalResponse(response, target.label)


def _count_trip(
    tally: RouteTally, sizes: tuple[int, int], answered: ResponseHead, seconds: float
) -> None:
    """Count a request's head with what there was of its body, and the head of its answer."""
    head_bytes, body_bytes = sizes
    counts = tally.counts()
    counts.server_header_bytes_sent += head_bytes
    counts.server_content_bytes_sent += body_bytes
    counts.server_header_bytes_received += answered.content_bytes()
    counts.backend_seconds.observe(seconds)
