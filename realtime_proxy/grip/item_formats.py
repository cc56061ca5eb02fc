"""The payloads of a publish item: `http-response`, `http-stream`, `ws-message`.

They come decoded from JSON or from a TNetString (`binary`), which differ in three ways: strings
are text or bytes, raw content is base64 in a `-bin` member or simply bytes, and only a
`ws-message` has its `content-bin` in both, encoded or not.
"""

from typing import Any

from realtime_proxy.errors import PublishError
from realtime_proxy.grip.header_fields import has_control, read_header_fields
from realtime_proxy.grip.lenient import lenient_base64, lenient_integer
from realtime_proxy.grip.tnetstring_text import with_text_strings
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import (
    Action,
    HttpResponse,
    HttpStream,
    MessageType,
    WebSocketMessage,
)

# RFC 6455 5.5: the payload of a control frame; a close frame's code takes two bytes of it.
MAX_CONTROL_BYTES = 125
MAX_REASON_BYTES = MAX_CONTROL_BYTES - 2

_ACTIONS = {action.value: action for action in Action}
_TYPES = {kind.value: kind for kind in MessageType}
_CONTROL_TYPES = frozenset({MessageType.PING, MessageType.PONG})

Payload = dict[str, Any]


def read_http_response(payload: Payload, binary: bool) -> HttpResponse:
    """The payload for response holds."""
    owner = "'http-response'"
    action = _action(payload, owner)
    if action is not Action.SEND:
        return HttpResponse(action)
    status = _status(payload, owner)
    reason = _reason(payload, owner)
    headers = Headers()
    if "headers" in payload:
        headers = read_header_fields(payload["headers"], owner, PublishError)
    filters = _content_filters(payload, owner)
    body = _content(payload, "body", owner, binary)
    patch = None
    if body is None:
        patch = _body_patch(payload, owner, binary)
    return HttpResponse(action, status, reason, headers, body or b"", patch, filters)


def read_http_stream(payload: Payload, binary: bool) -> HttpStream:
    """The payload for stream holds."""
    owner = "'http-stream'"
    action = _action(payload, owner)
    if action is not Action.SEND:
        return HttpStream(action)
    filters = _content_filters(payload, owner)
    content = _content(payload, "content", owner, binary)
    if content is None:
        known = "'content'" if binary else "'content' or 'content-bin'"
        raise PublishError(f"{owner} does not contain {known}")
    return HttpStream(action, content, filters)


def read_ws_message(payload: Payload, binary: bool) -> WebSocketMessage:
    """The payload for WebSockets."""
    owner = "'ws-message'"
    action = _action(payload, owner)
    if action is Action.CLOSE:
        code, reason = _close_code(payload, owner), _close_reason(payload, owner)
        return WebSocketMessage(action, close_code=code, close_reason=reason)
    if action is not Action.SEND:
        return WebSocketMessage(action)
    kind = _message_type(payload, owner)
    filters = _content_filters(payload, owner)
    content = _message_content(payload, owner, binary)
    if kind is None:
        kind = MessageType.BINARY if "content-bin" in payload else MessageType.TEXT
    if content is None:
        if kind not in _CONTROL_TYPES:
            raise PublishError(f"{owner} does not contain 'content' or 'content-bin'")
        content = b""
    _check_message(kind, content, owner)
    return WebSocketMessage(action, kind, content, content_filters=filters)


def _wrong_type(owner: str, name: str) -> PublishError:
    return PublishError(f"{owner} contains '{name}' with wrong type")


def _action(payload: Payload, owner: str) -> Action:
    if "action" not in payload:
        return Action.SEND
    action = _ACTIONS.get(_as_text(payload["action"], owner, "action"))
    if action is None:
        raise PublishError(f"{owner} contains 'action' with unknown value")
    return action


def _content(payload: Payload, name: str, owner: str, binary: bool) -> bytes | None:
    """`NAME-bin` (in JSON only) or `NAME`, as bytes; None if neither is there."""
    if not binary and (encoded := f"{name}-bin") in payload:
        return _from_base64(payload[encoded], owner, encoded)
    return _as_bytes(payload[name], owner, name) if name in payload else None


