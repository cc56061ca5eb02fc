"""Published payloads as the bytes of each wire form: encoded once, sent to all."""

from collections.abc import Callable
from enum import Enum

from realtime_proxy.model.item import (
    Action,
    HttpResponse,
    HttpStream,
    Item,
    MessageType,
    WebSocketMessage,
)
from realtime_proxy.wire.http1_server import encode_chunk
from realtime_proxy.wire.websocket_frame import Opcode, encode_frame

Payload = HttpResponse | HttpStream | WebSocketMessage

_OPCODES = {
    MessageType.TEXT: Opcode.TEXT,
    MessageType.BINARY: Opcode.BINARY,
    MessageType.PING: Opcode.PING,
    MessageType.PONG: Opcode.PONG,
}


def message_frame(message: WebSocketMessage) -> bytes:
    """A published WebSocket message as one frame."""
    return encode_frame(_OPCODES[message.type], message.content)


def _chunk(item: Item) -> bytes | None:
    payload = item.http_stream
    if payload is None or payload.action is not Action.SEND or payload.content_filters:
        return None
    return encode_chunk(payload.content)


def _raw(item: Item) -> bytes | None:
    payload = item.http_stream
    if payload is None or payload.action is not Action.SEND or payload.content_filters:
        return None
    return payload.content


def _frame(item: Item) -> bytes | None:
    payload = item.ws_message
    if payload is None or payload.action is not Action.SEND or payload.content_filters:
        return None
    return message_frame(payload)


def _nothing(_item: Item) -> bytes | None:
    return None


class WireForm(Enum):
    """The forms in which subscribers take items."""

    CHUNK = "http-stream chunk"
    RAW = "http-stream raw"
    ITEM = "http-stream item"  # made for each receiver: part of a script, or kept for later
    FRAME = "websocket frame"
    RESPONSE = "http-response"  # made for each receiver, from its own instructions

    @property
    def concerns(self) -> Callable[[Item], bool]:
        """Tells whether an item has a payload for subscribers of this form."""
        return _CONCERNS[self]

    @property
    def encode(self) -> Callable[[Item], bytes | None]:
        """The bytes that every subscriber gets, or None where each has to act by itself.

        So it is for what names content filters: these bytes are for those who have none.
        """
        return _ENCODERS[self]

    def payload_of(self, item: Item) -> Payload | None:
        """What of an item is for subscribers of this form; None if it does not concern them."""
        if self is WireForm.RESPONSE:
            return item.http_response
        return item.ws_message if self is WireForm.FRAME else item.http_stream

    def names_filters(self, item: Item) -> bool:
        """True if an item is only for those of this form who have certain content filters."""
        payload = self.payload_of(item)
        return payload is not None and bool(payload.content_filters)


_CONCERNS: dict[WireForm, Callable[[Item], bool]] = {
    WireForm.CHUNK: lambda item: item.http_stream is not None,
    WireForm.RAW: lambda item: item.http_stream is not None,
    WireForm.ITEM: lambda item: item.http_stream is not None,
    WireForm.FRAME: lambda item: item.ws_message is not None,
    WireForm.RESPONSE: lambda item: item.http_response is not None,
}
_ENCODERS: dict[WireForm, Callable[[Item], bytes | None]] = {
    WireForm.CHUNK: _chunk,
    WireForm.RAW: _raw,
    WireForm.ITEM: _nothing,
    WireForm.FRAME: _frame,
    WireForm.RESPONSE: _nothing,
}
