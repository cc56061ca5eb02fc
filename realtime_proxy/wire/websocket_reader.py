"""The frames of a WebSocket peer, of clients and of backends (RFC 6455), cut into messages.

Most frames are plain: final, masked, no reserved bits. Those are decoded here in a few steps, and
so are those that are deflated (RFC 7692). Every other frame (fragments, closes, whatever breaks
the rules) goes to a wsproto connection, which exists only while such a message lasts; so an idle
WebSocket keeps no parser.
"""

from collections.abc import Iterator

import attrs
from wsproto import events
from wsproto.connection import Connection, ConnectionState, ConnectionType

from realtime_proxy.wire.deflate import inflate
from realtime_proxy.wire.websocket_frame import (
    INVALID_PAYLOAD,
    MESSAGE_TOO_BIG,
    NO_STATUS,
    Opcode,
    mixed,
)

_PLAIN_TYPES = {
    int(opcode): opcode for opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG)
}
_MAX_FRAME_HEADER_BYTES = 14
_MASKED = 0x80
_FINAL, _FINAL_DEFLATED = 0x80, 0xC0
# The first frame of a deflated message that has more: text, or binary.
_FIRST_DEFLATED = frozenset((0x41, 0x42))


@attrs.frozen
class Message:
    """A complete message, ping or pong of the peer."""

    opcode: Opcode
    content: bytes


@attrs.frozen
class PeerClosed:
    """The peer sent a close frame; `code` is None when it had none."""

    code: int | None
    reason: str


@attrs.frozen
class PeerFailed:
    """The peer broke the protocol: close with this code and reason."""

    code: int
    reason: str


FrameEvent = Message | PeerClosed | PeerFailed


class FrameReader:
    """The bytes of one peer, cut into messages: of a client, or of a backend that speaks WebSocket.

    A message over `max_message_bytes` fails with 1009 as soon as its size is known, and so does a
    frame over `max_frame_bytes` (0: no other limit). What follows a close or a failure is ignored.
    Clients mask what they send, backends must not. `inflates`: messages may be deflated, each by
    itself.
    """

    __slots__ = (
        "_buffer",
        "_ended",
        "_inflated_bytes",
        "_inflates",
        "_mask_bit",
        "_max_deflated_bytes",
        "_max_frame_bytes",
        "_max_message_bytes",
        "_message",
    )

    def __init__(
        self,
        max_message_bytes: int,
        *,
        max_frame_bytes: int = 0,
        of_client: bool = True,
        inflates: bool = False,
    ) -> None:
        self._max_message_bytes = max_message_bytes
        self._inflates = inflates
        self._inflated_bytes = 0  # by the last feeding
        self._max_deflated_bytes = max_message_bytes
        if inflates:  # what can't be made smaller becomes a little larger
            self._max_deflated_bytes += max_message_bytes // 1_000 + 64
        limit = self._max_deflated_bytes
        self._max_frame_bytes = min(limit, max_frame_bytes) if max_frame_bytes else limit
        self._mask_bit = _MASKED if of_client else 0
        self._buffer: bytes | bytearray = b""
        self._message: _PartialMessage | None = None
        self._ended = False

    @property
    def is_idle(self) -> bool:
        """True between two messages: a new reader would do as well."""
        return not self._buffer and self._message is None and not self._ended

    @property
    def is_within_message(self) -> bool:
        """True after a fragment that was not the last."""
        return self._message is not None

    def feed(self, data: bytes) -> list[FrameEvent]:
        """The complete messages, and perhaps the end, in what has arrived so far.

        Deflated ones are made for about one message of the largest size; if `has_more` is true
        after that, feed nothing for the next, whenever there is room for them.
        """
        self._inflated_bytes = 0
        if self._ended:
            return []
        if self._buffer:
            self._buffer += data  # a bytearray from the first incomplete frame on
            data = bytes(self._buffer) if len(self._buffer) >= self._wanted() else b""
            if not data:
                return []
            self._buffer = b""
        found: list[FrameEvent] = []
        at, size = 0, len(data)
        while at < size and self._may_go_on and (end := self._frame_end(data, at, found)):
            self._take_frame(data, at, end, found)
            at = end
        if at < size and not self._ended:
            self._buffer = bytearray(data[at:])
        return found

    @property
    def _may_go_on(self) -> bool:
        return not self._ended and self._inflated_bytes <= self._max_message_bytes

    @property
    def has_more(self) -> bool:
        """True if there may be more messages in what was fed."""
        return bool(self._buffer) and self._inflated_bytes > self._max_message_bytes

    def _wanted(self) -> int:
        """How much has to be here before it is worth a look."""
        size = _frame_size(self._buffer, 0)
        if not size or size > self._max_frame_bytes + _MAX_FRAME_HEADER_BYTES:
            return 0
        return size

    def _frame_end(self, data: bytes, at: int, found: list[FrameEvent]) -> int:
        """Where the frame that begins at `at` ends; 0 if it is not all here."""
        size = _frame_size(data, at)
        if not size:
            return 0
        if size > self._max_frame_bytes + _MAX_FRAME_HEADER_BYTES:
            self._too_big(found)
            return 0
        return at + size if at + size <= len(data) else 0

    def _take_frame(self, data: bytes, at: int, end: int, found: list[FrameEvent]) -> None:
        first, second = data[at], data[at + 1]
        bits, opcode, length = first & 0xF0, first & 0x0F, second & 0x7F
        mask_bit = self._mask_bit
        offset = at + (2 if length < 126 else 4 if length == 126 else 10)
        key_end = offset + 4 if mask_bit else offset
        size = end - key_end
        plain = (
            (bits == _FINAL or (bits == _FINAL_DEFLATED and self._inflates and opcode < 8))
            and second & 0x80 == mask_bit
            and opcode in _PLAIN_TYPES
            and (opcode < 8 or length < 126)
            and (self._message is None or opcode >= 8)
            and _is_shortest(length, size)
        )
        content = data[key_end:end] if plain else b""
        if mask_bit:
            content = mixed(data[offset:key_end], content)
        if size > self._max_frame_bytes and opcode < 8:
            self._too_big(found)
        elif not plain or (opcode == Opcode.TEXT and bits == _FINAL and not _is_utf8(content)):
            self._parse(data[at:end], found)
        elif bits == _FINAL_DEFLATED:
            self._inflated(_PLAIN_TYPES[opcode], content, found)
        elif size > self._max_message_bytes and opcode < 8:
            self._too_big(found)
        else:
            found.append(Message(_PLAIN_TYPES[opcode], content))

    def _inflated(self, opcode: Opcode, data: bytes, found: list[FrameEvent]) -> None:
        """Take a whole deflated message."""
        try:
            content = inflate(data, self._max_message_bytes)
        except ValueError as error:
            self._end(found, PeerFailed(INVALID_PAYLOAD, f"bad compression: {error}"))
            return
        if content is None:
            self._too_big(found)
        elif opcode is Opcode.TEXT and not _is_utf8(content):
            self._end(found, PeerFailed(INVALID_PAYLOAD, "text is not UTF-8"))
        else:
            self._inflated_bytes += len(content)
            found.append(Message(opcode, content))

    def _parse(self, frame: bytes, found: list[FrameEvent]) -> None:
        """Let wsproto take one whole frame: part of a message, a close, or nonsense."""
        message = self._message
        if message is None:
            side = ConnectionType.SERVER if self._mask_bit else ConnectionType.CLIENT
            message = self._message = _PartialMessage(side)
            if self._inflates and frame[0] in _FIRST_DEFLATED:
                # Only the whole can be inflated, and judged. Until then it is any bytes.
                message.deflated = Opcode(frame[0] & 0x0F)
                frame = bytes((Opcode.BINARY,)) + frame[1:]
        for event in message.take(frame):
            match event:
                case events.TextMessage() | events.BytesMessage():
                    complete = message.add(event)
                    if message.size > self._max_parts_bytes(message):
                        self._too_big(found)
                    elif complete is not None:
                        self._message = None
                        if message.deflated is None:
                            found.append(complete)
                        else:
                            self._inflated(message.deflated, complete.content, found)
                case events.CloseConnection() if message.is_closed:
                    code = None if event.code == NO_STATUS else int(event.code)
                    self._end(found, PeerClosed(code, event.reason or ""))
                case events.CloseConnection():
                    reason = event.reason or "protocol error"
                    self._end(found, PeerFailed(int(event.code), reason))

    def _max_parts_bytes(self, message: "_PartialMessage") -> int:
        return self._max_message_bytes if message.deflated is None else self._max_deflated_bytes

    def _too_big(self, found: list[FrameEvent]) -> None:
        self._end(found, PeerFailed(MESSAGE_TOO_BIG, "message too big"))

    def _end(self, found: list[FrameEvent], last: FrameEvent) -> None:
        self._ended = True
        self._message = None
        self._buffer = b""
        found.append(last)


