"""HTTP/1.1 towards clients: bytes to requests, response heads to bytes (RFC 9112)."""

import re
from typing import NamedTuple

import attrs

from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, ResponseHead
from realtime_proxy.model.shared_headers import KnownHeaders, SharedHeaders
from realtime_proxy.wire.http1_rules import (
    Framing,
    check_host,
    encode_head,
    has_bare_lf,
    parse_request_fields,
    parse_request_line,
    request_framing,
    require_no_tunnel,
)
from realtime_proxy.wire.known_blocks import KnownBlocks
from realtime_proxy.wire.request_target import absolute_form
from realtime_proxy.wire.websocket_handshake import is_upgrade

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# The fields that say where a request goes, where it ends and what becomes of the connection.
_DECISIVE = frozenset(
    (b"connection", b"content-length", b"expect", b"host", b"transfer-encoding", b"upgrade")
)
LAST_CHUNK = b"0\r\n\r\n"
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
# What of a request line is not the target: method, version, blanks. Longer methods are not known.
_LINE_WITHOUT_TARGET_BYTES = 64


@attrs.frozen
class HeadLimits:
    """Sizes a request head may have, in bytes."""

    max_header_bytes: int
    max_target_bytes: int


@attrs.define
class IncomingRequest:
    """A request whose head has arrived: what it asks, and how its body and connection go on."""

    head: RequestHead
    host: bytes
    framing: Framing
    keep_alive: bool
    expects_continue: bool
    upgrades: bool = False  # to a WebSocket, by what it says


class FieldsSay(NamedTuple):
    """The fields of a request that was not refused, and what they and its version say of it."""

    headers: SharedHeaders
    host: bytes
    framing: Framing
    keep_alive: bool
    expects_continue: bool
    upgrades: bool


# By all of a head that is behind `HTTP/1.`: by the version, too, but never by method or target.
KnownRequests = KnownBlocks[FieldsSay]
_MINOR_VERSION_BYTES = len(b"1\r\n")


class RequestParser:
    """The bytes of one client connection, cut into requests.

    Feed what arrives; `next_request` gives a request once its head is complete. Its body is read
    with a `BodyReader`, whose `rest` is fed back before the next request.
    """

    __slots__ = ("_host_optional", "_known", "_limits", "_searched", "buffer")

    def __init__(
        self,
        limits: HeadLimits,
        known: KnownRequests | None = None,
        *,
        host_optional: bool = False,
    ) -> None:
        """`known` are fields that came before, to connections with the same `host_optional`.

        That is for ports of our own, where the host decides nothing.
        """
        self._limits = limits
        self._known = known
        self._host_optional = host_optional
        self.buffer = b""
        self._searched = 0

    def feed(self, data: bytes) -> None:
        """Add bytes that have arrived."""
        self.buffer = self.buffer + data if self.buffer else data

    def next_request(self) -> IncomingRequest | None:
        """The next request, or None until its head is complete.

        Raises ProtocolError (400, 414, 431, 501, 505).
        """
        if not self.buffer:
            return None
        if empty := _EMPTY_LINES.match(self.buffer):  # RFC 9112 2.2
            self.buffer = self.buffer[empty.end() :]
        end = self.buffer.find(b"\r\n\r\n", self._searched)
        if end < 0:
            self._check_incomplete()
            self._searched = max(0, len(self.buffer) - 3)
            return None
        end += 4
        block, self.buffer, self._searched = self.buffer[:end], self.buffer[end:], 0
        self._check_size(block)
        request = self._as_request(block)
        if len(request.head.target) > self._limits.max_target_bytes:
            raise self._target_too_long()
        return request

    def _as_request(self, block: bytes) -> IncomingRequest:
        method, target, version, start = parse_request_line(block)
        known = self._known
        key = block[start - _MINOR_VERSION_BYTES :]
        said = None if known is None else known.get(key)
        if said is None:
            said = _said(block, start, version, host_optional=self._host_optional)
            if known is not None and known.is_back(key):
                said = said._replace(headers=KnownHeaders(said.headers))
                known.keep(key, said)
        require_no_tunnel(method)
        headers, host, framing, keep_alive, expects_continue, upgrades = said
        if target[:1] != b"/" and (absolute := absolute_form(method, target)):
            host, target = absolute
            headers = SharedHeaders(headers.replaced(b"Host", host))
        head = RequestHead(method, target, headers, version)
        return IncomingRequest(head, host, framing, keep_alive, expects_continue, upgrades)

    def _check_size(self, block: bytes) -> None:
        """Refuse what is too large, the same for a head in one piece and in many."""
        limits = self._limits
        if len(block) > limits.max_target_bytes:
            line = block.find(b"\r\n")
            longest = limits.max_target_bytes + _LINE_WITHOUT_TARGET_BYTES
            if (len(block) if line < 0 else line) > longest and longest <= limits.max_header_bytes:
                raise self._target_too_long()
        if len(block) > limits.max_header_bytes:
            raise ProtocolError(
                431, f"Request header size exceeded limit of {limits.max_header_bytes} bytes."
            )

    def _target_too_long(self) -> ProtocolError:
        limit = self._limits.max_target_bytes
        return ProtocolError(414, f"Request target size exceeded limit of {limit} bytes.")

    def _check_incomplete(self) -> None:
        """Refuse at once what can't become a request any more."""
        if len(self.buffer) > min(self._limits.max_header_bytes, self._limits.max_target_bytes):
            self._check_size(self.buffer)
        if has_bare_lf(self.buffer, self._searched):
            raise ProtocolError(400, "Lines must end with CR LF.")
        if self.buffer and self.buffer[0] < 0x21 and self.buffer != b"\r":
            raise ProtocolError(400, "The request line must be METHOD TARGET HTTP/1.1.")


