"""HTTP/1.1 towards backends: requests to bytes, bytes to responses (RFC 9112)."""

import re

import h11

from realtime_proxy.errors import BackendMisbehaved, ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, ResponseHead
from realtime_proxy.model.shared_headers import KnownHeaders, SharedHeaders
from realtime_proxy.wire.http1_body import BodyReader
from realtime_proxy.wire.http1_rules import (
    Framing,
    encode_head,
    parse_response_block,
    response_framing,
)
from realtime_proxy.wire.known_blocks import KnownBlocks

# Status, reason, version and fields by whole heads of responses.
KnownResponses = KnownBlocks[tuple[int, bytes, bytes, SharedHeaders]]

# The fields that say where a response ends and what becomes of the connection.
_DECISIVE = frozenset((b"connection", b"content-length", b"transfer-encoding"))
_END_OF_HEAD = re.compile(rb"\n\r?\n")


def encode_request_head(head: RequestHead) -> bytes:
    """The bytes of a request head. `head.headers` already has Host and the framing."""
    return encode_head(b"%b %b HTTP/1.1" % (head.method, head.target), head.headers)


def decode_request_head(block: bytes) -> RequestHead:
    """A head as `encode_request_head` has written it: its fields need no check.

    Raises ProtocolError (400) for a target with blanks, which a handler may have made.
    """
    line, *lines = block[:-4].split(b"\r\n")
    words = line.split(b" ")
    if len(words) != 3 or not words[1]:
        raise ProtocolError(400, "The request line must be METHOD TARGET HTTP/1.1.")
    fields = [field.partition(b": ") for field in lines]
    return RequestHead(words[0], words[1], Headers([(name, value) for name, _, value in fields]))


class ResponseParser:
    """The bytes of a backend's answer to one request: its head, then a reader of its body."""

    __slots__ = (
        "_known",
        "_max_header_bytes",
        "_method",
        "_searched",
        "_upgrades",
        "body",
        "buffer",
        "keep_alive",
        "length",
    )

    def __init__(
        self,
        method: bytes,
        max_header_bytes: int,
        known: KnownResponses | None = None,
        *,
        upgrades: bool = False,
    ) -> None:
        """`known` are heads that came before.

        `upgrades` says that the request asked for another protocol, so that a 101 is no error.
        Then what follows the head, in `buffer`, is no body.
        """
        self._method = method
        self._known = known
        self._upgrades = upgrades
        self._max_header_bytes = max_header_bytes
        self._searched = 0
        self.buffer = b""
        self.keep_alive = False
        self.length: int | None = None

    def feed_head(self, data: bytes) -> tuple[ResponseHead, BodyReader] | None:
        """The response's head once it is complete, interim responses (1xx) left out.

        The reader that comes with it takes the rest, beginning with what is in `buffer`.
        Raises BackendMisbehaved when this is not HTTP.
        """
        self.buffer = self.buffer + data if self.buffer else data
        while True:
            match = _END_OF_HEAD.search(self.buffer, self._searched)
            if match is None:
                self._searched = max(0, len(self.buffer) - 2)
                if len(self.buffer) > self._max_header_bytes:
                    raise BackendMisbehaved("response head is too large")
                return None
            end = match.end()
            block, self.buffer, self._searched = self.buffer[:end], self.buffer[end:], 0
            if end > self._max_header_bytes:
                raise BackendMisbehaved("response head is too large")
            head = self._head_of(block)
            if head.status == 101 and not self._upgrades:
                raise BackendMisbehaved("backend switched protocols, which nobody asked for")
            if head.status >= 200 or head.status == 101:
                return head, self._begin_body(head)

    def _head_of(self, block: bytes) -> ResponseHead:
        known = self._known
        plain = None if known is None else known.get(block)
        if plain is None:
            try:
                plain = parse_response_block(block)
            except ProtocolError as error:
                raise BackendMisbehaved(str(error)) from error
            if plain is None:
                return _parse_head_leniently(block)
            if known is not None and known.is_back(block):
                plain = (*plain[:3], KnownHeaders(plain[3]))
                known.keep(block, plain)
        status, reason, version, headers = plain
        return ResponseHead(status, reason, headers, version)

    def _begin_body(self, head: ResponseHead) -> BodyReader:
        answers_head = self._method == b"HEAD"
        try:
            framing, self.keep_alive = head.headers.remember(
                _end_of_response, head.status, head.version, answers_head
            )
        except ProtocolError as error:
            raise BackendMisbehaved(str(error)) from error
        self.length = framing.length
        return BodyReader(framing)


def _end_of_response(
    headers: Headers, status: int, version: bytes, answers_head: bool
) -> tuple[Framing, bool]:
    """Where a response ends, and whether its connection goes on after that."""
    decisive = headers.indexed(_DECISIVE)
    framing = response_framing(status, version, decisive, answers_head=answers_head)
    tokens = decisive.tokens(b"connection")
    keep_alive = (
        status != 101
        and b"close" not in tokens
        and (version == b"1.1" or b"keep-alive" in tokens)
        and (framing.length is not None or framing.chunked)
    )
    return framing, keep_alive


def _parse_head_leniently(block: bytes) -> ResponseHead:
    """Old spellings a backend may still use (bare LF, folded lines), made plain by h11."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=len(block) + 1)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "-")]))
    connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(block)
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise BackendMisbehaved(f"response is not HTTP: {error}") from error
    if not isinstance(event, h11.Response | h11.InformationalResponse):
        raise BackendMisbehaved("response is not HTTP")
    headers = Headers(event.headers.raw_items())
    return ResponseHead(event.status_code, event.reason, headers, event.http_version)
