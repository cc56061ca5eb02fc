"""One attack per thing that the proxy reads: what is thrown at it, and what must come of it."""

import contextlib
import itertools
import json
import random
import zlib
from collections.abc import Sequence

import h11
import trio
import zmq
from fuzzer import corpus
from fuzzer.mutation import Mutator, mutated_value
from fuzzer.wires import TlsClient, connected, exchange

# Of every response; a client that has it may leave.
END_OF_HEAD = b"\r\n\r\n"
# Ends a connection if the proxy still takes requests on it.
FAREWELL = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"


class Attack:
    """Inputs from a seed, and a way to throw one; `throw` raises AssertionError for a finding."""

    valid: Sequence
    words: Sequence
    descriptors = 0  # of the program, needed by the attack all the time

    def __init__(self, program, backend, seed):
        self.program = program
        self.backend = backend
        self.random = random.Random(zlib.crc32(type(self).__name__.encode()) ^ seed)
        self.mutator = Mutator(self.random, self.valid, self.words)

    def next_input(self):
        return self.mutator.next()

    async def throw(self, data):
        raise NotImplementedError

    def close(self):
        pass


class Requests(Attack):
    """HTTP requests, plain, with bodies, upgrading; towards the demo and towards a backend."""

    valid = corpus.REQUESTS
    words = corpus.REQUEST_WORDS

    async def throw(self, data):
        received = await exchange(self.program.port, data + FAREWELL)
        assert received[:9] in {b"", b"HTTP/1.1 "}, received


class Frames(Attack):
    """WebSocket frames, on a connection whose backend is asked over HTTP."""

    valid = corpus.FRAMES
    words = corpus.FRAME_WORDS
    opening = corpus.upgrade(b"/ws?channel=fuzz")

    async def throw(self, data):
        data = self.opening + data
        received = await exchange(self.program.port, data, answer=END_OF_HEAD)
        assert received.startswith(b"HTTP/1.1 101 "), received


class _Scripted(Attack):
    tokens = itertools.count()

    async def ask(self, request, answers):
        token = b"%d" % next(self.tokens)
        request = request.replace(b"\r\n", b"\r\nX-Fuzz: %b\r\n" % token, 1)
        with self.backend.script(token, answers) as served:
            return await exchange(self.program.port, request, served=served)


class Answers(_Scripted):
    """Responses of backends with instructions in header fields or JSON."""

    valid = corpus.ANSWERS
    words = corpus.ANSWER_WORDS

    def next_input(self):
        if self.random.random() < 0.3:
            instruct = mutated_value(self.random, self.random.choice(corpus.INSTRUCTS))
            return corpus.instruct_answer(instruct)
        return self.mutator.next()

    async def throw(self, data):
        received = await self.ask(b"GET /scripted HTTP/1.1\r\nHost: a.test\r\n\r\n", [data])
        assert_well_formed(received)


class EventAnswers(_Scripted):
    """Answers to WebSocket events: the one that opens, or a later one."""

    valid = corpus.EVENT_ANSWERS
    words = corpus.EVENT_WORDS
    frames = corpus.frame(1, b"hello") + corpus.frame(9, b"ping")

    def next_input(self):
        return self.random.random() < 0.5, self.mutator.next()

    async def throw(self, data):
        opens, answer = data
        answers = [answer] if opens else [corpus.OPENING, answer, answer]
        received = await self.ask(corpus.upgrade(b"/scripted") + self.frames, answers)
        if not received.startswith(b"HTTP/1.1 101 "):
            assert_well_formed(received)


class ControlRequests(Attack):
    """Whole requests to the control port."""

    valid = corpus.CONTROL_REQUESTS
    words = corpus.CONTROL_REQUEST_WORDS

    async def throw(self, data):
        received = await exchange(self.program.control_port, data)
        assert received[:7] in {b"", b"HTTP/1."}, received


