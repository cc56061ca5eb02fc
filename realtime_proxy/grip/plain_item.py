"""Publish items of the usual shape, decoded and checked in one step.

Nearly every item is a channel, perhaps ids, and text for one or more formats. Such a one costs a
third of the general reader this way, and half of that again if nobody is there who wants its
payloads. Whatever else an item has, or has wrong, is left to that reader, which knows every member
and every error.

The structs are not tracked by the garbage collector, which takes half off the decoding: what they
hold is text.
"""

import msgspec
from msgspec import UNSET, UnsetType

from realtime_proxy.grip.header_fields import has_control
from realtime_proxy.model.item import HttpResponse, HttpStream, Item, WebSocketMessage


class _Content(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    content: str


class _Body(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    body: str


class _Formats(msgspec.Struct, forbid_unknown_fields=True, rename="kebab", gc=False):
    http_response: _Body | UnsetType = UNSET
    http_stream: _Content | UnsetType = UNSET
    ws_message: _Content | UnsetType = UNSET


class PlainItem(msgspec.Struct, forbid_unknown_fields=True, rename="kebab", gc=False):
    """A correct item of the usual shape, as it was decoded."""

    channel: str
    formats: _Formats
    id: str = ""
    prev_id: str = ""

    def item(self) -> Item:
        """The item that it is."""
        formats = self.formats
        response, stream, message = formats.http_response, formats.http_stream, formats.ws_message
        return Item(
            self.channel,
            self.id or None,
            self.prev_id or None,
            None if response is UNSET else HttpResponse(body=response.body.encode()),
            None if stream is UNSET else HttpStream(content=stream.content.encode()),
            None if message is UNSET else WebSocketMessage(content=message.content.encode()),
        )


_decode = msgspec.json.Decoder(PlainItem).decode


def read_plain_item(text: bytes) -> PlainItem | None:
    """The item in a JSON text, or None if it has to be read by the general reader."""
    try:
        plain = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    formats = plain.formats
    if (
        formats.ws_message is UNSET
        and formats.http_stream is UNSET
        and formats.http_response is UNSET
    ) or (plain.id and has_control(plain.id.encode())):
        return None
    return plain
