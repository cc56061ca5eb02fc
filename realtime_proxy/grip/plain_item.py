"""Publish items of the usual shape, decoded and checked in one step.

Nearly every item is a channel, perhaps ids, and text for one or more formats. Such a one costs a
third of the general reader this way. Whatever else an item has, or has wrong, is left to that
reader, which knows every member and every error.
"""

from collections.abc import Callable

import msgspec
from msgspec import UNSET, UnsetType

from realtime_proxy.grip.header_fields import has_control
from realtime_proxy.model.item import HttpResponse, HttpStream, Item, WebSocketMessage


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    content: str


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    body: str


class _Formats(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    http_response: _Body | UnsetType = UNSET
    http_stream: _Content | UnsetType = UNSET
    ws_message: _Content | UnsetType = UNSET


class _PlainItem(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    channel: str
    formats: _Formats
    id: str = ""
    prev_id: str = ""


_decode = msgspec.json.Decoder(_PlainItem).decode


def read_plain_item(text: bytes, needs_content: Callable[[str], bool] | None = None) -> Item | None:
    """The item in a JSON text, or None if it has to be read by the general reader.

    An item of a channel for which `needs_content` says no is checked, but comes without payloads.
    """
    try:
        plain = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    formats = plain.formats
    response, stream, message = formats.http_response, formats.http_stream, formats.ws_message
    if (response is UNSET and stream is UNSET and message is UNSET) or (
        plain.id and has_control(plain.id.encode())
    ):
        return None
    if needs_content is not None and not needs_content(plain.channel):
        return Item(plain.channel, plain.id or None, plain.prev_id or None)
    return Item(
        plain.channel,
        plain.id or None,
        plain.prev_id or None,
        None if response is UNSET else HttpResponse(body=response.body.encode()),
        None if stream is UNSET else HttpStream(content=stream.content.encode()),
        None if message is UNSET else WebSocketMessage(content=message.content.encode()),
    )
