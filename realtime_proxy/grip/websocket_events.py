"""The body format `application/websocket-events`: WebSocket messages as lines and lengths."""

import re
from collections.abc import Iterable

import attrs

from realtime_proxy.errors import GripError
from realtime_proxy.model.headers import Headers

CONTENT_TYPE = b"application/websocket-events"

# `TYPE CRLF` or `TYPE SP hexlen CRLF`. Sixteen digits hold any length there can be, so a longer
# number is refused before it is computed.
_TYPE_LINE = re.compile(rb"([!-~]+)(?: ([0-9A-Fa-f]{1,16}))?\r\n")

# Types whose content is a message: it may be empty, but it is always there.
_MESSAGES = frozenset({b"TEXT", b"BINARY", b"PING", b"PONG"})
_KNOWN = _MESSAGES | {b"OPEN", b"CLOSE", b"DISCONNECT"}


@attrs.frozen
class Event:
    """One WebSocket event: `OPEN`, `TEXT`, `BINARY`, `PING`, `PONG`, `CLOSE` or `DISCONNECT`.

    `content` is bytes for the four kinds of message, also when empty; None where there is none.
    """

    type: bytes
    content: bytes | None = None


def has_events(headers: Headers) -> bool:
    """True if a message may be taken for one of WebSocket events, however it says so."""
    for name, value in headers:  # noqa: SIM110
        if name.lower() == b"content-type" and is_events_type(value):
            return True
    return False


def is_events_type(content_type: bytes) -> bool:
    """True if a `Content-Type` says so; its parameters say nothing."""
    if content_type == CONTENT_TYPE:
        return True
    return content_type.partition(b";")[0].strip().lower() == CONTENT_TYPE


def encode_event(kind: bytes, content: bytes | None = None) -> bytes:
    """One event as it stands in a body.

    Empty content is written without a length, as backends have always been sent it.
    """
    if content:
        return b"%b %x\r\n%b\r\n" % (kind, len(content), content)
    return b"%b\r\n" % kind


def encode_events(events: Iterable[Event]) -> bytes:
    """The body that carries these events."""
    return b"".join([encode_event(event.type, event.content) for event in events])


def decode_events(body: bytes) -> list[Event]:
    """The events of a body; those of unknown types are left out.

    Raises GripError unless every event is complete: a backend's response that was cut short
    must not pass for a shorter message.
    """
    events = []
    position = 0
    while position < len(body):
        line = _TYPE_LINE.match(body, position)
        if line is None:
            raise GripError(f"malformed WebSocket event at byte {position}")
        kind, length = line.groups()
        content = None
        position = line.end()
        if length is not None:
            content, position = _content(body, position, int(length, 16))
        if kind in _MESSAGES:
            content = content or b""
        if kind in _KNOWN:
            events.append(Event(kind, content))
    return events


def _content(body: bytes, start: int, length: int) -> tuple[bytes, int]:
    end = start + length
    if body[end : end + 2] != b"\r\n":
        raise GripError(f"content of the WebSocket event before byte {start} has another length")
    return body[start:end], end + 2


def close_content(code: int | None, reason: str = "") -> bytes | None:
    """The content of a `CLOSE` event: code and reason, or None without a code (RFC 6455 5.5.1)."""
    return None if code is None else code.to_bytes(2) + reason.encode()


def parse_close_content(content: bytes | None) -> tuple[int | None, str]:
    """Code and reason of a `CLOSE` event. Code 0, which some backends send for "none", is None.

    The code is not judged any further. Raises GripError if the content is a single byte.
    """
    if not content:
        return None, ""
    if len(content) == 1:
        raise GripError("content of CLOSE is neither empty nor a code and a reason")
    return int.from_bytes(content[:2]) or None, content[2:].decode(errors="replace")
