"""What we refuse in HTTP/1.1 messages, whatever a parser would accept (RFC 9112).

One compiled expression decides for a whole head whether its shape is right: a request or status
line, then fields without folding, bare LF or control characters. What fails it is looked at once
more, only to say what was wrong. The functions after it hold the rules on framing and on `Host`;
they are what keeps two servers in a row from disagreeing about where a message ends.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Fields, Headers

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# Field content: no control characters but the tab. What is allowed is matched in half the time that
# it takes to match what is not forbidden.
_TEXT = rb"[\t\x20-\x7e\x80-\xff]*"
_FIELDS = rb"((?:" + _TOKEN + rb":" + _TEXT + rb"+\r\n)*+)\r\n"  # possessive: linear time
_REQUEST = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.([01])\r\n" + _FIELDS)
_RESPONSE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: (" + _TEXT + rb"))?\r\n" + _FIELDS)
# Of what one of these has matched: where a name and a value end is all that is left to find.
_FIELD = re.compile(rb"([^:]+):[ \t]*+([^\r]*)\r\n")

_NAME = re.compile(_TOKEN)
_VALUE = re.compile(_TEXT)
_BARE_LF = re.compile(rb"(?<!\r)\n")
_VERSION = re.compile(rb"HTTP/[0-9]+\.[0-9]+")
_WRITTEN = re.compile(rb"(?:" + _TOKEN + rb": " + _TEXT + rb"\r\n)*+\r\n")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]*)(?::[0-9]*)?")

MAX_FIELDS = 128  # Pushpin takes 64, nginx bounds bytes only; enough for every known client
_MAX_LENGTH_DIGITS = 18  # stays below 2**63


class Framing(NamedTuple):
    """How long a message body is: `length` bytes (0: none), or chunked, or up to the close."""

    length: int | None = 0
    chunked: bool = False

    @property
    def has_body(self) -> bool:
        """True if body bytes may follow the head."""
        return self.length != 0


NO_BODY = Framing()
CHUNKED = Framing(None, chunked=True)
UNTIL_CLOSE = Framing(None)


def is_field_name(name: bytes) -> bool:
    """True if this may be written as a field name."""
    return _NAME.fullmatch(name) is not None


def is_field_value(value: bytes) -> bool:
    """True if this may be written as a field value: nothing that could end the line."""
    return _VALUE.fullmatch(value) is not None


def has_bare_lf(data: bytes, start: int = 0) -> bool:
    """True if a line ends in LF without CR: such a head never becomes complete."""
    return _BARE_LF.search(data, start) is not None


def parse_request_block(block: bytes) -> tuple[bytes, bytes, bytes, Headers]:
    """Method, target, version (`1.0` or `1.1`) and fields of a whole request head.

    `block` ends with the empty line. Raises ProtocolError (400, 431, 501 or 505).
    """
    match = _REQUEST.fullmatch(block)
    if match is None:
        raise _what_is_wrong(block)
    method, target, minor, fields = match.groups()
    headers = _split_fields(fields)
    if method == b"CONNECT":
        raise ProtocolError(501, "CONNECT is not supported: this is not a forward proxy.")
    return method, target, b"1.1" if minor == b"1" else b"1.0", headers


def parse_response_block(block: bytes) -> tuple[int, bytes, bytes, Headers] | None:
    """Status, reason, version and fields of a whole response head, or None if it is not plain."""
    match = _RESPONSE.fullmatch(block)
    if match is None:
        return None
    minor, status, reason, fields = match.groups()
    return int(status), reason or b"", b"1.1" if minor == b"1" else b"1.0", _split_fields(fields)


def _split_fields(fields: bytes) -> Headers:
    headers = Headers(_FIELD.findall(fields))
    if b" \r" in fields or b"\t\r" in fields:
        headers = Headers([(name, value.rstrip(b" \t")) for name, value in headers])
    if len(headers) > MAX_FIELDS:
        raise ProtocolError(431, f"There are more than {MAX_FIELDS} header fields.")
    return headers


def _what_is_wrong(block: bytes) -> ProtocolError:
    if has_bare_lf(block):
        return ProtocolError(400, "Lines must end with CR LF.")
    line, *fields = block[:-4].split(b"\r\n")
    words = line.split(b" ")
    if len(words) != 3 or not is_field_name(words[0]):
        return ProtocolError(400, "The request line must be METHOD TARGET HTTP/1.1.")
    if words[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        if _VERSION.fullmatch(words[2]):
            return ProtocolError(505, "Only HTTP/1.0 and HTTP/1.1 are supported.")
        return ProtocolError(400, "The request line must be METHOD TARGET HTTP/1.1.")
    for field in fields:
        name, colon, value = field.partition(b":")
        if field[:1] in (b" ", b"\t"):
            return ProtocolError(400, "Header fields must not be folded over several lines.")
        if not colon or not is_field_name(name):
            return ProtocolError(400, "A header field has no valid name.")
        if not is_field_value(value):
            shown = name.decode("ascii")
            return ProtocolError(400, f"The header field {shown} has control characters.")
    return ProtocolError(400, "The request target has characters that are not allowed.")


def encode_head(start: bytes, fields: Sequence[tuple[bytes, bytes]], *own: bytes) -> bytes:
    """A head as bytes: the start line, the fields, then whole lines of our own.

    Handlers, items and instructions make fields too. One that is no field (a line end in it, a
    blank in its name) is left out, so what is written never becomes another field or a body.
    """
    lines = [start, *map(b": ".join, fields), *own, b"\r\n"]
    block = b"\r\n".join(lines)
    is_as_meant = block.count(b"\n") == block.count(b"\r") == len(lines)
    if is_as_meant and _WRITTEN.fullmatch(block, len(start) + 2):
        return block
    start = b" ".join(start.split())
    good = [field for field in fields if is_field_name(field[0]) and is_field_value(field[1])]
    return b"\r\n".join([start, *[b"%b: %b" % field for field in good], *own, b"\r\n"])


def content_length(headers: Fields) -> int | None:
    """The one Content-Length, or None. Raises ProtocolError (400) on several or on nonsense."""
    values = headers.get_all(b"content-length")
    if not values:
        return None
    if len(values) > 1 or b"," in values[0]:
        raise ProtocolError(400, "Content-Length must be given once.")
    if not values[0].isdigit() or len(values[0]) > _MAX_LENGTH_DIGITS:
        raise ProtocolError(400, "Content-Length must be a number.")
    return int(values[0])


def request_framing(version: bytes, headers: Fields) -> Framing:
    """How long a request's body is (RFC 9112 6). Raises ProtocolError (400, 501)."""
    length = content_length(headers)
    codings = headers.get_all(b"transfer-encoding")
    if not codings:
        return Framing(length) if length else NO_BODY
    if length is not None:
        raise ProtocolError(400, "Content-Length and Transfer-Encoding exclude each other.")
    if version == b"1.0":
        raise ProtocolError(400, "Transfer-Encoding needs HTTP/1.1.")
    if not _is_chunked(codings):
        if all(coding == b"chunked" for coding in headers.tokens(b"transfer-encoding")):
            raise ProtocolError(400, "Transfer-Encoding must be just `chunked`.")
        raise ProtocolError(501, "The only Transfer-Encoding supported is chunked.")
    return CHUNKED


