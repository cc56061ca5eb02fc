"""What we refuse in HTTP/1.1 messages, whatever a parser would accept (RFC 9112).

Two compiled expressions decide whether the shape of a head is right: a request or status line,
then a block of fields without folding, bare LF or control characters. What fails them is looked at
once more, only to say what was wrong. The functions after it hold the rules on framing and on
`Host`; they are what keeps two servers in a row from disagreeing about where a message ends.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Fields, Headers
from realtime_proxy.model.shared_headers import CheckedHeaders, KnownHeaders, SharedHeaders

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# Field content: no control characters but the tab. What is allowed is matched in half the time that
# it takes to match what is not forbidden.
_TEXT = rb"[\t\x20-\x7e\x80-\xff]*"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.([01])\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: (" + _TEXT + rb"))?\r\n")
_FIELDS = re.compile(rb"(?:" + _TOKEN + rb":" + _TEXT + rb"+\r\n)*+\r\n")  # linear: possessive
# Of what one of these has matched: where a name and a value end is all that is left to find.
_FIELD = re.compile(rb"([^:]+):[ \t]*+([^\r]*)\r\n")

_NAME = re.compile(_TOKEN)
_VALUE = re.compile(_TEXT)
_BARE_LF = re.compile(rb"(?<!\r)\n")
_VERSION = re.compile(rb"HTTP/[0-9]+\.[0-9]+")
_WRITTEN = re.compile(rb"(?:" + _TOKEN + rb": " + _TEXT + rb"\r\n)*+")
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


def parse_request_line(block: bytes) -> tuple[bytes, bytes, bytes, int]:
    """Method, target and version (`1.0` or `1.1`) of a whole request head; where fields begin.

    `block` ends with the empty line. Raises ProtocolError (400 or 505).
    """
    match = _REQUEST_LINE.match(block)
    if match is None:
        raise _what_is_wrong(block)
    method, target, minor = match.groups()
    return method, target, b"1.1" if minor == b"1" else b"1.0", match.end()


def parse_request_fields(block: bytes, start: int) -> SharedHeaders:
    """The fields of a whole request head, which begin at `start`. Raises ProtocolError (400, 431).

    The line before them must have been found right.
    """
    if not _FIELDS.fullmatch(block, start):
        raise _what_is_wrong(block)
    return _split_fields(block, start)


def require_no_tunnel(method: bytes) -> None:
    """Refuse what asks for a forward proxy. Raises ProtocolError (501)."""
    if method == b"CONNECT":
        raise ProtocolError(501, "CONNECT is not supported: this is not a forward proxy.")


def parse_request_block(block: bytes) -> tuple[bytes, bytes, bytes, Headers]:
    """Method, target, version and fields, to be changed as one likes, of a whole request head.

    `block` ends with the empty line. Raises ProtocolError (400, 431, 501 or 505).
    """
    method, target, version, start = parse_request_line(block)
    headers = parse_request_fields(block, start)
    require_no_tunnel(method)
    return method, target, version, Headers(headers)


def parse_response_block(block: bytes) -> tuple[int, bytes, bytes, SharedHeaders] | None:
    """Status, reason, version and fields of a whole response head, or None if it is not plain.

    Raises ProtocolError (431).
    """
    line = _STATUS_LINE.match(block)
    if line is None or not _FIELDS.fullmatch(block, line.end()):
        return None
    minor, status, reason = line.groups()
    headers = _split_fields(block, line.end())
    return int(status), reason or b"", b"1.1" if minor == b"1" else b"1.0", headers


def _split_fields(block: bytes, start: int) -> SharedHeaders:
    fields = _FIELD.findall(block, start, len(block) - 2)
    if block.find(b" \r", start) >= 0 or block.find(b"\t\r", start) >= 0:
        fields = [(name, value.rstrip(b" \t")) for name, value in fields]
    if len(fields) > MAX_FIELDS:
        raise ProtocolError(431, f"There are more than {MAX_FIELDS} header fields.")
    return CheckedHeaders(fields)


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
    if b"\n" in start or b"\r" in start:
        start = b" ".join(start.split())
    if own:
        return b"".join((start, b"\r\n", encode_fields(fields), b"\r\n".join(own), b"\r\n\r\n"))
    return b"".join((start, b"\r\n", encode_fields(fields), b"\r\n"))


def encode_fields(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The fields as lines, each with its end, without those that are none.

    Of fields that are known they are made once.
    """
    if not isinstance(fields, SharedHeaders):
        return _good_lines(fields)
    if not isinstance(fields, KnownHeaders):
        return _plain_lines(fields) if fields.is_checked else _good_lines(fields)
    lines = fields.lines
    if lines is None:
        if fields.parts:
            lines = b"".join(map(encode_fields, fields.parts))
        else:
            lines = _plain_lines(fields) if fields.is_checked else _good_lines(fields)
        fields.lines = lines
    return lines


def _plain_lines(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"\r\n".join([*map(b": ".join, fields), b""])


def _good_lines(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    lines = _plain_lines(fields)
    are_as_meant = lines.count(b"\n") == lines.count(b"\r") == len(fields)
    if are_as_meant and _WRITTEN.fullmatch(lines):
        names = b"".join([name for name, _ in fields])
        if b":" not in names:  # else a name may be a field of its own, with a value
            return lines
    good = [field for field in fields if is_field_name(field[0]) and is_field_value(field[1])]
    return _plain_lines(good)


def checked(fields: Headers) -> SharedHeaders:
    """Some fields, which need not be looked at again if they may be written."""
    for name, value in fields:
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            return SharedHeaders(fields)
    return CheckedHeaders(fields)


def known(fields: Headers) -> KnownHeaders:
    """Some fields that are written often."""
    result = KnownHeaders(fields)
    result.is_checked = checked(fields).is_checked
    return result


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


def response_framing(
    status: int, version: bytes, headers: Fields, *, answers_head: bool
) -> Framing:
    """How long a response's body is (RFC 9112 6.3). Raises ProtocolError on a contradiction.

    `answers_head`: that to a HEAD has none.
    """
    if answers_head or status < 200 or status in (204, 304):
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
