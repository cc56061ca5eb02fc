"""Published payloads as the bytes of each wire form: encoded once, sent to all."""

from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial

from realtime_proxy.model.item import (
    Action,
    HttpResponse,
    HttpStream,
    Item,
    MessageType,
    WebSocketMessage,
)
from realtime_proxy.wire.deflate import Deflater
from realtime_proxy.wire.http1_server import encode_chunk
from realtime_proxy.wire.websocket_frame import Opcode, encode_deflated, encode_frame

Payload = HttpResponse | HttpStream | WebSocketMessage

OPCODES = {
    MessageType.TEXT: Opcode.TEXT,
    MessageType.BINARY: Opcode.BINARY,
    MessageType.PING: Opcode.PING,
    MessageType.PONG: Opcode.PONG,
}


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


def _sent(item: Item) -> WebSocketMessage | None:
    """What of an item is the same frame for every WebSocket."""
    payload = item.ws_message
    if payload is None or payload.action is not Action.SEND or payload.content_filters:
        return None
    return payload


def _frame(item: Item) -> bytes | None:
    message = _sent(item)
    return None if message is None else encode_frame(OPCODES[message.type], message.content)


def _deflated_frame(deflater: Deflater, item: Item) -> bytes | None:
    message = _sent(item)
    if message is None:
        return None
    opcode = OPCODES[message.type]
    data = deflater.deflate_once(message.content) if opcode < Opcode.CLOSE else None
    return encode_frame(opcode, message.content) if data is None else encode_deflated(opcode, data)


def _nothing(_item: Item) -> bytes | None:
    return None


class WireForm(Enum):
    """The forms in which subscribers take items."""

    CHUNK = "http-stream chunk"
    RAW = "http-stream raw"
    ITEM = "http-stream item"  # made for each receiver: part of a script
    KEPT = "http-stream item, kept for later"
    FRAME = "websocket frame"
    DEFLATED = "websocket frame, deflated"
    DEFLATED_SMALL = "websocket frame, deflated for those who keep a window of 512 bytes"
    RESPONSE = "http-response"  # made for each receiver, from its own instructions

    # All of these are asked for with each item; to look them up by the form would take five times
    # as long.

    concerns: Callable[[Item], bool]
    """Tells whether an item has a payload for subscribers of this form."""

    encode: Callable[[Item], bytes | None]
    """The bytes that every subscriber gets, or None where each has to act by itself.

    So it is for what names content filters: these bytes are for those who have none.
    """

    is_websocket: bool
    """True for the forms of WebSockets."""

    is_deflated: bool
    """True for WebSockets that agreed on compression."""

    # Equal is only itself. That of Enum is a function of Python, called with each subscription.
    __hash__ = object.__hash__

    def frame(self, opcode: int, content: bytes) -> bytes:
        """A message, ping or pong for one WebSocket, as a frame of this form."""
        if self is WireForm.FRAME or opcode >= Opcode.CLOSE:
            return encode_frame(opcode, content)
        data = _DEFLATERS[self].deflate(content)
        return encode_frame(opcode, content) if data is None else encode_deflated(opcode, data)

    def prepare(self, item: Item) -> Iterator[None]:
        """Do what takes its time before `encode`, yielding so that others can run between."""
        message = _sent(item)
        if message is not None and message.type in _CONTENT:
            yield from _DEFLATERS[self].by_pieces(message.content)

    def payload_of(self, item: Item) -> Payload | None:
        """What of an item is for subscribers of this form; None if it does not concern them."""
        if self is WireForm.RESPONSE:
            return item.http_response
        return item.ws_message if self.is_websocket else item.http_stream

    def names_filters(self, item: Item) -> bool:
        """True if an item is only for those of this form who have certain content filters."""
        payload = self.payload_of(item)
        return payload is not None and bool(payload.content_filters)


_DEFLATERS = {WireForm.DEFLATED: Deflater(15), WireForm.DEFLATED_SMALL: Deflater(9)}
_WEBSOCKETS = frozenset((WireForm.FRAME, *_DEFLATERS))
_CONTENT = frozenset((MessageType.TEXT, MessageType.BINARY))
_CONCERNS: dict[WireForm, Callable[[Item], bool]] = {
    WireForm.CHUNK: lambda item: item.http_stream is not None,
    WireForm.RAW: lambda item: item.http_stream is not None,
    WireForm.ITEM: lambda item: item.http_stream is not None,
    WireForm.KEPT: lambda item: item.http_stream is not None,
    **dict.fromkeys(_WEBSOCKETS, lambda item: item.ws_message is not None),
    WireForm.RESPONSE: lambda item: item.http_response is not None,
}
_ENCODERS: dict[WireForm, Callable[[Item], bytes | None]] = {
    WireForm.CHUNK: _chunk,
    WireForm.RAW: _raw,
    WireForm.ITEM: _nothing,
    WireForm.KEPT: _nothing,
    WireForm.FRAME: _frame,
    **{form: partial(_deflated_frame, deflater) for form, deflater in _DEFLATERS.items()},
    WireForm.RESPONSE: _nothing,
}
for _form in WireForm:
    _form.concerns, _form.encode = _CONCERNS[_form], _ENCODERS[_form]
    _form.is_websocket, _form.is_deflated = _form in _WEBSOCKETS, _form in _DEFLATERS
