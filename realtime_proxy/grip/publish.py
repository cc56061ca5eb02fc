"""Publish items as JSON or TNetStrings: one reader for everything that may be published.

Every function raises PublishError, whose text is for the publisher (or, for a ZeroMQ message that
nobody answers, for the log).
"""

from collections.abc import Callable
from typing import Any, TypeVar

from realtime_proxy.errors import PublishError
from realtime_proxy.grip.header_fields import has_control
from realtime_proxy.grip.item_formats import (
    read_http_response,
    read_http_stream,
    read_ws_message,
)
from realtime_proxy.grip.json_text import NotJsonError, decode_json
from realtime_proxy.grip.lenient import lenient_integer
from realtime_proxy.grip.plain_item import read_plain_item
from realtime_proxy.grip.tnetstring_text import NotTnetstringError, decode_tnetstring
from realtime_proxy.model.item import Item, Publication

Payload = TypeVar("Payload")

_OWNER = "publish item object"
_FORMATS = ("http-response", "http-stream", "ws-message")


def parse_items_json(body: bytes) -> list[Item]:
    """The items of a body of `POST /publish/`: all of them, or the first thing that is wrong."""
    try:
        envelope = decode_json(body)
    except NotJsonError as error:
        raise PublishError("Body is not valid JSON.") from error
    if not isinstance(envelope, dict):
        raise PublishError("Invalid format.")
    return _items(envelope, binary=False)


def items_from_tnetstring(arguments: object) -> list[Item]:
    """The items among the arguments of a `publish` command, as `decode_tnetstring` gives them."""
    return _items(arguments if isinstance(arguments, dict) else {}, binary=True)


def parse_message(frame: bytes, channel: str = "") -> Publication:
    """The item in a ZeroMQ message: `J` and JSON, `T` and a TNetString, or a TNetString alone.

    A channel given here, the topic of a SUB message, stands in for the item's own.
    """
    kind = frame[:1]
    if kind == b"J" and not channel:
        plain = read_plain_item(frame[1:])
        if plain is not None:
            return plain
    try:
        if kind == b"J":
            value, binary = decode_json(frame[1:]), False
        else:
            value, binary = decode_tnetstring(frame[1:] if kind == b"T" else frame), True
    except NotJsonError as error:
        raise _bad_message("(json parse failed)") from error
    except NotTnetstringError as error:
        raise _bad_message("(tnetstring parse failed)") from error
    if not binary and not isinstance(value, dict):
        raise _bad_message("(not a valid json object)")
    try:
        return _item(value, binary, channel)
    except PublishError as error:
        raise PublishError(f"received message with invalid format: {error}") from error


def item_from_json(value: object, channel: str = "") -> Item:
    """The item that a decoded JSON value is; a channel given here stands in for its own."""
    return _item(value, binary=False, channel=channel)


def _bad_message(what: str) -> PublishError:
    return PublishError(f"received message with invalid format {what}")


def _items(envelope: dict[str, Any], *, binary: bool) -> list[Item]:
    if "items" not in envelope:
        raise PublishError("Invalid format: object does not contain 'items'")
    values = envelope["items"]
    if not isinstance(values, list):
        raise PublishError("Invalid format: object contains 'items' with wrong type")
    items: list[Item] = []
    try:
        for value in values:
            items.append(_item(value, binary, ""))  # noqa: PERF401 - the error counts them
    except PublishError as error:
        where = f" (item {len(items) + 1})" if len(values) > 1 else ""
        raise PublishError(f"Invalid format: {error}{where}") from error
    return items


def _item(value: Any, binary: bool, channel: str) -> Item:
    """Checks come in the order in which publishers are told of what is wrong."""
    if not isinstance(value, dict):
        raise PublishError(f"{_OWNER} is not an object")
    name = channel or _text(value, "channel")
    if name is None:
        raise PublishError(f"{_OWNER} does not contain 'channel'")
    item_id = _text(value, "id")
    if item_id and has_control(item_id.encode()):  # it will stand in a header, `Grip-Last`
        raise PublishError(f"{_OWNER} contains 'id' with invalid value")
    prev_id = _text(value, "prev-id")
    formats = _formats(value)
    return Item(
        name,
        item_id or None,
        prev_id or None,
        _read(formats, "http-response", read_http_response, binary),
        _read(formats, "http-stream", read_http_stream, binary),
        _read(formats, "ws-message", read_ws_message, binary),
        _meta(value),
        _size(value),
        _no_seq(value),
    )


def _wrong_type(name: str) -> PublishError:
    return PublishError(f"{_OWNER} contains '{name}' with wrong type")


def _text(value: dict[str, Any], name: str) -> str | None:
    """A text member, or None if it isn't there."""
    if name not in value:
        return None
    text = _as_text(value[name])
    if text is None:
        raise _wrong_type(name)
    return text


def _as_text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    try:
        return value.decode() if isinstance(value, bytes) else None
    except UnicodeDecodeError:
        return None


def _formats(value: dict[str, Any]) -> dict[str, Any]:
    """Where the payloads are: in `formats`, or in the item itself; unknown ones are nobody's."""
    if "formats" not in value:
        if any(name in value for name in _FORMATS):
            return value
        raise PublishError("no formats specified")
    formats = value["formats"]
    if not isinstance(formats, dict):
        raise _wrong_type("formats")
    if not formats:
        raise PublishError("no formats specified")
    return formats


def _read(
    formats: dict[str, Any],
    name: str,
    reader: Callable[[dict[str, Any], bool], Payload],
    binary: bool,
) -> Payload | None:
    if name not in formats:
        return None
    payload = formats[name]
    if not isinstance(payload, dict):
        raise PublishError(f"'{name}' is not an object")
    return reader(payload, binary)


def _meta(value: dict[str, Any]) -> dict[str, str]:
    if "meta" not in value:
        return {}
    meta = value["meta"]
    if not isinstance(meta, dict):
        raise _wrong_type("meta")
    texts = {}
    for key, member in meta.items():
        text = _as_text(member)
        if text is None:
            raise PublishError(f"'meta' contains '{key}' with wrong type")
        texts[key] = text
    return texts


def _size(value: dict[str, Any]) -> int | None:
    if "size" not in value:
        return None
    size = lenient_integer(value["size"])
    if size is None:
        raise _wrong_type("size")
    if size < 0:
        raise PublishError(f"{_OWNER} contains 'size' with invalid value")
    return size


def _no_seq(value: dict[str, Any]) -> bool:
    no_seq = value.get("no-seq", False)
    if not isinstance(no_seq, bool):
        raise _wrong_type("no-seq")
    return no_seq
