"""What of an item is for one kind of client, and the same item with other content."""

import msgspec

from realtime_proxy.errors import FilterError
from realtime_proxy.grip.item_formats import MAX_CONTROL_BYTES
from realtime_proxy.model.item import (
    HttpResponse,
    HttpStream,
    Item,
    MessageType,
)
from realtime_proxy.wire.encodings import Payload


def content_of(payload: Payload) -> bytes:
    """What of a payload filters work on; empty where an action needs none."""
    return payload.body if isinstance(payload, HttpResponse) else payload.content


def with_content(item: Item, payload: Payload, content: bytes) -> Item:
    """The item with other content in this payload, which then has passed its content filters.

    Raises FilterError if a message of its type can't have such content.
    """
    replace = msgspec.structs.replace
    if isinstance(payload, HttpResponse):
        response = replace(payload, body=content, content_filters=None)
        return replace(item, http_response=response)
    if isinstance(payload, HttpStream):
        stream = replace(payload, content=content, content_filters=None)
        return replace(item, http_stream=stream)
    _check_message(payload.type, content)
    message = replace(payload, content=content, content_filters=None)
    return replace(item, ws_message=message)


def _check_message(kind: MessageType, content: bytes) -> None:
    """Refuse what a frame of this type may not carry (RFC 6455 5.5, 5.6)."""
    if kind in (MessageType.PING, MessageType.PONG) and len(content) > MAX_CONTROL_BYTES:
        raise FilterError(f"filtered content is too long for a {kind.value}")
    if kind is MessageType.TEXT:
        try:
            content.decode()
        except UnicodeDecodeError:
            raise FilterError("filtered content is not UTF-8, as text must be") from None