class _PartialMessage:
    """The fragments of a message so far, and the wsproto connection that judges them."""

    __slots__ = ("_parser", "_parts", "deflated", "size")

    def __init__(self, our_side: ConnectionType) -> None:
        self.deflated: Opcode | None = None  # what the message is, once it is inflated
        self._parser = Connection(our_side)
        self._parts: list[bytes] = []
        self.size = 0

    @property
    def is_closed(self) -> bool:
        """True once a valid close frame has come."""
        return self._parser.state is ConnectionState.REMOTE_CLOSING

    def take(self, frame: bytes) -> Iterator[events.Event]:
        """What wsproto makes of a frame."""
        self._parser.receive_data(frame)
        return self._parser.events()

    def add(self, event: events.TextMessage | events.BytesMessage) -> Message | None:
        """Keep a part; the message if it was the last."""
        is_text = isinstance(event, events.TextMessage)
        part = event.data.encode() if isinstance(event.data, str) else bytes(event.data)
        if part:  # there may be any number of empty ones
            self._parts.append(part)
            self.size += len(part)
        if not event.message_finished:
            return None
        return Message(Opcode.TEXT if is_text else Opcode.BINARY, b"".join(self._parts))


def _frame_size(data: bytes | bytearray, at: int) -> int:
    """The size of a frame with its header; 0 while the header is not complete."""
    have = len(data) - at
    if have < 2:
        return 0
    second = data[at + 1]
    length = second & 0x7F
    mask = 4 if second & 0x80 else 0
    if length < 126:
        return 2 + mask + length
    if length == 126:
        return 4 + mask + int.from_bytes(data[at + 2 : at + 4], "big") if have >= 4 else 0
    return 10 + mask + int.from_bytes(data[at + 2 : at + 10], "big") if have >= 10 else 0


def _is_shortest(length: int, size: int) -> bool:
    return length < 126 or (size > 65_535 if length == 127 else size > 125)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
