"""A client that sends any bytes, and sees every byte of the answer and how the connection ended."""

# ruff: noqa: S101  what a test stands on fails like the test itself

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterable
from enum import Enum
from types import TracebackType
from typing import Self

import attrs

DEADLINE_SECONDS = 30.0
_RECEIVE_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time

Address = tuple[str, int] | str
Fields = Iterable[tuple[str, str]]


class Ending(Enum):
    """How the other side ended a connection."""

    CLOSED = "an orderly end"
    RESET = "a reset, or TLS that stopped without a goodbye"


class CutShort(Exception):
    """The connection ended before what was awaited had arrived."""

    def __init__(self, ending: Ending, received: bytes) -> None:
        self.ending = ending
        self.received = received
        super().__init__(f"{ending.value} after {len(received)} bytes: {received[:200]!r}")


@attrs.define
class Reply:
    """A response: its head, and the body once it was read. Field names are in lower case."""

    version: str
    status: int
    reason: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = attrs.field(factory=list)

    def get(self, name: str) -> str | None:
        """The first value of a field, or None."""
        return next((value for field, value in self.fields if field == name), None)

    def get_all(self, name: str) -> list[str]:
        """All values of a field."""
        return [value for field, value in self.fields if field == name]

    @property
    def is_chunked(self) -> bool:
        """True if the body comes in chunks."""
        return self.get("transfer-encoding") == "chunked"


class RawClient:
    """One connection to a server, by TCP (host and port) or a unix socket (its path)."""

    def __init__(
        self,
        address: Address,
        *,
        source: str = "",
        tls: ssl.SSLContext | None = None,
        server_name: str = "localhost",
        receive_buffer_bytes: int | None = None,
        first: bytes = b"",
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        """A small `receive_buffer_bytes` makes a client that takes little while it doesn't read.

        `first` is sent before anything else, TLS included. `source` is the client's own address.
        """
        family = socket.AF_UNIX if isinstance(address, str) else _family(address[0])
        raw = socket.socket(family, socket.SOCK_STREAM)
        raw.settimeout(deadline_seconds)
        if receive_buffer_bytes is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        try:
            if source:
                raw.bind((source, 0))
            raw.connect(address)
            if family != socket.AF_UNIX:
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket = raw
            raw.sendall(first)
            if tls is not None:
                self.socket = tls.wrap_socket(
                    raw, server_hostname=server_name, suppress_ragged_eofs=False
                )
        except BaseException:
            raw.close()
            raise
        self.buffer = b""
        self.ending: Ending | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- sending ---------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def request(
        self,
        method: str,
        target: str,
        fields: Fields = (),
        body: bytes | None = None,
        *,
        host: str | None = "test",
        version: str = "1.1",
    ) -> None:
        """Send a request; a body gets a Content-Length unless `fields` say otherwise."""
        self.send(encode_request(method, target, fields, body, host=host, version=version))

    def send_chunk(self, data: bytes) -> None:
        """Send a part of a chunked body; an empty one is the last."""
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    # -- receiving -------------------------------------------------------------------------

    def _receive(self) -> bool:
        """Have more in the buffer; False at the end. Raises TimeoutError."""
        if self.ending is not None:
            return False
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
            self.ending = Ending.RESET
            return False
        if not data:
            self.ending = Ending.CLOSED
            return False
        self.buffer += data
        return True

    def _more(self) -> None:
        if not self._receive():
            raise CutShort(self.ending or Ending.RESET, self.buffer)

    def read_until(self, end: bytes) -> bytes:
        """Everything up to and with `end`. Raises CutShort."""
        while (at := self.buffer.find(end)) < 0:
            self._more()
        at += len(end)
        data, self.buffer = self.buffer[:at], self.buffer[at:]
        return data

    def read_exactly(self, count: int) -> bytes:
        """So many bytes. Raises CutShort."""
        while len(self.buffer) < count:
            self._more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def skip(self, count: int) -> None:
        """Read so many bytes and forget them: for bodies that shouldn't be kept."""
        while count:
            if not self.buffer:
                self._more()
            taken = min(count, len(self.buffer))
            self.buffer = self.buffer[taken:]
            count -= taken

    def read_head(self) -> Reply:
        """The next head, interim ones too. Raises CutShort."""
        head = self.read_until(b"\r\n\r\n").decode("latin-1")
        line, *fields = head[:-4].split("\r\n")
        version, status, reason = line.split(" ", 2)
        return Reply(version, int(status), reason, _fields(fields))

    def read_chunk(self) -> bytes:
        """The next chunk of a body; empty for the last, whose trailers are skipped."""
        size = int(self.read_until(b"\r\n").partition(b";")[0], 16)
        if not size:
            self.read_trailers()
            return b""
        data = self.read_exactly(size)
        assert self.read_exactly(2) == b"\r\n"
        return data

    def read_trailers(self) -> list[tuple[str, str]]:
        """The fields after the last chunk."""
        fields: list[str] = []
        while line := self.read_until(b"\r\n")[:-2]:
            fields.append(line.decode("latin-1"))
        return _fields(fields)

    def read_body(self, reply: Reply, *, to: str = "GET") -> Reply:
        """Read the body that belongs to a head. Raises CutShort, also for a reset at its end."""
        if to == "HEAD" or reply.status in (204, 304) or reply.status < 200:
            return reply
        if reply.is_chunked:
            while size := int(self.read_until(b"\r\n").partition(b";")[0], 16):
                reply.body += self.read_exactly(size)
                assert self.read_exactly(2) == b"\r\n"
            reply.trailers = self.read_trailers()
        elif (length := reply.get("content-length")) is not None:
            reply.body = self.read_exactly(int(length))
        else:
            reply.body = self.read_to_end()
        return reply

    def read_reply(self, *, to: str = "GET") -> Reply:
        """The next response to a request with method `to`, interim ones skipped."""
        reply = self.read_head()
        while reply.status < 200 and reply.status != 101:
            reply = self.read_head()
        return self.read_body(reply, to=to)

    def read_to_end(self) -> bytes:
        """Everything up to an orderly end. Raises CutShort if it is a reset."""
        while self._receive():
            pass
        data, self.buffer = self.buffer, b""
        if self.ending is not Ending.CLOSED:
            raise CutShort(Ending.RESET, data)
        return data

    def wait_for_end(self) -> Ending:
        """How the connection ends. Fails if anything more arrives."""
        while self._receive():
            pass
        assert self.buffer == b"", self.buffer[:200]
        assert self.ending is not None
        return self.ending

    # -- the end ---------------------------------------------------------------------------

    def close(self) -> None:
        """Close."""
        self.socket.close()

    def reset(self) -> None:
        """Close in the way of a client that has crashed."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.socket.close()


def encode_request(
    method: str,
    target: str,
    fields: Fields = (),
    body: bytes | None = None,
    *,
    host: str | None = "test",
    version: str = "1.1",
) -> bytes:
    """A request as bytes; a body gets a Content-Length unless `fields` say otherwise."""
    fields = list(fields)
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in fields]
    framed = {"content-length", "transfer-encoding"} & {name.lower() for name, _ in fields}
    if body is not None and not framed:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + (body or b"")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _fields(lines: list[str]) -> list[tuple[str, str]]:
    parted = (line.partition(":") for line in lines)
    return [(name.lower(), value.strip()) for name, _, value in parted]
