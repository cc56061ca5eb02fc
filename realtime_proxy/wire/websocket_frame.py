"""WebSocket frames as they are written (RFC 6455 5.2): content in, bytes out."""

import os
from collections.abc import Iterator
from enum import IntEnum

_MASKED = 0x80
NORMAL_CLOSURE = 1000
NO_STATUS = 1005
INVALID_PAYLOAD = 1007
MESSAGE_TOO_BIG = 1009
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012  # registered with IANA; clients come back after a while of their choice
TRY_AGAIN_LATER = 1013  # registered, too


class Opcode(IntEnum):
    """The kinds of frame that carry something."""

    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


def encode_frame(opcode: int, content: bytes) -> bytes:
    """One unfragmented, unmasked frame: what a server sends.

    Pings and pongs of publishers and backends are cut to what such a frame may carry.
    """
    size = len(content)
    if size < 126:
        return bytes((0x80 | opcode, size)) + content
    if opcode >= Opcode.CLOSE:
        return bytes((0x80 | opcode, 125)) + content[:125]
    return _data_frame(0x80 | opcode, content)


def encode_deflated(opcode: int, data: bytes) -> bytes:
    """One unfragmented, unmasked frame with a deflated message (RFC 7692 6.1)."""
    return _data_frame(0xC0 | opcode, data)


def _data_frame(first: int, content: bytes) -> bytes:
    size = len(content)
    if size < 126:
        return bytes((first, size)) + content
    if size < 65_536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + content
    return bytes((first, 127)) + size.to_bytes(8, "big") + content


def masked(frame: bytes) -> bytes:
    """A frame as a client sends it, with a mask that nobody can foresee (RFC 6455 5.3)."""
    length = frame[1]
    offset = 2 if length < 126 else 4 if length == 126 else 10
    key = os.urandom(4)
    head = bytes((frame[0], _MASKED | length)) + frame[2:offset]
    return head + key + mixed(key, frame[offset:])


def encode_close(code: int | None, reason: str = "") -> bytes:
    """A close frame; without a code it is empty. The reason is cut to what fits (RFC 6455 5.5)."""
    if code is None:
        return encode_frame(Opcode.CLOSE, b"")
    text = reason.encode()[:123].decode(errors="ignore").encode()
    return encode_frame(Opcode.CLOSE, code.to_bytes(2, "big") + text)


def sent_frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcode and content of each of the frames that were made by `encode_frame`."""
    at = 0
    while at < len(data):
        length = data[at + 1]
        offset = at + (2 if length < 126 else 4 if length == 126 else 10)
        size = length if length < 126 else int.from_bytes(data[at + 2 : offset], "big")
        yield data[at] & 0x0F, data[offset : offset + size]
        at = offset + size


def parse_close(content: bytes) -> tuple[int | None, str]:
    """Code and reason of a close frame that was made by `encode_close`."""
    if not content:
        return None, ""
    return int.from_bytes(content[:2], "big"), content[2:].decode()


def mixed(key: bytes, content: bytes) -> bytes:
    """Content with its mask put on, or taken off."""
    size = len(content)
    if not size:
        return b""
    mask = (key * (size // 4 + 1))[:size]
    mixed = int.from_bytes(content, "big") ^ int.from_bytes(mask, "big")
    return mixed.to_bytes(size, "big")
