"""Held clients in a process of their own: opened, left idle, then read or only looked at.

A child process does what it is told over a pipe, one order at a time. Orders that take a while are
begun with `begin` and finished with `result`, so that something can be published in between.
"""

import fcntl
import multiprocessing
import os
import resource
import select
import socket
import ssl
import struct
import sys
import termios
import time
import traceback
from typing import Any, Self

import attrs

KINDS = ("stream", "response", "websocket", "plain")
AT_ONCE = 64
OPEN_SECONDS = 600.0
_BYTES = 65_536
PLAIN = b"GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n"
_LATEST = 4 * AT_ONCE
_UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
_NO_BIO = ssl.MemoryBIO()  # of plain connections
_IP_BIND_ADDRESS_NO_PORT = 24  # ports are then chosen per destination


@attrs.frozen
class Opening:
    """Which clients to open. They come from `sources` in turn."""

    port: int
    count: int
    kind: str
    channel: str = "test"
    tls: bool = False
    sources: tuple[str, ...] = ("127.0.0.1",)

    def request(self) -> bytes:
        """What each of them asks for."""
        extra = _UPGRADE if self.kind == "websocket" else ""
        target = f"/{self.kind}?channel={self.channel}"
        return f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{extra}\r\n".encode()


def wire_bytes(kind: str, content: str) -> int:
    """How many bytes a published content takes on its way to a client of this kind."""
    size = len(content.encode())
    if kind == "websocket":
        return size + (2 if size < 126 else 4)
    return size + len(f"{size:x}") + 4


