"""A WebSocket client whose frames are made by hand, so that they can be wrong."""

# ruff: noqa: S101  what a test stands on fails like the test itself

import base64
import os

import attrs

from realtime_proxy.testing.raw_client import Fields, RawClient, Reply, encode_request

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_MASK = b"\x11\x22\x33\x44"


@attrs.frozen
class Frame:
    """One frame that arrived."""

    opcode: int
    content: bytes
    is_final: bool = True
    is_deflated: bool = False

    @property
    def close_code(self) -> int | None:
        """The code of a close frame, None without one."""
        return int.from_bytes(self.content[:2], "big") if self.content else None

    @property
    def close_reason(self) -> str:
        """The reason of a close frame."""
        return self.content[2:].decode()


def encode_frame(
    opcode: int, content: bytes = b"", *, final: bool = True, reserved: int = 0, masked: bool = True
) -> bytes:
    """A frame of a client; `reserved` are the three bits that must be zero."""
    size = len(content)
    first = (0x80 if final else 0) | reserved << 4 | opcode
    mask_bit = 0x80 if masked else 0
    if size < 126:
        head = bytes((first, mask_bit | size))
    elif size < 65_536:
        head = bytes((first, mask_bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, mask_bit | 127)) + size.to_bytes(8, "big")
    if not masked:
        return head + content
    mask = (_MASK * (size // 4 + 1))[:size]
    mixed = int.from_bytes(content, "big") ^ int.from_bytes(mask, "big")
    return head + _MASK + mixed.to_bytes(size, "big")


def encode_close(code: int | None = None, reason: str = "") -> bytes:
    """A close frame of a client."""
    content = b"" if code is None else code.to_bytes(2, "big") + reason.encode()
    return encode_frame(CLOSE, content)


class WebSocketClient:
    """A WebSocket on a connection that may already carry more than one frame."""

    def __init__(self, client: RawClient) -> None:
        self.client = client

    def ask(
        self,
        target: str,
        fields: Fields = (),
        *,
        early: bytes = b"",
        upgrade: str = "websocket",
        host: str = "test",
    ) -> None:
        """Send the upgrade request, and `early` bytes right behind it."""
        key = base64.b64encode(os.urandom(16)).decode()
        wanted = [
            ("Upgrade", upgrade),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", key),
            *fields,
        ]
        self.client.send(encode_request("GET", target, wanted, host=host) + early)

    def open(
        self, target: str, fields: Fields = (), *, upgrade: str = "websocket", host: str = "test"
    ) -> Reply:
        """Upgrade. Fails unless the answer is a 101."""
        self.ask(target, fields, upgrade=upgrade, host=host)
        reply = self.client.read_head()
        assert reply.status == 101, reply
        return reply

    def send(self, opcode: int, content: bytes = b"") -> None:
        """Send one frame."""
        self.client.send(encode_frame(opcode, content))

    def send_close(self, code: int | None = None, reason: str = "") -> None:
        """Send a close frame."""
        self.client.send(encode_close(code, reason))

    def read(self) -> Frame:
        """The next frame. Raises CutShort."""
        first, second = self.client.read_exactly(2)
        assert not second & 0x80, "a server must not mask"
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(self.client.read_exactly(2), "big")
        elif size == 127:
            size = int.from_bytes(self.client.read_exactly(8), "big")
        content = self.client.read_exactly(size)
        return Frame(first & 0x0F, content, bool(first & 0x80), bool(first & 0x40))
