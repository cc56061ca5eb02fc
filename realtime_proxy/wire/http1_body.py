"""Message bodies as they arrive: by length and up to the close by counting, chunked by h11."""

import h11

from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.wire.http1_rules import Framing

# One chunk line or trailer may not be longer than this; h11 refuses it.
_MAX_LINE_BYTES = 16_384


class BodyReader:
    """Takes the bytes that follow a head, and gives back body bytes, whatever the framing.

    `data` and `complete` tell what is there; bytes beyond the end of the body stay in `rest`.
    """

    __slots__ = ("_chunks", "_left", "complete", "rest", "trailers")

    def __init__(self, framing: Framing) -> None:
        self._left = framing.length
        self._chunks = _chunk_parser() if framing.chunked else None
        self.complete = framing.length == 0
        self.rest = b""
        self.trailers = Headers()

    def feed(self, data: bytes) -> bytes:
        """The body bytes in what has just arrived. Raises ProtocolError (400) on bad chunks."""
        if self.complete:
            self.rest += data
            return b""
        if not data:
            return b""  # h11 would take it for the end of input
        if self._chunks is not None:
            return self._feed_chunks(self._chunks, data)
        if self._left is None:
            return data
        if len(data) < self._left:
            self._left -= len(data)
            return data
        self.complete = True
        if len(data) == self._left:
            return data
        self.rest = data[self._left :]
        return data[: self._left]

    @property
    def left(self) -> int | None:
        """How many bytes are still to come; None if that is not known."""
        return self._left if self._chunks is None else None

    def count(self, size: int) -> None:
        """So many of the bytes that are `left` have passed without being fed."""
        if self._left is not None:
            self._left -= size
            self.complete = self._left == 0

    def end_of_input(self) -> bool:
        """The peer has ended its side: True if that ends this body as it should."""
        if not self.complete and self._left is None and self._chunks is None:
            self.complete = True
        return self.complete

    def _feed_chunks(self, parser: h11.Connection, data: bytes) -> bytes:
        out = []
        try:
            parser.receive_data(data)
            while True:
                event = parser.next_event()
                if isinstance(event, h11.Data):
                    out.append(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    self.trailers = Headers(event.headers)
                    self.complete = True
                    self.rest = parser.trailing_data[0]
                    self._chunks = None
                    break
                else:
                    break
        except h11.RemoteProtocolError as error:
            raise ProtocolError(400, f"The chunked body is malformed: {error}.") from error
        return b"".join(out)


def _chunk_parser() -> h11.Connection:
    """An h11 connection that has just read the head of a chunked request."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_LINE_BYTES)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: -\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.next_event()
    return connection
