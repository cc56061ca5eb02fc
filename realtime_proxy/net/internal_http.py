"""A small HTTP server for ports of our own: one whole request, one whole response, in turn."""

import socket
from collections.abc import Awaitable, Callable

import attrs
import structlog
import trio

from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.messages import RequestHead, Response, text_response
from realtime_proxy.wire.http1_body import BodyReader
from realtime_proxy.wire.http1_rules import encode_head
from realtime_proxy.wire.http1_server import (
    CONTINUE,
    HeadLimits,
    IncomingRequest,
    RequestParser,
)

REQUEST_SECONDS = 60.0
IDLE_SECONDS = 60.0
MAX_CONNECTIONS = 128
_BODYLESS = frozenset((b"GET", b"HEAD", b"DELETE", b"OPTIONS"))

log = structlog.get_logger()


@attrs.define
class InternalLimits:
    """Sizes that a request may have, in bytes. A change counts from the next connection on."""

    max_header_bytes: int
    max_body_bytes: int


@attrs.frozen
class InternalReply:
    """A response, and whether the connection may stay open after it."""

    response: Response
    keep_alive: bool = False


Answer = Callable[[RequestHead, bytes], Awaitable[InternalReply]]


class InternalHttpServer:
    """Serves one port with one function. Bodies need a Content-Length (411)."""

    def __init__(self, limits: InternalLimits, answer: Answer) -> None:
        self._limits = limits
        self._answer = answer
        self._places = trio.CapacityLimiter(MAX_CONNECTIONS)
        self._accepting = trio.CancelScope()

    async def run(self, listener: socket.socket) -> None:
        """Serve until cancelled, or told to end and nobody is left; then the listener is closed."""
        wrapped = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        async with trio.open_nursery() as clients:
            with self._accepting:
                await trio.serve_listeners(self._serve, [wrapped], handler_nursery=clients)

    def end(self) -> None:
        """Take nobody more. Who is connected gets one more answer, with `Connection: close`."""
        self._accepting.cancel()

    async def _last_or_not(self, head: RequestHead, body: bytes) -> InternalReply:
        reply = await self._answer(head, body)
        return attrs.evolve(reply, keep_alive=False) if self._accepting.cancel_called else reply

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with self._places:
            try:
                await _Client(stream, self._limits, self._last_or_not).serve()
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
                pass  # the client is gone, or takes too long
            finally:
                with trio.move_on_after(1):
                    await stream.aclose()


class _Client:
    """One connection to an internal port."""

    def __init__(self, stream: trio.SocketStream, limits: InternalLimits, answer: Answer) -> None:
        self._stream = stream
        self._limits = limits
        self._answer = answer
        head_limits = HeadLimits(limits.max_header_bytes, limits.max_header_bytes)
        self._parser = RequestParser(head_limits, host_optional=True)
        self._version = b"1.1"

    async def serve(self) -> None:
        """Answer requests until one is the last."""
        try:
            while await self._serve_one():
                pass
        except ProtocolError as error:
            await self._send(text_response(error.status, str(error)), keep_alive=False)
            await self._drain()

    async def _serve_one(self) -> bool:
        while (request := self._next_request()) is None:
            if not await self._receive(REQUEST_SECONDS if self._parser.buffer else IDLE_SECONDS):
                return False
        self._version = request.head.version
        head = request.head
        if request.framing.chunked or (
            head.method not in _BODYLESS and not head.headers.has(b"content-length")
        ):
            raise ProtocolError(411, "Request requires Content-Length.")
        if (request.framing.length or 0) > self._limits.max_body_bytes:
            raise ProtocolError(400, "Request body too large.")
        if request.expects_continue:
            await self._stream.send_all(CONTINUE)
        reader = BodyReader(request.framing)
        body = await self._body(reader)
        reply = await self._reply(head, body)
        keep_alive = reply.keep_alive and request.keep_alive
        await self._send(reply.response, keep_alive=keep_alive, has_body=head.method != b"HEAD")
        if not keep_alive:
            await self._drain()
        return keep_alive

    def _next_request(self) -> IncomingRequest | None:
        try:
            return self._parser.next_request()
        except ProtocolError as error:
            raise _refusal(error) from error

    async def _reply(self, head: RequestHead, body: bytes) -> InternalReply:
        try:
            return await self._answer(head, body)
        except Exception:
            # A defect met on one request is told to its sender, and ends nothing else.
            log.exception("request on an internal port failed")
            return InternalReply(text_response(500, "Internal Server Error"))

    async def _body(self, reader: BodyReader) -> bytes:
        data, self._parser.buffer = self._parser.buffer, b""
        parts = [reader.feed(data)]
        while not reader.complete:
            with trio.fail_after(REQUEST_SECONDS):
                data = bytes(await self._stream.receive_some())
            if not data:
                raise trio.BrokenResourceError("the client left within its request")
            parts.append(reader.feed(data))
        self._parser.buffer = reader.rest
        return b"".join(parts)

    async def _receive(self, seconds: float) -> bool:
        with trio.fail_after(seconds):
            data = bytes(await self._stream.receive_some())
        self._parser.feed(data)
        return bool(data)

    async def _send(self, response: Response, *, keep_alive: bool, has_body: bool = True) -> None:
        head = response.head()
        data = encode_head(
            b"HTTP/%b %d %b" % (self._version, head.status, head.reason),
            head.headers,
            b"Content-Length: %d" % len(response.body),
            b"Connection: keep-alive" if keep_alive else b"Connection: close",
        )
        with trio.fail_after(REQUEST_SECONDS):
            await self._stream.send_all(data + response.body if has_body else data)

    async def _drain(self) -> None:
        """Let the client read the answer before the connection goes (RFC 9112 9.6)."""
        with trio.move_on_after(2):
            await self._stream.send_eof()
            while await self._stream.receive_some():
                pass


def _refusal(error: ProtocolError) -> ProtocolError:
    """What publishers have always been told of a head that can't be read."""
    if error.status in (414, 431):
        return ProtocolError(400, "Request header too large.")
    if str(error).startswith("Content-Length"):
        return ProtocolError(400, "Bad Content-Length.")
    if "Transfer-Encoding" in str(error):
        return ProtocolError(411, "Request requires Content-Length.")
    return ProtocolError(400, "Failed to parse request header.")
