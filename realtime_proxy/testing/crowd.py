"""Thousands of clients in one thread, so cheap that the proxy beside them can be measured."""

# ruff: noqa: S101  what a test stands on fails like the test itself

import select
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Self

from realtime_proxy.net.arrival import seconds_since_arrival
from realtime_proxy.testing.raw_client import Fields, encode_request

_UPGRADE = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
)
# So many requests are under way at once while a crowd gathers.
_AT_ONCE = 50


class Member:
    """One client: what it was sent, and when the last of that arrived, since the epoch."""

    __slots__ = ("_socket", "is_ended", "last_at", "received")

    def __init__(self, raw: socket.socket) -> None:
        self._socket = raw
        self.received = bytearray()
        self.last_at = 0.0
        self.is_ended = False

    def send(self, data: bytes) -> None:
        """Send so little that the kernel takes it at once."""
        self._socket.sendall(data)

    def take(self) -> bytes:
        """What has been received; it begins anew."""
        taken = bytes(self.received)
        self.received.clear()
        return taken

    def chunks(self) -> Iterator[bytes]:
        """The chunks that were received, without what is between them."""
        at = 0
        while at < len(self.received):
            size_ends = self.received.index(b"\r\n", at)
            begins = size_ends + 2
            ends = begins + int(self.received[at:size_ends], 16)
            yield bytes(self.received[begins:ends])
            at = ends + 2

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Opcode and content of the frames that were received, short ones all of them."""
        at = 0
        while at < len(self.received):
            opcode, size = self.received[at] & 0x0F, self.received[at + 1]
            assert size < 126, size
            yield opcode, bytes(self.received[at + 2 : at + 2 + size])
            at += 2 + size

    def read(self) -> None:
        """Read what is there."""
        data = self._socket.recv(65_536)
        self.last_at = time.time() - seconds_since_arrival(self._socket)
        self.received += data
        self.is_ended = not data


class Crowd:
    """All of them, watched together."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._members: dict[int, Member] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._epoll.close()
        for raw in self._sockets.values():
            raw.close()

    def join(self, request: bytes) -> Member:
        """Connect, and send a request."""
        raw = socket.create_connection(self._address)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.sendall(request)
        member = Member(raw)
        self._sockets[raw.fileno()], self._members[raw.fileno()] = raw, member
        self._epoll.register(raw.fileno(), select.EPOLLIN)
        return member

    def gather(self, requests: list[bytes], opened: bytes, seconds: float = 60) -> list[Member]:
        """One member for each request, of whom each has been sent what ends with `opened`."""
        members: list[Member] = []
        for start in range(0, len(requests), _AT_ONCE):
            new = [self.join(request) for request in requests[start : start + _AT_ONCE]]
            self.attend(partial(_all_have, new, opened), seconds)
            members += new
        return members

    def attend(self, until: Callable[[], bool], seconds: float) -> None:
        """Read what comes until something is so. Fails if it is not so in time."""
        ends_at = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < ends_at, "the crowd has waited too long"
            self.read(0.01)

    def read(self, seconds: float) -> None:
        """Read what is there, or comes first within so many seconds."""
        for number, _ in self._epoll.poll(seconds, 4_096):
            member = self._members[number]
            member.read()
            if member.is_ended:
                self._epoll.unregister(number)


def _all_have(members: list[Member], end: bytes) -> bool:
    return all(one.received.endswith(end) for one in members)


def upgrade_request(target: str, fields: Fields) -> bytes:
    """A request to open a WebSocket, as bytes."""
    return encode_request("GET", target, [*_UPGRADE, *fields])
