"""Control messages: what a backend tells the proxy inside a WebSocket, after `c:`.

They are JSON objects with a `type`. One that can't be understood is ignored, as a backend has no
way to be told.
"""

from collections.abc import Callable
from typing import Any

import attrs

from realtime_proxy.grip.item_formats import MAX_CONTROL_BYTES
from realtime_proxy.grip.json_text import NotJsonError, decode_json
from realtime_proxy.grip.keep_alive import DEFAULT_SECONDS, KeepAliveMode
from realtime_proxy.grip.lenient import MAX_INTEGER, lenient_base64, parse_integer
from realtime_proxy.model.item import MessageType

DEFAULT_DELAY_SECONDS = 1

_TYPES = {kind.value: kind for kind in MessageType}
_CONTROL_TYPES = frozenset({MessageType.PING, MessageType.PONG})


@attrs.frozen
class Subscribe:
    """Listen to a channel, or change the filters on it. The number of filters is not checked."""

    channel: str
    filters: tuple[str, ...] = ()


@attrs.frozen
class Unsubscribe:
    """Listen to a channel no more."""

    channel: str


@attrs.frozen
class Detach:
    """Close the backend's side; the client stays."""


@attrs.frozen
class Session:
    """Bind the connection to a session, or to none."""

    id: str | None = None


@attrs.frozen
class SetMeta:
    """Set a value that filters may use; None removes it."""

    name: str
    value: str | None = None


@attrs.frozen
class SetKeepAlive:
    """Send this message to the client from time to time."""

    content: bytes
    type: MessageType
    timeout_seconds: int
    mode: KeepAliveMode


@attrs.frozen
class KeepAliveOff:
    """Send no keep-alives any more."""


@attrs.frozen
class SendDelayed:
    """Send this message to the client after a while; a waiting one goes out first, now."""

    content: bytes
    type: MessageType
    timeout_seconds: int


@attrs.frozen
class FlushDelayed:
    """Send the waiting message now."""


ControlMessage = (
    Subscribe
    | Unsubscribe
    | Detach
    | Session
    | SetMeta
    | SetKeepAlive
    | KeepAliveOff
    | SendDelayed
    | FlushDelayed
)


class _IgnoredError(Exception):
    """A member makes no sense, so the message is ignored."""


def parse_control_message(content: bytes) -> ControlMessage | None:
    """The message that follows `c:`, or None if it is to be ignored."""
    try:
        message = decode_json(content)
        kind = message.get("type") if isinstance(message, dict) else None
        reader = _READERS.get(kind) if isinstance(kind, str) else None
        return None if reader is None else reader(message)
    except (NotJsonError, _IgnoredError):
        return None


def _text(message: dict[str, Any], name: str) -> str | None:
    """A text member, or None if it isn't there."""
    if name not in message:
        return None
    value = message[name]
    if not isinstance(value, str):
        raise _IgnoredError
    return value


def _name(message: dict[str, Any], member: str) -> str:
    name = _text(message, member)
    if not name:
        raise _IgnoredError
    return name


def _subscribe(message: dict[str, Any]) -> Subscribe:
    filters = message.get("filters", [])
    if not isinstance(filters, list) or not all(isinstance(name, str) for name in filters):
        raise _IgnoredError
    return Subscribe(_name(message, "channel"), tuple(filters))


def _keep_alive(message: dict[str, Any]) -> SetKeepAlive | KeepAliveOff:
    content = _content(message)
    kind = _message_type(message)
    mode = _text(message, "mode")
    if content is None and kind not in _CONTROL_TYPES:
        return KeepAliveOff()
    return SetKeepAlive(
        _checked(kind, content or b""),
        kind,
        _timeout(message) or DEFAULT_SECONDS,
        KeepAliveMode.INTERVAL if mode == "interval" else KeepAliveMode.IDLE,
    )


def _send_delayed(message: dict[str, Any]) -> SendDelayed:
    content = _content(message)
    kind = _message_type(message)
    if content is None and kind not in _CONTROL_TYPES:
        raise _IgnoredError
    timeout = _timeout(message) or DEFAULT_DELAY_SECONDS
    return SendDelayed(_checked(kind, content or b""), kind, timeout)


def _content(message: dict[str, Any]) -> bytes | None:
    encoded = _text(message, "content-bin")
    if encoded is not None:
        return lenient_base64(encoded)
    text = _text(message, "content")
    return None if text is None else text.encode()


def _message_type(message: dict[str, Any]) -> MessageType:
    name = _text(message, "message-type")
    if name is None:
        return MessageType.BINARY if "content-bin" in message else MessageType.TEXT
    if name not in _TYPES:
        raise _IgnoredError
    return _TYPES[name]


def _checked(kind: MessageType, content: bytes) -> bytes:
    """The content, if a frame of this type may carry it (RFC 6455 5.5, 5.6)."""
    if kind in _CONTROL_TYPES and len(content) > MAX_CONTROL_BYTES:
        raise _IgnoredError
    if kind is MessageType.TEXT:
        try:
            content.decode()
        except UnicodeDecodeError:
            raise _IgnoredError from None
    return content


def _timeout(message: dict[str, Any]) -> int:
    """The seconds, a number or the text of one; 0 also if they aren't given."""
    value = message.get("timeout", 0)
    seconds = parse_integer(value.encode()) if isinstance(value, str) else value
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise _IgnoredError
    if not 0 <= seconds <= MAX_INTEGER:
        raise _IgnoredError
    return seconds


_READERS: dict[str, Callable[[dict[str, Any]], ControlMessage]] = {
    "subscribe": _subscribe,
    "unsubscribe": lambda message: Unsubscribe(_name(message, "channel")),
    "detach": lambda _: Detach(),
    "session": lambda message: Session(_text(message, "id") or None),
    "set-meta": lambda message: SetMeta(_name(message, "name"), _text(message, "value")),
    "keep-alive": _keep_alive,
    "send-delayed": _send_delayed,
    "flush-delayed": lambda _: FlushDelayed(),
}
