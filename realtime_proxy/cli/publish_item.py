"""What `pubcli` publishes: items as they go over the wire, with bytes for payloads."""

import json
import math
from typing import Any, NoReturn

from realtime_proxy.cli.publish_arguments import Arguments
from realtime_proxy.cli.publish_content import Content, has_content, read_content
from realtime_proxy.demo.server_sent_event import server_sent_event
from realtime_proxy.errors import PublishError

# An item as publishers write it. The transport that sends it decides how bytes are written.
WireItem = dict[str, Any]

_SMALLEST_INTEGER = -(2**63)
_LARGEST_INTEGER = 2**63 - 1


def build_items(arguments: Arguments, code: int) -> list[WireItem]:
    """The items that a command line asks for. Raises PublishError for what makes no sense.

    Of several mistakes the one is reported that `pushpin-publish` reports.
    """
    if not arguments.is_action:
        if code > 999:
            raise PublishError("code must be an integer between 0 and 999")
        if not has_content(arguments):
            raise PublishError("must specify content")
    if arguments.json:
        return _items_of_json(read_content(arguments).data, arguments.channels)
    item = _item(arguments, code)
    return [{"channel": channel, **item} for channel in arguments.channels]


def parse_code(text: str | None) -> int:
    """The number that `--code` gives. Raises PublishError unless it fits in 16 bits."""
    if text is None:
        return 200
    digits = text.removeprefix("+")
    if not digits:
        raise PublishError("failed to parse code: no digits in it")
    if not (digits.isascii() and digits.isdigit()):
        raise PublishError("failed to parse code: invalid digit found in it")
    if len(digits.lstrip("0")) > 5 or int(digits) > 0xFFFF:
        raise PublishError("failed to parse code: number too large")
    return int(digits)


def _item(arguments: Arguments, code: int) -> WireItem:
    is_patch = arguments.patch and not arguments.is_action
    patch = _patch(read_content(arguments).data) if is_patch else None
    headers = [_header(line) for line in arguments.header]
    meta = _meta(arguments)
    response: WireItem = {"code": code}
    if headers:
        response["headers"] = headers
    if arguments.is_action:
        formats = _action_formats(arguments)
    elif is_patch:
        formats = {"http-response": {**response, "body-patch": patch}}
    else:
        formats = _content_formats(read_content(arguments), response, arguments)
    return _envelope(arguments, formats, meta)


def _envelope(arguments: Arguments, formats: WireItem, meta: dict[str, str]) -> WireItem:
    item: WireItem = {}
    if arguments.id:
        item["id"] = arguments.id
    if arguments.prev_id:
        item["prev-id"] = arguments.prev_id
    item["formats"] = formats
    if meta:
        item["meta"] = meta
    if arguments.no_seq:
        item["no-seq"] = True
    return item


def _action_formats(arguments: Arguments) -> WireItem:
    if arguments.hint:
        return {name: {"action": "hint"} for name in ("http-response", "http-stream", "ws-message")}
    return {name: {"action": "close"} for name in ("http-stream", "ws-message")}


def _content_formats(content: Content, response: WireItem, arguments: Arguments) -> WireItem:
    adds_newline = content.is_literal and not arguments.no_eol
    http = content.data + b"\n" if adds_newline else content.data
    return {
        "http-response": {**response, "body": http},
        "http-stream": {"content": server_sent_event(content.data) if arguments.sse else http},
        "ws-message": {"content": content.data},
    }


def _header(line: str) -> list[str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise PublishError('header must be in the form "name: value"')
    return [name, value.strip()]


def _meta(arguments: Arguments) -> dict[str, str]:
    meta = {"sender": arguments.sender} if arguments.sender else {}
    for line in arguments.meta:
        name, equals, value = line.partition("=")
        if not equals:
            raise PublishError('meta must be in the form "name=value"')
        meta[name] = value.strip()
    return meta


def _patch(text: bytes) -> list[Any]:
    patch = _decode_json(text)
    if not isinstance(patch, list):
        raise PublishError("patch content must be a JSON array")
    return patch


def _items_of_json(text: bytes, channels: list[str]) -> list[WireItem]:
    """The items of a JSON text: one object or a list. One without a channel goes to all given."""
    value = _decode_json(text)
    items = value if isinstance(value, list) else [value]
    complete: list[WireItem] = []
    for position, item in enumerate(items, start=1):
        if not isinstance(item, dict):
            raise PublishError(f"item {position} is not a JSON object")
        if "channel" in item:
            complete.append(item)
        elif channels:
            complete.extend({"channel": channel, **item} for channel in channels)
        else:
            raise PublishError(f"item {position} has no channel, and none is given")
    return complete


def _decode_json(text: bytes) -> Any:
    try:
        return json.loads(
            text.decode(), parse_int=_integer, parse_float=_float, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        raise PublishError("JSON content is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise PublishError(str(error)) from error
    except RecursionError:
        raise PublishError("JSON content is nested too deeply") from None


def _integer(digits: str) -> int:
    # Its length comes first: Python refuses to convert numbers of thousands of digits.
    if len(digits) > 20 or not _SMALLEST_INTEGER <= int(digits) <= _LARGEST_INTEGER:
        raise PublishError("number in the JSON content does not fit in 64 bits")
    return int(digits)


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise PublishError("number in the JSON content is too large")
    return number


def _no_constant(name: str) -> NoReturn:
    raise PublishError(f"JSON content has no {name}")