def _said(block: bytes, start: int, version: bytes, *, host_optional: bool) -> FieldsSay:
    headers = parse_request_fields(block, start)
    decisive = headers.indexed(_DECISIVE)
    host = b"" if host_optional else check_host(version, decisive)
    framing = request_framing(version, decisive)
    connection = decisive.tokens(b"connection")
    return FieldsSay(
        headers,
        host,
        framing,
        b"close" not in connection and (version == b"1.1" or b"keep-alive" in connection),
        framing.has_body and version == b"1.1" and b"100-continue" in decisive.tokens(b"expect"),
        is_upgrade(decisive),
    )


class BodyForm:
    """How a response's body is marked on the wire: none, by length, chunked, or by the close."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


def response_form(request: RequestHead, status: int, length: int | None) -> str:
    """How the body of a response to this request is to be marked; `length` None is unknown."""
    if request.method == b"HEAD" or status < 200 or status in (204, 304):
        return BodyForm.NONE
    if length is not None:
        return BodyForm.LENGTH
    return BodyForm.CHUNKED if request.version == b"1.1" else BodyForm.CLOSE


def encode_response_head(
    head: ResponseHead, form: str, length: int | None, *, keep_alive: bool, old_client: bool = False
) -> bytes:
    """The bytes of a response head, with framing and `Connection` as given.

    `head.headers` must be free of Connection, Transfer-Encoding and Content-Length. For HEAD and
    304 a known `length` is still told (RFC 9110 8.6). An `old_client` (HTTP/1.0) has to be told
    when its connection stays.
    """
    own = []
    if form == BodyForm.LENGTH or (
        form == BodyForm.NONE and length is not None and head.status >= 200 and head.status != 204
    ):
        own.append(b"Content-Length: %d" % (length or 0))
    elif form == BodyForm.CHUNKED:
        own.append(b"Transfer-Encoding: chunked")
    if not keep_alive:
        own.append(b"Connection: close")
    elif form == BodyForm.CHUNKED:
        own.append(b"Connection: Transfer-Encoding")
    elif old_client:
        own.append(b"Connection: keep-alive")
    return encode_head(b"HTTP/1.1 %d %b" % (head.status, head.reason), head.headers, *own)


def encode_chunk(data: bytes | memoryview) -> bytes:
    """Body bytes as one chunk; nothing for no bytes, which would end the body."""
    return b"".join((b"%x\r\n" % len(data), data, b"\r\n")) if data else b""


def encode_last_chunk(trailers: Headers) -> bytes:
    """The end of a chunked body, with trailer fields if there are any."""
    if not trailers:
        return LAST_CHUNK
    return encode_head(b"0", trailers)
