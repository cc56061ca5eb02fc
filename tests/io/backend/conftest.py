"""A backend on a real socket that does as a test says, and what calls it."""

import contextlib

import pytest
import trio
import trio.testing
import trustme

from realtime_proxy.backend.origin import Origin
from realtime_proxy.backend.pool import Pool
from realtime_proxy.config.schema import Backend
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net.descriptors import Descriptors
from realtime_proxy.net.timers import Timers
from realtime_proxy.net.watcher import Watcher

SECONDS = 10


class Scripted:
    """Serves each connection with the next script; keeps what it was sent."""

    def __init__(self, nursery):
        self.origin = None
        self.scripts = []
        self.connections = 0
        self.ended = trio.Event()  # one connection at least
        self._nursery = nursery
        self.tls = None

    async def start(self):
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.origin = Origin("127.0.0.1", listener.socket.getsockname()[1])
        self._nursery.start_soon(trio.serve_listeners, self._serve, [listener])

    async def _serve(self, stream):
        script = self.scripts[min(self.connections, len(self.scripts) - 1)]
        self.connections += 1
        if self.tls is not None:
            stream = trio.SSLStream(stream, self.tls, server_side=True)
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await script(Peer(stream))
        await trio.aclose_forcefully(stream)
        self.ended.set()


class Peer:
    """The backend's end of one connection."""

    def __init__(self, stream):
        self.stream = stream
        self._buffer = b""

    async def request(self, body_bytes=0):
        """The next request's head and body."""
        while b"\r\n\r\n" not in self._buffer:
            await self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        while len(self._buffer) < body_bytes:
            await self._more()
        body, self._buffer = self._buffer[:body_bytes], self._buffer[body_bytes:]
        return head, body

    async def _more(self):
        data = await self.stream.receive_some()
        if not data:
            raise trio.BrokenResourceError("no more requests")
        self._buffer += data

    async def send(self, *parts):
        for part in parts:
            await self.stream.send_all(part)
            await trio.testing.wait_all_tasks_blocked()

    async def ended(self):
        """Wait until the other side has closed."""
        while await self.stream.receive_some():
            pass

    async def reset(self):
        raw = getattr(self.stream, "transport_stream", self.stream).socket
        raw.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        raw.close()


class Wheel:
    """Timers whose time a test sets."""

    def __init__(self):
        self.time = 0.0
        self.due = []

    def now(self):
        return self.time

    def after(self, seconds, callback):
        entry = (self.time + seconds, callback)
        self.due.append(entry)
        return Cancelling(self.due, entry)

    def turn(self, seconds):
        self.time += seconds
        for entry in [entry for entry in self.due if entry[0] <= self.time]:
            self.due.remove(entry)
            entry[1]()


class Cancelling:
    def __init__(self, due, entry):
        self._due = due
        self._entry = entry

    def cancel(self):
        if self._entry in self._due:
            self._due.remove(self._entry)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def always_ok(peer):
    """Answer every request of a connection."""
    while True:
        await peer.request()
        await peer.send(OK)


@pytest.fixture
async def timers(nursery):
    """A wheel that turns."""
    wheel = Timers()
    nursery.start_soon(wheel.run)
    return wheel


@pytest.fixture
def wheel():
    """Timers that stand still until the test turns them."""
    return Wheel()


@pytest.fixture
async def backend(nursery):
    """A backend that answers everything, until it gets other scripts."""
    scripted = Scripted(nursery)
    scripted.scripts = [always_ok]
    await scripted.start()
    return scripted


@pytest.fixture
def settings():
    """Limits that end a test which waits for nothing."""
    return Backend(connect_timeout_seconds=SECONDS, read_timeout_seconds=SECONDS)


@pytest.fixture
async def watcher(nursery):
    """A watcher that runs."""
    room = Watcher()
    nursery.start_soon(room.run)
    yield room
    nursery.cancel_scope.cancel()
    await trio.lowlevel.cancel_shielded_checkpoint()
    room.close()


@pytest.fixture
def pool(settings, timers, watcher):
    """A pool, emptied at the end of the test."""
    made = Pool(settings, timers, watcher, Descriptors(Counters()))
    yield made
    made.close()


@pytest.fixture(scope="session")
def authority():
    """A certificate authority of our own."""
    return trustme.CA()