class Clients:
    """A process full of clients. A context manager: the process is ended in any case."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_obey, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()
        self._pipe.close()

    @property
    def pid(self) -> int:
        """The process that has the clients."""
        return self._process.pid or 0

    def begin(self, order: str, *arguments: Any) -> None:
        """Have a method of `_Crowd` called."""
        self._pipe.send((order, arguments))

    def result(self, timeout_seconds: float = OPEN_SECONDS + 60) -> Any:
        """What it returned. Raises RuntimeError when it failed or takes too long."""
        if not self._pipe.poll(timeout_seconds):
            raise RuntimeError("the clients took too long")
        failure, value = self._pipe.recv()
        if failure:
            raise RuntimeError(failure)
        return value

    def do(self, order: str, *arguments: Any) -> Any:
        """Both at once."""
        self.begin(order, *arguments)
        return self.result()


def _obey(pipe: Any) -> None:
    crowd = _Crowd()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    parent = os.getppid()
    while True:
        while not pipe.poll(1.0):
            if os.getppid() != parent:
                sys.exit(0)  # nobody is left who could end this process
        try:
            order, arguments = pipe.recv()
        except EOFError:
            sys.exit(0)
        try:
            answer = (None, getattr(crowd, order)(*arguments))
        except Exception:  # noqa: BLE001  told to the parent, which raises it
            answer = (traceback.format_exc(), None)
        pipe.send(answer)


class _Client:
    """One connection: what has come of its body, and with TLS the records not yet opened."""

    __slots__ = ("head", "incoming", "outgoing", "received", "records", "sock", "tls")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.tls: ssl.SSLObject | None = None
        self.incoming = self.outgoing = _NO_BIO
        self.records: list[bytes] = []
        self.head: bytes | None = b""
        self.received = 0


class _Crowd:
    """The clients, in the child process. Public methods are orders."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._clients: dict[int, _Client] = {}
        self._buffer = bytearray(_BYTES)
        self._fresh = 0
        self._lines: dict[bytes, _Lines] = {}

    # -- opening ---------------------------------------------------------------------------

    def open(self, opening: Opening) -> float:
        """Open clients, a few at a time; how long it took. A long-poll is left unanswered."""
        begun_at = time.monotonic()
        request = opening.request()
        context = _trusting_context() if opening.tls else None
        waiting: set[int] = set()
        for number in range(opening.count):
            self._check_time(begun_at)
            source = opening.sources[number % len(opening.sources)]
            client = _connect(opening.port, source, context)
            fd = client.sock.fileno()
            self._clients[fd] = client
            self._epoll.register(fd, select.EPOLLIN)
            _send(client, request)
            if opening.kind != "response":
                waiting.add(fd)
                while len(waiting) >= AT_ONCE:
                    self._check_time(begun_at)
                    self._poll(1.0)
                    waiting = {fd for fd in waiting if self._clients[fd].head is not None}
        while any(self._clients[fd].head is not None for fd in waiting):
            self._check_time(begun_at)
            self._poll(1.0)
        for client in self._clients.values():
            client.received = 0
            client.head = None
        return time.monotonic() - begun_at

    def _check_time(self, begun_at: float) -> None:
        if time.monotonic() - begun_at > OPEN_SECONDS:
            raise RuntimeError("clients could not be opened in time")

    # -- reading ---------------------------------------------------------------------------

    def drain(self, expected_bytes: int, timeout_seconds: float) -> tuple[int, float]:
        """Read until so many plain bytes have come to all together: how many, and when the last.

        TLS records are opened in pauses only, so that this costs no CPU while items go out.
        """
        deadline = time.monotonic() + timeout_seconds
        last_at = 0.0
        total = self._total()
        while total < expected_bytes and time.monotonic() < deadline:
            if self._poll(0.3):
                last_at = time.monotonic()
                total += self._fresh
            else:
                self._open_records()
                total = self._total()
        return total, last_at

    def reach(self, bytes_each: int, timeout_seconds: float) -> tuple[int, float]:
        """Read until each has got so many bytes: how many have, and when the last of them had."""
        deadline = time.monotonic() + timeout_seconds
        reached, last_at = 0, 0.0
        while reached < len(self._clients) and time.monotonic() < deadline:
            for fd, _ in self._epoll.poll(0.3, 512):
                client = self._clients[fd]
                had_it = client.received >= bytes_each
                self._read(client)
                if client.received >= bytes_each and not had_it:
                    reached += 1
                    last_at = time.monotonic()
        return reached, last_at

    def forget(self) -> None:
        """Count from nothing again."""
        for client in self._clients.values():
            client.received = 0

    def _total(self) -> int:
        return sum(client.received for client in self._clients.values())

    def _poll(self, timeout_seconds: float) -> bool:
        self._fresh = 0
        events = self._epoll.poll(timeout_seconds, 512)
        for fd, _ in events:
            self._read(self._clients[fd])
        return bool(events)

    def _read(self, client: _Client) -> None:
        if client.head is None and client.tls is None:
            count = client.sock.recv_into(self._buffer)
            client.received += count
            self._fresh += count
            if not count:
                raise RuntimeError("a client was closed")
            return
        data = client.sock.recv(_BYTES)
        if not data:
            raise RuntimeError("a client was closed")
        client.records.append(data)
        if client.head is not None:
            self._open(client)

    def _open_records(self) -> None:
        for client in self._clients.values():
            if client.records:
                self._open(client)

    def _open(self, client: _Client) -> None:
        data = b"".join(client.records)
        client.records.clear()
        if client.tls is not None:
            client.incoming.write(data)
            data = _opened(client.tls)
        if client.head is not None:
            client.head += data
            if b"\r\n\r\n" not in client.head:
                return
            data = client.head.partition(b"\r\n\r\n")[2]
            client.head = None
        client.received += len(data)

    # -- looking without reading -----------------------------------------------------------

    def fill(self, expected_bytes: int, timeout_seconds: float) -> float:
        """When the kernel has so many bytes for each, while none of them is read.

        Clients are written to in the order in which they came, a few places aside, so the time is
        when the latest of them have theirs; all others are looked at after that.
        """
        sockets = [client.sock for client in self._clients.values()]
        filled_at = _wait_until_filled(sockets[-_LATEST:], expected_bytes, timeout_seconds)
        _wait_until_filled(sockets, expected_bytes, timeout_seconds)
        return filled_at

    def pipeline(
        self, port: int, connections: int, each: int, request: bytes = PLAIN
    ) -> tuple[float, int]:
        """Send all requests, then only look on until all answers wait: seconds, and requests.

        Connections are opened with one request each, and the answers read at the end.
        """
        sockets = [_connect(port, "127.0.0.1", None).sock for _ in range(connections)]
        size = 0
        for each_socket in sockets:
            each_socket.sendall(request)
        for each_socket in sockets:
            select.select([each_socket], [], [], 30)
            size = len(each_socket.recv(_BYTES))
        begun_at = time.monotonic()
        for each_socket in sockets:
            each_socket.sendall(request * each)
        ended_at = _wait_until_filled(sockets, size * each, 120)
        for each_socket in sockets:
            each_socket.close()
        return ended_at - begun_at, connections * each

    # -- the same connections again and again ----------------------------------------------

    def pipeline_again(self, port: int, connections: int, each: int, request: bytes) -> int:
        """As `pipeline`, on connections that are opened by the first such order: how many."""
        lines = self._lines_of(port, connections, request)
        for sock in lines.sockets:
            sock.sendall(request * each)
        _wait_until_filled(lines.sockets, lines.answer_bytes * each, 120)
        for sock in lines.sockets:
            left = lines.answer_bytes * each
            while left:
                left -= len(sock.recv(left))
        return connections * each

    def closed_loop(self, port: int, connections: int, each: int, request: bytes) -> float:
        """Each connection sends its next request when it has the last answer: requests/s."""
        lines = self._lines_of(port, connections, request)
        left, by_number = connections * (each - 1), {sock.fileno(): sock for sock in lines.sockets}
        awaited = dict.fromkeys(by_number, lines.answer_bytes)
        with select.epoll() as epoll:
            begun_at = time.monotonic()
            for number, sock in by_number.items():
                epoll.register(number, select.EPOLLIN)
                sock.sendall(request)
            while awaited:
                for number, _ in epoll.poll():
                    awaited[number] -= len(by_number[number].recv(awaited[number]))
                    if awaited[number]:
                        continue
                    if left:
                        left -= 1
                        awaited[number] = lines.answer_bytes
                        by_number[number].sendall(request)
                    else:
                        del awaited[number]
            return connections * each / (time.monotonic() - begun_at)

    def _lines_of(self, port: int, connections: int, request: bytes) -> "_Lines":
        lines = self._lines.get(request)
        if lines is None:
            sockets = [_connect(port, "127.0.0.1", None).sock for _ in range(connections)]
            size = 0
            for sock in sockets:
                sock.setblocking(True)
                sock.sendall(request)
                size = len(sock.recv(_BYTES))
            lines = self._lines[request] = _Lines(sockets, size)
        return lines


