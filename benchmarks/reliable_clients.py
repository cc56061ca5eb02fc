"""Clients of reliable streams in a process of their own, each of which checks what it receives.

Of every channel a client has been told the number it begins with; then each number has to come,
once, in order. What does not is remembered as a fault, and so is a stream that ends.
"""

import multiprocessing
import os
import select
import socket
import sys
import time
from typing import Any, Self

import attrs

_BYTES = 65_536
_AT_ONCE = 64
OPEN_SECONDS = 60.0
_MAX_FAULTS = 20


@attrs.define
class _Client:
    """One stream: what it listens to, what has come and is not a whole line yet."""

    sock: socket.socket
    channels: tuple[int, ...]
    has_head: bool = False
    raw: bytes = b""
    text: bytes = b""
    numbers: dict[int, int] = attrs.field(factory=dict)  # the last of each channel


class ReliableClients:
    """A process with one stream for each tuple of channels."""

    def __init__(self, port: int, channels: list[tuple[int, ...]]) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(port, channels, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()
        self._pipe.close()

    def wait_until_open(self) -> None:
        """Come back when every stream has begun."""
        self._receive("open", OPEN_SECONDS)

    def report(self, latest: list[int]) -> dict[str, Any]:
        """How many items have come, how many streams are not up to `latest` yet, and the faults."""
        self._pipe.send(latest)
        report: dict[str, Any] = self._receive("report", OPEN_SECONDS)
        return report

    def _receive(self, kind: str, timeout_seconds: float) -> Any:
        if not self._pipe.poll(timeout_seconds):
            raise RuntimeError(f"the clients took too long ({kind})")
        return self._pipe.recv()


def _run(port: int, channels: list[tuple[int, ...]], pipe: Any) -> None:
    crowd = _Crowd(port)
    for each in channels:
        crowd.open(each)
    crowd.wait_for(0)
    pipe.send("open")
    parent = os.getppid()
    while os.getppid() == parent:
        crowd.read(0.2)
        if pipe.poll(0):
            try:
                pipe.send(crowd.report(pipe.recv()))
            except EOFError:
                break
    sys.exit(0)


def _parted(raw: bytes) -> tuple[bytes, bool, bytes]:
    """A response's head, whether it is whole, and what follows."""
    head, end, rest = raw.partition(b"\r\n\r\n")
    return head, bool(end), rest


class _Crowd:
    """The clients, in the child process."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._epoll = select.epoll()
        self._clients: dict[int, _Client] = {}
        self._waiting = 0
        self._received = 0
        self._faults: list[str] = []

    def open(self, channels: tuple[int, ...]) -> None:
        """Open one stream; a few may be waiting for their beginning at the same time."""
        sock = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        query = "&".join(f"c={channel}" for channel in channels)
        sock.sendall(f"GET /events?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self._clients[sock.fileno()] = _Client(sock, channels)
        self._epoll.register(sock, select.EPOLLIN)
        self._waiting += 1
        self.wait_for(_AT_ONCE)

    def wait_for(self, waiting: int) -> None:
        """Read until no more than so many streams have not begun."""
        deadline = time.monotonic() + OPEN_SECONDS
        while self._waiting > waiting:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._waiting} streams have not begun; {self._faults}")
            self.read(1.0)

    def read(self, timeout_seconds: float) -> None:
        """Read what is there."""
        for fd, _ in self._epoll.poll(timeout_seconds, 512):
            client = self._clients[fd]
            try:
                data = client.sock.recv(_BYTES)
            except OSError:
                data = b""
            if not data:
                self._epoll.unregister(fd)
                self._fault(client, "the stream has ended")
                continue
            client.raw += data
            self._take(client)

    def _take(self, client: _Client) -> None:
        if not client.has_head:
            head, client.has_head, rest = _parted(client.raw)
            if not client.has_head:
                return
            client.raw = rest
            if head[9:12] != b"200":
                self._fault(client, head.decode(errors="replace"))
        self._unchunk(client)
        *lines, client.text = client.text.split(b"\n")
        for line in lines:
            self._line(client, line.decode())

    def _unchunk(self, client: _Client) -> None:
        """Move the content of whole chunks from `raw` to `text`."""
        raw, at = client.raw, 0
        parts = [client.text]
        while (line_end := raw.find(b"\r\n", at)) >= 0:
            size = int(raw[at:line_end], 16)
            end = line_end + 2 + size
            if len(raw) < end + 2:
                break
            parts.append(raw[line_end + 2 : end])
            at = end + 2
        client.raw, client.text = raw[at:], b"".join(parts)

    def _line(self, client: _Client, line: str) -> None:
        if line.startswith("open "):
            pairs = (pair.split(":") for pair in line[5:].split(" "))
            client.numbers = {int(channel): int(number) for channel, number in pairs}
            self._waiting -= 1
            return
        channel, number = map(int, line.split(":"))
        expected = client.numbers[channel] + 1
        if number != expected:
            self._fault(client, f"channel {channel}: {number} instead of {expected}")
        client.numbers[channel] = max(number, expected)
        self._received += 1

    def _fault(self, client: _Client, text: str) -> None:
        if len(self._faults) < _MAX_FAULTS:
            self._faults.append(f"client of {client.channels}: {text}")

    def report(self, latest: list[int]) -> dict[str, Any]:
        """What `ReliableClients.report` returns."""
        behind = sum(
            any(number < latest[channel] for channel, number in client.numbers.items())
            for client in self._clients.values()
        )
        return {"received": self._received, "behind": behind, "faults": self._faults}