def _is_chunked(codings: list[bytes]) -> bool:
    """True for one plain `chunked`: others read more into what stands beside it."""
    return len(codings) == 1 and codings[0].lower() == b"chunked"


def response_framing(method: bytes, status: int, version: bytes, headers: Fields) -> Framing:
    """How long a response's body is (RFC 9112 6.3). Raises ProtocolError on a contradiction."""
    if method == b"HEAD" or status < 200 or status in (204, 304):
        return NO_BODY
    length = content_length(headers)
    if codings := headers.get_all(b"transfer-encoding"):
        if length is not None:
            raise ProtocolError(502, "Content-Length and Transfer-Encoding exclude each other.")
        if version == b"1.0" or not _is_chunked(codings):
            raise ProtocolError(502, "The only Transfer-Encoding supported is chunked.")
        return CHUNKED
    return UNTIL_CLOSE if length is None else Framing(length)


def check_host(version: bytes, headers: Fields) -> bytes:
    """The Host of a request; `localhost` for HTTP/1.0 without one (RFC 9112 3.2).

    Raises ProtocolError (400) when it is missing on 1.1, repeated, or not a host.
    """
    values = headers.get_all(b"host")
    if not values and version == b"1.0":
        return b"localhost"
    if len(values) != 1:
        raise ProtocolError(400, "The Host header must be given once.")
    if not _HOST.fullmatch(values[0]):
        raise ProtocolError(400, "The Host header is not a host name with an optional port.")
    return values[0]