@attrs.frozen
class _Lines:
    """Connections that are used again and again, and the size of the answer on them."""

    sockets: list[socket.socket]
    answer_bytes: int


def _connect(port: int, source: str, context: ssl.SSLContext | None) -> _Client:
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    sock.settimeout(30)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client = _Client(sock)
    if context is not None:
        client.incoming, client.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client.tls = context.wrap_bio(client.incoming, client.outgoing)
        _shake_hands(client, client.tls)
    sock.setblocking(False)
    return client


def _shake_hands(client: _Client, tls: ssl.SSLObject) -> None:
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            client.sock.sendall(client.outgoing.read())
            client.incoming.write(client.sock.recv(_BYTES))
        else:
            client.sock.sendall(client.outgoing.read())
            return


def _send(client: _Client, data: bytes) -> None:
    if client.tls is not None:
        client.tls.write(data)
        data = client.outgoing.read()
    client.sock.sendall(data)


def _opened(tls: ssl.SSLObject) -> bytes:
    parts = []
    while True:
        try:
            parts.append(tls.read(_BYTES))
        except ssl.SSLWantReadError:
            return b"".join(parts)


def _trusting_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _wait_until_filled(
    sockets: list[socket.socket], expected_bytes: int, timeout_seconds: float
) -> float:
    deadline = time.monotonic() + timeout_seconds
    left = list(sockets)
    while left:
        if _arrived_bytes(left[-1]) >= expected_bytes:
            left.pop()
        elif time.monotonic() > deadline:
            raise RuntimeError(f"{len(left)} clients did not get everything")
        else:
            time.sleep(0.001)
    return time.monotonic()


def _arrived_bytes(sock: socket.socket) -> int:
    count: int = struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, b"\0" * 4))[0]
    return count
