"""A backend's response: its head at once, its body as it is asked for."""

from collections.abc import Callable
from typing import Protocol

from realtime_proxy.backend.connection import BackendConnection
from realtime_proxy.errors import BackendMisbehaved, ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response, ResponseHead
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

    async def read(self) -> bytes:
        """More of the body; nothing once it is complete. Raises BackendError when cut short."""

    def close(self) -> None:
        """Done with it: the connection is kept if the response is complete, else closed."""


class NetworkResponse:
    """A response that arrives on a connection."""

    __slots__ = ("_connection", "_give_back", "_parser", "head", "length", "source")

    def __init__(
        self,
        head: ResponseHead,
        parser: ResponseParser,
        connection: BackendConnection,
        give_back: Callable[[BackendConnection, ResponseHead], None],
    ) -> None:
        self.head = head
        self.source = str(connection.origin)
        self.length = parser.length
        self._parser = parser
        self._connection: BackendConnection | None = connection
        self._give_back = give_back

    @property
    def trailers(self) -> Headers:
        """The trailer fields, once the body is complete."""
        assert self._parser.body is not None
        return self._parser.body.trailers

    async def read(self) -> bytes:
        """More of the body; nothing once it is complete. Raises BackendError when cut short."""
        body, connection = self._parser.body, self._connection
        assert body is not None
        data, self._parser.buffer = self._parser.buffer, b""
        while True:
            if data:
                try:
                    part = body.feed(data)
                except ProtocolError as error:
                    raise BackendMisbehaved(str(error)) from error
                if part:
                    return part
            if body.complete or connection is None:
                return b""
            data = await connection.receive()
            if not data:
                if body.end_of_input():
                    return b""
                raise BackendMisbehaved("connection closed within the response")

    def close(self) -> None:
        """Keep the connection if the response is complete, else close it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        body = self._parser.body
        assert body is not None
        if self._parser.buffer and not body.complete:
            self._finish_from_buffer()
        if body.complete and not body.rest and not self._parser.buffer and self._parser.keep_alive:
            self._give_back(connection, self.head)
        else:
            connection.close()

    def _finish_from_buffer(self) -> None:
        """An unread body that is already here costs nothing to skip."""
        assert self._parser.body is not None
        data, self._parser.buffer = self._parser.buffer, b""
        try:
            self._parser.body.feed(data)
        except ProtocolError:
            self._parser.keep_alive = False


class LocalResponse:
    """A response made inside the proxy, by the embedded demo backend or a handler."""

    __slots__ = ("_body", "head", "length", "source", "trailers")

    def __init__(self, response: Response, source: str) -> None:
        self.head = response.head()
        self.source = source
        self.length: int | None = len(response.body)
        self.trailers = Headers()
        self._body = response.body

    async def read(self) -> bytes:
        """The whole body, then nothing."""
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        """Nothing to give back."""
