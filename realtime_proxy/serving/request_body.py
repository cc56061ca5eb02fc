"""A client's request body, read as it is asked for, bounded in size and time."""

from collections.abc import Callable

import trio

from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.net.client_socket import ClientSocket
from realtime_proxy.net.timers import Timers
from realtime_proxy.serving.retained_bodies import RetainedBodies, no_room_for_bodies
from realtime_proxy.wire.http1_body import BodyReader
from realtime_proxy.wire.http1_server import CONTINUE, IncomingRequest, RequestParser

# As much of a body as is kept, to repeat the request when its hold is renewed.
MAX_REMEMBERED_BYTES = 100_000


class RequestBody:
    """The body that belongs to one request."""

    __slots__ = (
        "_expects_continue",
        "_max_bytes",
        "_on_complete",
        "_parser",
        "_peeked",
        "_reader",
        "_retained",
        "_socket",
        "_timed_out",
        "_timeout_seconds",
        "_timers",
        "is_forgotten",
        "remembered",
        "size",
    )

    def __init__(
        self,
        request: IncomingRequest,
        parser: RequestParser,
        socket: ClientSocket,
        timers: Timers,
        retained: RetainedBodies,
        limits: tuple[int, float],
        on_complete: Callable[[], None],
    ) -> None:
        """`limits`: most bytes (0: any number), and the longest silence in seconds.

        `on_complete` is called when a body that was still to come is all here.
        """
        self._reader = BodyReader(request.framing)
        self._parser = parser
        self._socket = socket
        self._timers = timers
        self._retained = retained
        self._max_bytes, self._timeout_seconds = limits
        self._on_complete = on_complete
        self._expects_continue = request.expects_continue
        self._timed_out = False
        self._peeked = b""  # read already, and still to be taken
        self.remembered = b""
        self.is_forgotten = False
        self.size = 0
        if self._max_bytes and (request.framing.length or 0) > self._max_bytes:
            raise self._too_large()

    @property
    def complete(self) -> bool:
        """True once the whole body has been read."""
        return self._reader.complete

    @property
    def trailers(self) -> Headers:
        """The trailer fields, once the body is complete."""
        return self._reader.trailers

    def take(self) -> bytes:
        """What of the body is here already. Raises ProtocolError (400, 413)."""
        peeked, self._peeked = self._peeked, b""
        data, self._parser.buffer = self._parser.buffer, b""
        return peeked + self._fed(data) if peeked else self._fed(data)

    async def peek(self, max_bytes: int) -> bytes | None:
        """The whole body, which is still to be taken; None if it has more bytes than this.

        Before anything is taken. Raises as `read` does.
        """
        peeked = self.take()
        while len(peeked) <= max_bytes and (part := await self.read()):
            peeked += part
        self._peeked = peeked
        return peeked if self.complete and len(peeked) <= max_bytes else None

    def replace(self, body: bytes) -> None:
        """Have this be taken, and remembered, in place of a body that was peeked at.

        Raises ValueError unless all of that is here: the rest would follow on this one.
        """
        if not self.complete:
            raise ValueError("the body to be replaced is not all here")
        self.forget()
        self._peeked, self.size, self.is_forgotten = body, len(body), False
        self._remember(body[:MAX_REMEMBERED_BYTES])

    async def read(self) -> bytes:
        """More of the body; nothing once it is complete. Raises ProtocolError (400, 408, 413).

        Raises trio.BrokenResourceError when the client leaves within it.
        """
        while not self.complete:
            data = self._parser.buffer or await self._receive()
            self._parser.buffer = b""
            part = self._fed(data)
            if part:
                return part
        return b""

    def _fed(self, data: bytes) -> bytes:
        if not data and not self.complete:
            return b""
        was_complete = self.complete
        part = self._reader.feed(data)
        if self.complete:
            self._parser.buffer, self._reader.rest = self._reader.rest, b""
            if not was_complete:
                self._on_complete()
        self.size += len(part)
        if self._max_bytes and self.size > self._max_bytes:
            raise self._too_large()
        if len(self.remembered) < MAX_REMEMBERED_BYTES and not self.is_forgotten:
            self._remember(part[: MAX_REMEMBERED_BYTES - len(self.remembered)])
        return part

    def _remember(self, part: bytes) -> None:
        """Keep a part, if there is room for it; else the request can't be held."""
        if self._retained.take(len(part)):
            self.remembered += part
        else:
            self.forget()

    def forget(self) -> None:
        """Keep none of it any more."""
        self.is_forgotten = True
        self._retained.give_back(len(self.remembered))
        self.remembered = b""

    async def _receive(self) -> bytes:
        if self._expects_continue:
            self._expects_continue = False
            self._socket.write(CONTINUE)
        timer = self._timers.after(self._timeout_seconds, self._time_out)
        try:
            data = self._socket.receive()
            if data is not None:  # a fast upload must not keep others waiting
                await trio.lowlevel.checkpoint()
            while data is None:
                await self._socket.wait_readable()
                data = self._socket.receive()
        finally:
            timer.cancel()
        if self._timed_out:
            raise ProtocolError(408, "The request body took too long to arrive.")
        if not data:
            raise trio.BrokenResourceError("the client left within its request body")
        return data

    def _time_out(self) -> None:
        self._timed_out = True
        self._socket.end_input()

    def _too_large(self) -> ProtocolError:
        return ProtocolError(413, f"Request body size exceeded limit of {self._max_bytes} bytes.")


class StoredBody:
    """A body that is all here, such as one kept from an earlier time. It is never changed."""

    __slots__ = ("remembered", "size")

    complete = True
    is_forgotten = False

    def __init__(self, body: bytes) -> None:
        self.remembered = body
        self.size = len(body)

    def forget(self) -> None:
        """Others keep it, too."""


NO_BODY = StoredBody(b"")


def require_repeatable(body: RequestBody | StoredBody) -> None:
    """What is held may have to be asked again. Raises ProtocolError, or OverloadError."""
    if body.size > MAX_REMEMBERED_BYTES:
        raise ProtocolError(400, "Request too large to accept GRIP instruct.")
    if body.is_forgotten:
        raise no_room_for_bodies()