def _message_content(payload: Payload, owner: str, binary: bool) -> bytes | None:
    if binary and "content-bin" in payload:
        return _as_bytes(payload["content-bin"], owner, "content-bin")
    return _content(payload, "content", owner, binary)


def _as_bytes(value: object, owner: str, name: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise _wrong_type(owner, name)


def _from_base64(value: object, owner: str, name: str) -> bytes:
    if not isinstance(value, str):
        raise _wrong_type(owner, name)
    return lenient_base64(value)


def _as_text(value: object, owner: str, name: str) -> str:
    if isinstance(value, str):
        return value
    try:
        if isinstance(value, bytes):
            return value.decode()
    except UnicodeDecodeError:
        pass
    raise _wrong_type(owner, name)


def _status(payload: Payload, owner: str) -> int:
    """The status to answer with: a final one, which those below 200 are not (RFC 9110 15.2)."""
    if "code" not in payload:
        return 200
    status = lenient_integer(payload["code"])
    if status is None:
        raise _wrong_type(owner, "code")
    if not 200 <= status <= 999:
        raise PublishError(f"{owner} contains 'code' with invalid value")
    return status


def _reason(payload: Payload, owner: str) -> bytes:
    if "reason" not in payload:
        return b""
    reason = _as_bytes(payload["reason"], owner, "reason")
    if has_control(reason):
        raise PublishError(f"{owner} contains 'reason' with invalid value")
    return reason


def _content_filters(payload: Payload, owner: str) -> tuple[str, ...] | None:
    if "content-filters" not in payload:
        return None
    names = payload["content-filters"]
    if not isinstance(names, list):
        raise _wrong_type(owner, "content-filters")
    try:
        return tuple(_as_text(name, owner, "content-filters") for name in names)
    except PublishError:
        raise PublishError("content-filters contains element with wrong type") from None


def _body_patch(payload: Payload, owner: str, binary: bool) -> list[Any]:
    if "body-patch" not in payload:
        known = "'body' or 'body-patch'" if binary else "'body', 'body-bin', or 'body-patch'"
        raise PublishError(f"{owner} does not contain {known}")
    patch = payload["body-patch"]
    if not isinstance(patch, list):
        raise _wrong_type(owner, "body-patch")
    try:
        return list(with_text_strings(patch)) if binary else patch
    except UnicodeDecodeError:
        raise PublishError(f"{owner} contains 'body-patch' with invalid value") from None


def _message_type(payload: Payload, owner: str) -> MessageType | None:
    if "type" not in payload:
        return None
    kind = _TYPES.get(_as_text(payload["type"], owner, "type"))
    if kind is None:
        raise PublishError(f"{owner} contains 'type' with unknown value")
    return kind


def _check_message(kind: MessageType, content: bytes, owner: str) -> None:
    """Refuse what can't be sent as a frame of its type (RFC 6455 5.5, 5.6)."""
    if kind in _CONTROL_TYPES and len(content) > MAX_CONTROL_BYTES:
        raise PublishError(
            f"{owner} contains 'content' of more than {MAX_CONTROL_BYTES} bytes"
            f" for type '{kind.value}'"
        )
    if kind is MessageType.TEXT and not content.isascii():
        try:
            content.decode()
        except UnicodeDecodeError:
            raise PublishError(
                f"{owner} contains 'content' that is not UTF-8 for type 'text'"
            ) from None


def _close_code(payload: Payload, owner: str) -> int | None:
    """The code to close with, or None. Only codes that a close frame may carry (RFC 6455 7.4)."""
    if "code" not in payload:
        return None
    code = lenient_integer(payload["code"])
    if code is None:
        raise _wrong_type(owner, "code")
    if not is_close_code(code) and code != 0:
        raise PublishError(f"{owner} contains 'code' with invalid value")
    return code or None


def is_close_code(code: int) -> bool:
    """True for the codes that may stand in a close frame (RFC 6455 7.4, IANA registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def _close_reason(payload: Payload, owner: str) -> str:
    if "reason" not in payload:
        return ""
    reason = _as_text(payload["reason"], owner, "reason")
    if len(reason.encode()) > MAX_REASON_BYTES:
        raise PublishError(f"{owner} contains 'reason' of more than {MAX_REASON_BYTES} bytes")
    return reason
