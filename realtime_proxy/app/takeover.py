"""What two processes say to each other when one takes the place of the other.

Over a unix socket, a line of JSON each; listening sockets go with it as descriptors (SCM_RIGHTS).
docs/decisions/ has the whole story.
"""

import os
import socket
import struct
from collections.abc import Sequence
from typing import Self, TypeVar

import msgspec
import trio

# Raised when these messages, or those of links (`inputs/link_messages.py`), change their meaning.
PROTOCOL = 1
_MAX_LINE_BYTES = 65_536
# One message takes up to 253 (SCM_MAX_FD).
_SOCKETS_AT_ONCE = 200


class Hello(msgspec.Struct, tag=True, frozen=True):
    """New: I am to take your place."""

    protocol: int


class Refusal(msgspec.Struct, tag=True, frozen=True):
    """Old: that can't be."""

    why: str


class Sockets(msgspec.Struct, tag=True, frozen=True):
    """Old: these are my listening sockets; more come if `is_last` is false."""

    is_last: bool


class Join(msgspec.Struct, tag=True, frozen=True):
    """New: I am as good as ready. Take items from this link (ZeroMQ) from now on."""

    link: str


class Joined(msgspec.Struct, tag=True, frozen=True):
    """Old: I do, and what is published here comes to you."""


class Serving(msgspec.Struct, tag=True, frozen=True):
    """New: I serve. Let publishers and clients go."""


Message = Hello | Refusal | Sockets | Join | Joined | Serving
Kind = TypeVar("Kind", bound=Message)


class TakeoverFailed(Exception):
    """The other process is gone, or says something that it should not."""


class Counterpart:
    """The other process, at the other end of a connected, non-blocking unix socket."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._buffer = b""
        self.sockets: list[socket.socket] = []  # that came with its messages

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_ours(self) -> bool:
        """True if it runs for the same user as this process, or for root."""
        form = struct.Struct("3i")  # pid, uid, gid
        peer = self._raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, form.size)
        return form.unpack(peer)[1] in (0, os.geteuid())

    async def send(self, message: Message, sockets: Sequence[socket.socket] = ()) -> None:
        """Say something. Raises TakeoverFailed when nobody hears it."""
        line = msgspec.json.encode(message) + b"\n"
        await trio.lowlevel.wait_writable(self._raw)
        try:
            socket.send_fds(self._raw, [line], [one.fileno() for one in sockets])
        except OSError as error:
            raise TakeoverFailed(str(error)) from error

    async def send_sockets(self, sockets: Sequence[socket.socket]) -> None:
        """Hand over listening sockets, which stay open here as well."""
        for start in range(0, max(1, len(sockets)), _SOCKETS_AT_ONCE):
            part = sockets[start : start + _SOCKETS_AT_ONCE]
            await self.send(Sockets(start + len(part) == len(sockets)), part)

    async def receive_sockets(self) -> None:
        """Take over all listening sockets, to `sockets`."""
        while not (await self.receive(Sockets)).is_last:
            pass

    async def receive(self, kind: type[Kind]) -> Kind:
        """The next message, which has to be of this kind. Raises TakeoverFailed."""
        while b"\n" not in self._buffer:
            if len(self._buffer) > _MAX_LINE_BYTES or not await self._receive():
                raise TakeoverFailed("the other process is gone")
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message = msgspec.json.decode(line, type=Message)
        except msgspec.DecodeError as error:
            raise TakeoverFailed(f"the other process speaks nonsense: {error}") from error
        if isinstance(message, Refusal):
            raise TakeoverFailed(message.why)
        if not isinstance(message, kind):
            raise TakeoverFailed(f"{type(message).__name__} where {kind.__name__} was expected")
        return message

    async def _receive(self) -> bool:
        await trio.lowlevel.wait_readable(self._raw)
        flags = socket.MSG_CMSG_CLOEXEC
        try:
            data, descriptors, _, _ = socket.recv_fds(self._raw, 4096, _SOCKETS_AT_ONCE, flags)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.sockets += [socket.socket(fileno=one) for one in descriptors]
        self._buffer += data
        return bool(data)

    async def gone(self) -> None:
        """Come back when it has ended, or closed its end."""
        while await self._receive():
            self._buffer = b""

    def close(self) -> None:
        """Hang up. The sockets that came stay open."""
        self._raw.close()