def next_item(attack):
    """An item whose values or bytes are wrong."""
    if attack.random.random() < 0.5:
        item = mutated_value(attack.random, attack.random.choice(corpus.ITEMS))
        return json.dumps(item).encode()
    return attack.mutator.next()


class HttpItems(Attack):
    """Publish items in well-formed requests to the control port."""

    valid = (*(json.dumps(item).encode() for item in corpus.ITEMS), corpus.DEEP_ITEM)
    words = corpus.ITEM_WORDS

    def next_input(self):
        return b'{"items": [' + next_item(self) + b"]}"

    async def throw(self, data):
        request = corpus.control_request(data)
        received = await exchange(self.program.control_port, request, answer=END_OF_HEAD)
        assert received[:12] in {b"HTTP/1.1 200", b"HTTP/1.1 400"}, (data, received)


class ZmqItems(Attack):
    """Publish items over ZeroMQ: JSON, TNetString with and without its letter."""

    descriptors = 1

    words = corpus.ITEM_WORDS
    valid = (
        *(b"J" + json.dumps(item).encode() for item in corpus.ITEMS),
        b"J" + corpus.DEEP_ITEM,
        *(b"T" + corpus.as_tnetstring(item) for item in corpus.ITEMS),
        *map(corpus.as_tnetstring, corpus.ITEMS),
    )

    def __init__(self, program, backend, seed):
        super().__init__(program, backend, seed)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.linger = 0
        self._socket.sndhwm = 0
        self._socket.connect(program.pull)

    def next_input(self):
        way = self.random.random()
        if way < 0.4:
            return [self.mutator.next()]
        if way < 0.42:
            return [self.mutator.next(), b"second part"]
        item = mutated_value(self.random, self.random.choice(corpus.ITEMS))
        if way < 0.7:
            return [b"J" + json.dumps(item).encode()]
        return [self.random.choice([b"", b"T"]) + corpus.as_tnetstring(item)]

    async def throw(self, data):
        self._socket.send_multipart(data)
        await trio.lowlevel.checkpoint()

    def close(self):
        self._context.destroy()


class TlsRecords(Attack):
    """What is not TLS on a TLS port: spoilt greetings, spoilt records after a good handshake."""

    words = (
        *corpus.REQUESTS[:3],
        b"\x16\x03\x01\xff\xff",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x80",
    )
    valid = ()

    def __init__(self, program, backend, seed):
        super().__init__(program, backend, seed)
        self.mutator = Mutator(self.random, [TlsClient(program.authority).hello()], self.words)

    def next_input(self):
        """A greeting, or the seed of a record spoilt after a good handshake."""
        if self.random.random() < 0.8:
            return self.mutator.next()
        return self.random.getrandbits(64)

    async def throw(self, data):
        if isinstance(data, bytes):
            await exchange(self.program.tls_port, data)
            return
        spoiler = random.Random(data)
        async with connected(self.program.tls_port) as raw:
            client = TlsClient(self.program.authority)
            await client.shake_hands(raw)
            records = [client.seal(request) for request in corpus.REQUESTS[:4]]
            spoilt = Mutator(spoiler, records, self.words).next()
            with contextlib.suppress(OSError), trio.fail_after(20):
                await raw.send(spoilt)
                raw.shutdown(trio.socket.SHUT_WR)
                while await raw.recv(65_536):
                    pass


def assert_well_formed(received):
    """What a client got is as much of a response as h11 takes, whatever the backend sent."""
    if not received:
        return
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=200_000)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "a.test")]))
    reader.receive_data(received)
    while True:
        event = reader.next_event()
        if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.EndOfMessage):
            return


# All of them, with how many inputs of each make a hundred thousand.
ATTACKS = {
    Requests: 30_000,
    Frames: 15_000,
    Answers: 16_000,
    EventAnswers: 10_000,
    ControlRequests: 4_000,
    HttpItems: 8_000,
    ZmqItems: 14_000,
    TlsRecords: 3_000,
}
