"""Whether the program still does its work, and is no larger than before."""

import contextlib
import itertools
import json

import trio
import zmq
from fuzzer.corpus import CHANNEL, control_request, frame, upgrade
from fuzzer.wires import connected

PROBE_SECONDS = 20
# What the process may grow by over a whole run, after its first inputs.
MAX_GROWTH_BYTES = 32_000_000


async def receive_until(raw, mark):
    """What arrives, up to and with the mark."""
    received = b""
    while mark not in received:
        data = await raw.recv(65_536)
        assert data, f"ended before {mark!r}: {received!r}"
        received += data
    return received


async def ask(port, request, mark):
    async with connected(port) as raw:
        await raw.send(request)
        return await receive_until(raw, mark)


class Audience:
    """Clients held on the channel that fuzzed items go to; who is let go comes again."""

    def __init__(self, program):
        self._program = program

    async def run(self, task_status):
        async with trio.open_nursery() as nursery:
            for request, mark in (
                (b"GET /stream?channel=%b HTTP/1.1\r\nHost: a.test\r\n\r\n", b"opened]\n"),
                (b"GET /stream?channel=%b HTTP/1.0\r\n\r\n", b"opened]\n"),
                (b"GET /response?channel=%b HTTP/1.1\r\nHost: a.test\r\n\r\n", b""),
                (upgrade(b"/ws?channel=%b"), b"\r\n\r\n"),
            ):
                data = request % CHANNEL.encode()
                await nursery.start(self._listen, data, mark)
            task_status.started()

    async def _listen(self, request, mark, task_status):
        while self._program.is_running:
            with contextlib.suppress(OSError):
                async with connected(self._program.port) as raw:
                    await raw.send(request)
                    if mark:
                        await receive_until(raw, mark)
                    with contextlib.suppress(RuntimeError):  # has been told before
                        task_status.started()
                    while await raw.recv(65_536):
                        pass


class Health:
    """The examination, made before, between and after attacks."""

    def __init__(self, program, backend):
        self._program = program
        self._backend = backend
        self._marks = itertools.count()

    async def take_baseline(self):
        """What it needs when it is well, taken once for a program's life."""
        await self._works()
        if self._program.baseline is None:
            self._program.baseline = self._program.descriptors, self._program.resident_bytes

    async def examine(self, more_descriptors=0):
        """Raises AssertionError saying what is wrong."""
        await self._works()
        await self._gave_descriptors_back(more_descriptors)
        grown = self._program.resident_bytes - self._program.baseline[1]
        assert grown < MAX_GROWTH_BYTES, f"grown by {grown} bytes"
        assert not self._program.complaints, "\n".join(self._program.complaints)
        assert not self._backend.complaints, self._backend.complaints

    async def _works(self):
        assert self._program.is_running, self._program.complaints
        with trio.fail_after(PROBE_SECONDS):
            port = self._program.port
            hello = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
            await ask(port, hello, b"Hello from the Pushpin test handler!\n")
            await ask(port, upgrade(b"/ws") + frame(1, b"echo"), b"\x81\x04echo")
            await self._delivers(self._publish_http)
            await self._delivers(self._publish_zmq)

    async def _delivers(self, publish):
        """A stream, a long-poll and a WebSocket each get what is published."""
        mark = b"mark %d." % next(self._marks)
        channel = b"probe-%d" % next(self._marks)
        async with trio.open_nursery() as nursery:
            for request, opening, wanted in (
                (b"GET /stream?channel=%b HTTP/1.1\r\nHost: a\r\n\r\n", b"opened]\n", mark),
                (upgrade(b"/ws?channel=%b"), b"\r\n\r\n", mark),
            ):
                await nursery.start(self._hold, request % channel, opening, wanted)
            content = {"content": mark.decode()}
            formats = {"http-stream": content, "ws-message": content}
            await publish({"channel": channel.decode(), "formats": formats})

    async def _hold(self, request, opening, wanted, task_status):
        async with connected(self._program.port) as raw:
            await raw.send(request)
            await receive_until(raw, opening)
            task_status.started()
            await receive_until(raw, wanted)

    async def _publish_http(self, item):
        request = control_request(json.dumps({"items": [item]}).encode())
        await ask(self._program.control_port, request, b"Published\n")

    async def _publish_zmq(self, item):
        with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
            socket.connect(self._program.pull)
            socket.send(b"J" + json.dumps(item).encode())

    async def _gave_descriptors_back(self, more):
        """Closing comes a moment after the client's end, so this looks until it has come."""
        wanted = self._program.baseline[0] + more
        with trio.move_on_after(PROBE_SECONDS):
            while self._program.descriptors > wanted:  # noqa: ASYNC110  another process closes
                await trio.sleep(0.01)
        now = self._program.descriptors
        assert now <= wanted, f"{now} descriptors, {wanted} at the start"
