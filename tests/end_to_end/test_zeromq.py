"""ZeroMQ publishers and commands, with one process and with two workers."""

import contextlib
import json
import time

import pytest
import tnetstring
import zmq

from realtime_proxy.testing.events import CONTENT_TYPE, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, RawClient
from realtime_proxy.testing.websocket_client import TEXT, Frame, WebSocketClient

# So many connections that neither of two workers is without some: one in a million runs.
MANY = 20
DEADLINE = int(DEADLINE_SECONDS * 1_000)
ROUTES = '[[route]]\ntargets = [{{ url = "{url}", over_http = true }}]\n'


@pytest.fixture(scope="module", params=[1, 2], ids=["alone", "workers"])
def program(request, start, backend):
    program = start(ROUTES.format(url=backend.url), server=f"workers = {request.param}")
    program.wait_for_log("serving ")
    return program


class Backend:
    """Holds as the path says: `/stream/CHANNEL`, `/response/CHANNEL` or `/ws/CHANNEL`."""

    def __init__(self):
        self.ids = []
        self.refreshed = []

    def answer(self, call):
        kind, name = call.target.split("/")[1:3]
        if kind == "ws":
            call.respond(
                fields=[("Content-Type", CONTENT_TYPE), ("Sec-WebSocket-Extensions", "grip")],
                body=self._events(call, name),
            )
        else:
            call.respond(fields=[("Grip-Hold", kind), ("Grip-Channel", name)], body=b"begin ")

    def _events(self, call, name):
        if b"OPEN" in call.body:
            self.ids.append(call.get("connection-id").encode())
            control = b"c:" + json.dumps({"type": "subscribe", "channel": name}).encode()
            return write_events("OPEN", ("TEXT", control))
        if call.body:
            return b""
        self.refreshed.append(call.get("connection-id").encode())
        return write_events(("TEXT", b"m:refreshed"))


@pytest.fixture
def held(backend):
    held = Backend()
    backend.answer = held.answer
    return held


@pytest.fixture
def publisher(program):
    with zmq.Context() as context, context.socket(zmq.XPUB) as publisher:
        publisher.linger = 0
        publisher.rcvtimeo = DEADLINE
        publisher.connect(program.sub)
        yield publisher


@pytest.fixture
def command(program):
    """Send a command: its success, and its value or condition."""
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.rcvtimeo = DEADLINE
        socket.connect(program.command)

        def command(method, arguments=None):
            message = {b"method": method.encode(), b"args": arguments or {}}
            socket.send(tnetstring.dumps(message))
            reply = tnetstring.loads(socket.recv())
            return reply[b"success"], reply.get(b"condition", reply.get(b"value"))

        yield command


@pytest.fixture
def clients(program):
    with contextlib.ExitStack() as stack:

        def open_many(count=MANY):
            return [stack.enter_context(RawClient(program.address)) for _ in range(count)]

        yield open_many


def open_streams(clients, channel):
    for client in clients:
        client.request("GET", f"/stream/{channel}")
    for client in clients:
        assert client.read_head().status == 200
        assert client.read_chunk() == b"begin "


def open_websockets(clients, channel):
    websockets = [WebSocketClient(client) for client in clients]
    for websocket in websockets:
        websocket.ask(f"/ws/{channel}")
    for client in clients:
        assert client.read_head().status == 101
    return websockets


def hears_of(publisher, *messages):
    """Come back when the publisher has heard of these, in their order."""
    for message in messages:
        while publisher.recv() != message:
            pass


def test_publishers_hear_of_channels_and_reach_their_subscribers(held, publisher, clients):
    streams = clients()
    open_streams(streams, "topics")
    hears_of(publisher, b"\x01topics")
    publisher.send_multipart([b"topics", b'J{"formats": {"http-stream": {"content": "x"}}}'])
    for stream in streams:
        assert stream.read_chunk() == b"x"
    for stream in streams:
        stream.close()
    hears_of(publisher, b"\x00topics")


def test_all_websockets_of_a_channel_are_refreshed(program, held, command, clients):
    websockets = open_websockets(clients(), "refreshed")
    open_websockets(clients(1), "others")
    program.wait_for_subscriptions("refreshed", MANY)
    assert command("refresh", {b"channel": b"refreshed"}) == (True, None)
    for websocket in websockets:
        assert websocket.read() == Frame(TEXT, b"refreshed")
    assert len(set(held.refreshed)) == len(held.refreshed) == MANY


def test_one_websocket_is_refreshed_and_known_until_it_is_gone(held, command, clients):
    websockets = open_websockets(clients(4), "one")
    names = list(held.ids)
    assert command("conncheck", {b"ids": [b"nobody", *names]}) == (True, names)
    for name in names:
        assert command("refresh", {b"cid": name}) == (True, None)
    for websocket in websockets:
        assert websocket.read() == Frame(TEXT, b"refreshed")
    assert sorted(held.refreshed) == sorted(names)
    for client in websockets:
        client.client.close()
    end = time.monotonic() + DEADLINE_SECONDS
    while command("conncheck", {b"ids": names}) != (True, []):
        assert time.monotonic() < end
    assert command("refresh", {b"cid": names[0]}) == (False, b"item-not-found")


def test_commands_publish(program, held, command, clients):
    streams = clients()
    open_streams(streams, "commanded")
    items = [
        {b"channel": b"commanded", b"formats": {b"http-stream": {b"content": b"%d" % number}}}
        for number in range(3)
    ]
    assert command("publish", {b"items": items}) == (True, None)
    for stream in streams:
        assert [stream.read_chunk() for _ in range(3)] == [b"0", b"1", b"2"]


@pytest.mark.parametrize("workers", [1, 2])
def test_deliveries_are_limited(start, held, workers):
    program = start(
        ROUTES.format(url="http://127.0.0.1:1").replace("[[route]]", '[[route]]\nid = "limited"')
        + "[[route]]\nhost = 'demo'\ntargets = [{ demo = true }]",
        server=f"workers = {workers}",
        publish="max_deliveries_per_second = 50\nmax_queued_deliveries = 20",
    )
    program.wait_for_log("serving ")
    with (
        RawClient(program.address) as client,
        RawClient(("127.0.0.1", program.control_port)) as publisher,
    ):
        client.request("GET", "/stream?channel=flood", host="demo")
        assert client.read_head().status == 200
        program.wait_for_subscriptions("flood", 1)
        items = [
            {"channel": "flood", "formats": {"http-stream": {"content": f"{number},"}}}
            for number in range(1_000)
        ]
        publisher.request("POST", "/publish/", body=json.dumps({"items": items}).encode())
        assert publisher.read_reply().status == 200
        program.wait_for_log("exceeded publish hwm, dropping messages.*hwm=")
        received = b""
        while b"9," not in received:
            received += client.read_chunk()
        assert received.endswith(b"0,1,2,3,4,5,6,7,8,9,")


def test_http_requests_are_known_by_their_numbers(program, held, command, clients):
    (client,) = clients(1)
    client.request("GET", "/stream/numbered")
    assert client.read_head().status == 200
    pids = program.workers or [program.process.pid]
    names = [b"worker_%d:%d" % (pid, number) for pid in pids for number in range(1, 200)]
    before = command("conncheck", {b"ids": names})[1]
    assert before
    client.close()
    end = time.monotonic() + DEADLINE_SECONDS
    while len(command("conncheck", {b"ids": names})[1]) != len(before) - 1:
        assert time.monotonic() < end
