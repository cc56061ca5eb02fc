"""The body form of GRIP instructions: `application/grip-instruct`.

Members that are not known are ignored; one that is `null` is there, with the wrong type.
"""

from typing import Any

import attrs

from realtime_proxy.errors import GripError
from realtime_proxy.grip.header_fields import has_control, read_header_fields
from realtime_proxy.grip.hold import Channel, HoldMode
from realtime_proxy.grip.json_text import NotJsonError, decode_json
from realtime_proxy.grip.keep_alive import DEFAULT_SECONDS, MIN_SECONDS, KeepAlive
from realtime_proxy.grip.lenient import MAX_INTEGER, lenient_base64, lenient_integer
from realtime_proxy.model.headers import Headers


@attrs.frozen
class JsonHold:
    """The `hold` object. None: the member isn't there, so what headers say stays."""

    mode: HoldMode | None
    channels: list[Channel]
    timeout_seconds: int | None
    keep_alive: KeepAlive | None
    meta: dict[str, str]


@attrs.frozen
class JsonResponse:
    """The `response` object: all that a client may see of the instructions."""

    status: int | None = None
    reason: bytes = b""
    headers: Headers = attrs.field(factory=Headers)
    body: bytes = b""


@attrs.frozen
class JsonInstruct:
    """A decoded body."""

    hold: JsonHold | None
    response: JsonResponse


def parse_json_instruct(body: bytes) -> JsonInstruct:
    """The instructions in a body. Raises GripError with the first thing that is wrong."""
    try:
        instruct = decode_json(body)
    except NotJsonError as error:
        message = "failed to parse application/grip-instruct content as JSON"
        raise GripError(message) from error
    if not isinstance(instruct, dict):
        raise GripError("instruct must be an object")
    hold = _member(instruct, "hold", dict, "instruct")
    response = _member(instruct, "response", dict, "instruct")
    return JsonInstruct(
        None if hold is None else _hold(hold),
        JsonResponse() if response is None else _response(response),
    )


def _member(owner: dict[str, Any], name: str, kind: type, owner_name: str) -> Any:
    """A member of the type it must have, or None if it isn't there."""
    if name not in owner:
        return None
    value = owner[name]
    if not isinstance(value, kind):
        raise GripError(f"{owner_name} contains '{name}' with wrong type")
    return value


def _integer(owner: dict[str, Any], name: str, owner_name: str) -> int | None:
    if name not in owner:
        return None
    number = lenient_integer(owner[name])
    if number is None:
        raise GripError(f"{owner_name} contains '{name}' with wrong type")
    if not 0 <= number <= MAX_INTEGER:
        raise GripError(f"{owner_name} contains '{name}' with invalid value")
    return number


def _content(owner: dict[str, Any], name: str, owner_name: str) -> bytes:
    """The bytes that `NAME-bin` gives in base64, or else `NAME` as text."""
    encoded = _member(owner, f"{name}-bin", str, owner_name)
    if encoded is not None:
        return lenient_base64(encoded)
    text: str | None = _member(owner, name, str, owner_name)
    return b"" if text is None else text.encode()


def _hold(hold: dict[str, Any]) -> JsonHold:
    mode = _member(hold, "mode", str, "hold")
    if mode not in (None, "response", "stream"):
        raise GripError("hold 'mode' must be set to either 'response' or 'stream'")
    channels = _member(hold, "channels", list, "hold")
    if channels is None:
        raise GripError("hold does not contain 'channels'")
    return JsonHold(
        None if mode is None else HoldMode(mode),
        [_channel(channel) for channel in channels],
        _integer(hold, "timeout", "hold"),
        _keep_alive(_member(hold, "keep-alive", dict, "hold")),
        _meta(_member(hold, "meta", dict, "hold") or {}),
    )


def _channel(channel: object) -> Channel:
    if not isinstance(channel, dict):
        raise GripError("channel is not an object")
    name = _name(channel, "name")
    if name is None:
        raise GripError("channel does not contain 'name'")
    prev_id = _name(channel, "prev-id")
    filters = _member(channel, "filters", list, "channel") or []
    if not all(isinstance(value, str) for value in filters):
        raise GripError("filters contains value with wrong type")
    return Channel(name, prev_id, tuple(filters))


def _name(channel: dict[str, Any], member: str) -> str | None:
    """A text that will stand in `Grip-Last`, so must not break its line."""
    text: str | None = _member(channel, member, str, "channel")
    if text is not None and has_control(text.encode()):
        raise GripError(f"channel contains '{member}' with invalid value")
    return text


def _keep_alive(keep_alive: dict[str, Any] | None) -> KeepAlive | None:
    """The keep-alive; without content there is none, as nothing could be sent."""
    if keep_alive is None:
        return None
    content = _content(keep_alive, "content", "keep-alive")
    timeout = _integer(keep_alive, "timeout", "keep-alive")
    seconds = DEFAULT_SECONDS if timeout is None else max(timeout, MIN_SECONDS)
    return KeepAlive(content, seconds) if content else None


def _meta(meta: dict[str, Any]) -> dict[str, str]:
    for key, value in meta.items():
        if not isinstance(value, str):
            raise GripError(f"'meta' contains '{key}' with wrong type")
    return meta


def _response(response: dict[str, Any]) -> JsonResponse:
    status = _integer(response, "code", "response")
    if status is not None and not 200 <= status <= 999:
        raise GripError("response contains 'code' with invalid value")
    reason = (_member(response, "reason", str, "response") or "").encode()
    if has_control(reason):
        raise GripError("response contains 'reason' with invalid value")
    fields = read_header_fields(response.get("headers", []), "response", GripError)
    return JsonResponse(status, reason, fields, _content(response, "body", "response"))
