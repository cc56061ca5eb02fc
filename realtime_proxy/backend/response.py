"""A backend's response: its head at once, its body as it is asked for."""

import contextlib
from collections.abc import Callable
from typing import Protocol

from realtime_proxy.backend.connection import BackendConnection
from realtime_proxy.errors import BackendMisbehaved, ProtocolError
from realtime_proxy.metrics.route_tally import RouteTally
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response, ResponseHead
from realtime_proxy.wire.http1_body import BodyReader
from realtime_proxy.wire.http1_client import ResponseParser


class BackendResponse(Protocol):
    """What the serving side needs of a response, wherever it comes from."""

    head: ResponseHead
    source: str  # the target's address, for messages

    @property
    def length(self) -> int | None:
        """The length of the body if it is known before it has been read."""

    @property
    def trailers(self) -> Headers:
        """The trailer fields, once the body is complete."""

    @property
    def complete(self) -> bool:
        """True once the whole body has been given out."""

    def take(self) -> bytes:
        """What of the body is here already. Raises BackendError."""

    async def read(self) -> bytes:
        """More of the body; nothing once it is complete. Raises BackendError when cut short."""

    def close(self) -> None:
        """Done with it: the connection is kept if the response is complete, else closed."""


# Through this room bodies pass to clients that keep up. There is one for all of a worker, as nobody
# waits while there is something in it: it costs no memory, and is in the processor's cache.
_ROOM = memoryview(bytearray(262_144))
# A backend that always has more ready must not keep others waiting.
_READS_AT_ONCE = 8


class NetworkResponse:
    """A response that arrives on a connection."""

    __slots__ = (
        "_body",
        "_connection",
        "_give_back",
        "_parser",
        "_reads",
        "head",
        "length",
        "source",
        "tally",
    )

    def __init__(
        self,
        head: ResponseHead,
        body: BodyReader,
        parser: ResponseParser,
        connection: BackendConnection,
        give_back: Callable[[BackendConnection, ResponseHead], None],
    ) -> None:
        self.head = head
        self.source = connection.origin.label
        self.tally: RouteTally | None = None
        self.length = parser.length
        self._parser = parser
        self._body = body
        self._connection: BackendConnection | None = connection
        self._give_back = give_back
        self._reads = 0

    @property
    def trailers(self) -> Headers:
        """The trailer fields, once the body is complete."""
        return self._body.trailers

    @property
    def complete(self) -> bool:
        """True once the whole body has been given out."""
        return self._body.complete

    def take(self) -> bytes:
        """What of the body is here already. Raises BackendError."""
        data, self._parser.buffer = self._parser.buffer, b""
        if not data:
            return b""
        try:
            part = self._body.feed(data)
        except ProtocolError as error:
            raise BackendMisbehaved(str(error)) from error
        if self.tally is not None:
            self.tally.counts().server_content_bytes_received += len(part)
        return part

    async def read(self) -> bytes:
        """More of the body; nothing once it is complete. Raises BackendError when cut short."""
        part = self.take()
        while not part and not self._body.complete and self._connection is not None:
            self._reads += 1
            waits_first = self._reads % _READS_AT_ONCE == 0
            data = self._parser.buffer = await self._connection.receive(waits_first=waits_first)
            if not data:
                if self._connection.is_ended_by_peer and self._body.end_of_input():
                    break
                raise BackendMisbehaved("connection closed within the response")
            part = self.take()
        return part

    async def read_passing(self) -> bytes | memoryview:
        """As `read`; but it holds only until anything is waited for, as others need the room.

        A body of known length passes in fewer steps so. No more of it is taken than belongs to it.
        """
        connection, left = self._connection, self._body.left
        if not left or connection is None or connection.is_encrypted or self._parser.buffer:
            return await self.read()
        self._reads += 1
        waits_first = self._reads % _READS_AT_ONCE == 0
        size = await connection.receive_into(_ROOM[:left], waits_first=waits_first)
        if not size:
            raise BackendMisbehaved("connection closed within the response")
        self._body.count(size)
        if self.tally is not None:
            self.tally.counts().server_content_bytes_received += size
        return _ROOM[:size]

    def take_over(self) -> tuple[BackendConnection, bytes]:
        """The connection of a 101, and what has arrived behind that; the caller closes it."""
        connection, self._connection = self._connection, None
        if connection is None:
            raise ValueError("the connection was given back before")
        return connection, self._parser.buffer

    def close(self) -> None:
        """Keep the connection if the response is complete, else close it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._parser.buffer:  # an unread end that is already here costs nothing to skip
            with contextlib.suppress(BackendMisbehaved):
                self.take()
        is_clean = self._body.complete and not self._body.rest and not connection.owes_body
        if is_clean and self._parser.keep_alive:
            self._give_back(connection, self.head)
        else:
            connection.close()


class LocalResponse:
    """A response made inside the proxy, by the embedded demo backend or a handler."""

    __slots__ = ("_body", "head", "length", "source", "tally", "trailers")

    def __init__(self, response: Response, source: str) -> None:
        self.head = response.head()
        self.source = source
        self.tally: RouteTally | None = None
        self.length: int | None = len(response.body)
        self.trailers = Headers()
        self._body = response.body

    @property
    def complete(self) -> bool:
        """True once the body has been given out."""
        return not self._body

    def take(self) -> bytes:
        """The whole body, then nothing."""
        body, self._body = self._body, b""
        if self.tally is not None:
            self.tally.counts().server_content_bytes_received += len(body)
        return body

    async def read(self) -> bytes:
        """The whole body, then nothing."""
        return self.take()

    def close(self) -> None:
        """Nothing to give back."""
