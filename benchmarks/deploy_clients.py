"""Clients of `deploy_backend.py`: each comes back when it is let go, and has to miss nothing.

A client is a task that knows the last number it got. Within a connection each number follows the
one before, and so it is with the first of the next connection.
"""

import base64
import os
import random
import re
import time
from collections.abc import Sequence

import attrs
import trio
from wsproto.frame_protocol import FrameProtocol, Opcode

from realtime_proxy.net.arrival import seconds_since_arrival

_AT_ONCE = 32
_HOST = "127.0.0.1"
_NUMBER = re.compile(rb"id: (\d+)\n")
_RETRY = re.compile(rb"retry: (\d+)\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_MAX_FAULTS = 20
# What was published so long before a client was let go has to have reached it by then.
_LATE_SECONDS = 3.0
SERVICE_RESTART = 1012
KINDS = ("stream", "events", "poll", "socket", "passed")


class _Ended(Exception):
    """The connection is at its end, or reset."""


@attrs.define(eq=False)
class Client:
    """One client: what it listens to, what it has, and when it was let go first."""

    kind: str
    channel: int
    last: int | None = None
    let_go_at: float | None = None


class _Connection:
    """A connection, read by pieces."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self.sock = sock
        self.buffer = b""

    async def send(self, data: bytes) -> None:
        try:
            await self.sock.send(data)  # small ones go at once
        except OSError as error:
            raise _Ended(str(error)) from error

    async def receive(self) -> None:
        try:
            data = await self.sock.recv(65_536)
        except OSError as error:
            raise _Ended(str(error)) from error
        if not data:
            raise _Ended("an orderly end")
        self.buffer += data

    async def until(self, end: bytes) -> bytes:
        while (at := self.buffer.find(end)) < 0:
            await self.receive()
        return await self.exactly(at + len(end))

    async def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            await self.receive()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    async def chunk(self) -> bytes:
        """The next one of a body, empty at its end."""
        size = int(await self.until(b"\r\n"), 16)
        return (await self.exactly(size + 2))[:size]

    def arrived_at(self) -> float:
        """When the last data came, however much later it was read."""
        return time.monotonic() - seconds_since_arrival(self.sock)

    async def end(self) -> None:
        """Come back at the end. Raises ValueError if there is something else, or a reset."""
        try:
            await self.receive()
        except _Ended as ended:
            if str(ended) == "an orderly end":
                return
            raise ValueError(f"at the end: {ended}") from ended
        raise ValueError(f"after the end: {self.buffer[:100]!r}")


class DeployClients:
    """So many clients, of all kinds in turn, and a stranger who connects all the time."""

    def __init__(self, port: int, count: int, published_at: list[list[float]]) -> None:
        """`published_at` has the times of each channel's items, which become more."""
        self._port = port
        self._published_at = published_at
        self._opening = trio.CapacityLimiter(_AT_ONCE)
        self.faults: list[str] = []
        self.connections = 0
        size, channels = len(KINDS), len(published_at)
        self.all = [Client(KINDS[one % size], one // size % channels) for one in range(count)]
        self._ways = {
            "stream": self._stream,
            "events": self._stream,
            "poll": self._poll,
            "socket": self._websocket,
            "passed": self._websocket,
        }

    async def run(self) -> None:
        """Connect, and come back whenever it is the end, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stranger)
            for client in self.all:
                nursery.start_soon(self._live, client)

    def are_open(self) -> bool:
        """True when each has got what it begins with."""
        return all(client.last is not None for client in self.all)

    def behind(self, latest: Sequence[int]) -> int:
        """How many do not have the last item of their channel yet."""
        return sum(client.last != latest[client.channel] for client in self.all)

    def let_go_at(self) -> list[float]:
        """When each of those who were let go was, for the first time, in order."""
        return sorted(one.let_go_at for one in self.all if one.let_go_at is not None)

    # -- one client ------------------------------------------------------------------------

    async def _live(self, client: Client) -> None:
        while True:
            try:
                wait_seconds = await self._connected(client)
            except (_Ended, OSError, ValueError) as error:
                self._fault(client, f"{type(error).__name__}: {error}")
                wait_seconds = 0.2
            await trio.sleep(wait_seconds)

    async def _connected(self, client: Client) -> float:
        """One connection; in how many seconds the client is to come back."""
        with trio.socket.socket() as sock:
            if client.last is None:  # many at once in the beginning
                async with self._opening:
                    await sock.connect((_HOST, self._port))
                    await trio.sleep(0.02)
            else:
                await sock.connect((_HOST, self._port))
            self.connections += 1
            return await self._ways[client.kind](client, _Connection(sock))

    def _let_go(self, client: Client, connection: _Connection) -> None:
        now = connection.arrived_at()
        if client.let_go_at is None:
            client.let_go_at = now
        later = self._published_at[client.channel][(client.last or 0) + 1 :]
        if later and later[0] < now - _LATE_SECONDS:
            self._fault(client, f"had not got an item for {now - later[0]:.1f} s")

    def _take(self, client: Client, number: int) -> None:
        if client.last is not None and number != client.last + 1:
            self._fault(client, f"{number} after {client.last}")
        client.last = number

    def _fault(self, client: Client | None, text: str) -> None:
        if len(self.faults) < _MAX_FAULTS:
            who = "stranger" if client is None else f"{client.kind} of {client.channel}"
            self.faults.append(f"{time.monotonic():.1f} {who}: {text}")

    async def _ask(
        self, client: Client, connection: _Connection, fields: str = "", *, query: bool = True
    ) -> bytes:
        """Send a request, and read the head of its answer. Raises ValueError at a refusal."""
        last = f"&last={client.last}" if query and client.last is not None else ""
        target = f"/{client.kind}?c={client.channel}{last}"
        await connection.send(f"GET {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n".encode())
        head = await connection.until(b"\r\n\r\n")
        if head[9:12] not in (b"200", b"101"):
            raise ValueError(head.decode())
        return head

    # -- by kind ---------------------------------------------------------------------------

    async def _stream(self, client: Client, connection: _Connection) -> float:
        is_events = client.kind == "events"
        is_back = is_events and client.last is not None
        fields = f"Last-Event-ID: {client.last}\r\n" if is_back else ""
        await self._ask(client, connection, fields, query=not is_events)
        retry = None
        while chunk := await connection.chunk():
            for number in _NUMBER.findall(chunk):
                self._take(client, int(number))
            retry = _RETRY.search(chunk)
        self._let_go(client, connection)
        await connection.end()
        if is_events and retry is None:
            self._fault(client, "not told when to come back")
        return 0.0 if retry is None else int(retry[1]) / 1000

    async def _poll(self, client: Client, connection: _Connection) -> float:
        is_first = True
        while True:
            try:
                head = await self._ask(client, connection)
            except _Ended:
                # A connection between two requests may be closed (RFC 9112 9.3.1): once more.
                if is_first or connection.buffer:
                    raise
                self._let_go(client, connection)
                return 0.0
            body = await connection.exactly(int(_LENGTH.search(head)[1]))
            for number in _NUMBER.findall(body):
                self._take(client, int(number))
            is_first = False
            if b"\r\nconnection: close\r\n" in head.lower():
                self._let_go(client, connection)
                await connection.end()
                return 0.0

    async def _websocket(self, client: Client, connection: _Connection) -> float:
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        fields = f"{upgrade}Sec-WebSocket-Key: {key}\r\n"
        await self._ask(client, connection, fields, query=False)
        protocol = FrameProtocol(client=True, extensions=[])
        early: list[int] | None = []  # what comes before the answer to what is missing
        while True:
            data, connection.buffer = connection.buffer, b""
            protocol.receive_bytes(data)
            for frame in protocol.received_frames():
                if frame.opcode is Opcode.PING:
                    await connection.send(protocol.pong(frame.payload))
                elif frame.opcode is Opcode.CLOSE:
                    self._let_go(client, connection)
                    if frame.payload[0] != SERVICE_RESTART:
                        raise ValueError(f"closed with {frame.payload}")
                    await connection.send(protocol.close(frame.payload[0]))
                    await connection.end()
                    return random.uniform(0.0, 0.5)
                elif frame.payload == "subscribed":
                    asked = "new" if client.last is None else str(client.last)
                    await connection.send(protocol.send_data(asked))
                else:
                    early = self._hear(client, frame.payload, early)
            await connection.receive()

    def _hear(self, client: Client, text: str, early: list[int] | None) -> list[int] | None:
        if text.startswith("sync"):
            numbers = [*map(int, text.split(" ")[1:]), *(early or [])]
            early = None
        else:
            numbers = [int(text)]
        if early is not None:
            return early + numbers
        for number in numbers:
            # What is missing, and what is published meanwhile, may have the same ones.
            if client.last is None or number > client.last:
                self._take(client, number)
        return None

    # -- a stranger ------------------------------------------------------------------------

    async def _stranger(self) -> None:
        while True:
            await trio.sleep(0.02)
            try:
                with trio.socket.socket() as sock:
                    await sock.connect((_HOST, self._port))
                    connection = _Connection(sock)
                    request = "GET /poll?c=0&last=-1 HTTP/1.1\r\nHost: test\r\n\r\n"
                    await connection.send(request.encode())
                    head = await connection.until(b"\r\n\r\n")
                    if head[9:12] != b"200":
                        raise ValueError(head.decode())
            except (_Ended, OSError, ValueError) as error:
                self._fault(None, f"{type(error).__name__}: {error}")
