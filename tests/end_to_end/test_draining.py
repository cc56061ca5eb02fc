"""Stopping: clients are let go over some time, each as it has to end to come back."""

import contextlib
import json
import os
import re
import signal
import socket
import threading

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from realtime_proxy.testing.events import CONTENT_TYPE, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, CutShort, Ending, RawClient
from realtime_proxy.testing.reserved_ports import reserved_ports
from realtime_proxy.testing.websocket_client import CLOSE, WebSocketClient, encode_close

ROUTES = """
[admin]
listen = "127.0.0.1:{admin}"

[[route]]
path = "/sock"
sockjs = "/sock"
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
path = "/passed"
targets = [{{ url = "{origin}" }}]

[[route]]
targets = [{{ url = "{url}", over_http = true }}]
"""
RETRY = re.compile(rb"retry: (\d+)\n\n")


class Site:
    """What is behind the program: holds, over HTTP and WebSocket, and slow requests."""

    def __init__(self):
        self.may_answer = threading.Event()
        self.is_asked = threading.Event()
        self.events = []
        self.closes = []

    def answer(self, call):
        kind = call.target.partition("?")[0].split("/")[1]
        if call.get("content-type") == CONTENT_TYPE:
            self._websocket(call)
        elif kind == "slow":
            self.is_asked.set()
            assert self.may_answer.wait(DEADLINE_SECONDS)
            call.respond(body=b"late")
        elif kind == "poll":
            call.respond(fields=[("Grip-Hold", "response"), ("Grip-Channel", "a")], body=b"nothing")
        elif kind in ("stream", "events"):
            content_type = "text/event-stream" if kind == "events" else "text/plain"
            hold = [("Grip-Hold", "stream"), ("Grip-Channel", "a")]
            call.respond(fields=[*hold, ("Content-Type", content_type)], body=b"begin\n\n")
        else:
            call.respond(body=b"short")

    def _websocket(self, call):
        self.events.append(call.body)
        subscribe = b"c:" + json.dumps({"type": "subscribe", "channel": "a"}).encode()
        events = ["OPEN", ("TEXT", subscribe)] if b"OPEN" in call.body else []
        fields = [("Content-Type", CONTENT_TYPE), ("Sec-WebSocket-Extensions", "grip")]
        call.respond(fields=fields, body=write_events(*events))

    def pass_on(self, connection):
        try:
            while True:
                connection.send(connection.recv())
        except ConnectionClosed as closed:
            self.closes.append(closed.rcvd)


@pytest.fixture
def site(backend):
    site = Site()
    backend.answer = site.answer
    return site


@pytest.fixture
def run(start_own, backend, site):
    """Start a program that takes so long to drain, with so many workers."""
    with contextlib.ExitStack() as stack:

        def start(seconds, workers=1):
            server = serve(site.pass_on, "127.0.0.1", 0)
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            origin = "http://{}:{}".format(*server.socket.getsockname())
            with reserved_ports(1) as (admin,):
                routes = ROUTES.format(url=backend.url, origin=origin, admin=admin)
                program = start_own(routes, server=f"workers = {workers}", drain_seconds=seconds)
            program.admin = ("127.0.0.1", admin)
            program.wait_for_log("serving ")
            return program

        yield start


@pytest.fixture
def connect():
    with contextlib.ExitStack() as stack:
        yield lambda program: stack.enter_context(RawClient(program.address))


def ends(program):
    """Wait until it has ended by itself, and well."""
    assert program.process.wait(DEADLINE_SECONDS) == 0
    program.check_log()


def stop(program):
    program.process.send_signal(signal.SIGTERM)
    program.wait_for_log("draining ")


def ask(program, target):
    with RawClient(program.admin) as operator:
        operator.request("GET", target)
        return operator.read_reply()


def held(connect, program, target):
    client = connect(program)
    client.request("GET", target)
    assert client.read_head().status == 200
    assert client.read_chunk() == b"begin\n\n"
    return client


@pytest.mark.parametrize("workers", [1, 2])
def test_each_kind_of_hold_ends_as_it_should(run, connect, site, workers):
    program = run(0.2, workers)
    stream, events = (held(connect, program, target) for target in ("/stream", "/events"))
    poll, over_http, passed = connect(program), connect(program), connect(program)
    poll.request("GET", "/poll")
    websockets = WebSocketClient(over_http), WebSocketClient(passed)
    websockets[0].open("/ws", [("Sec-WebSocket-Extensions", "grip")])
    websockets[1].open("/passed")
    program.wait_for_subscriptions("a", 4)
    stop(program)

    assert stream.read_chunk() == b""
    retry = RETRY.fullmatch(events.read_chunk())
    assert 1_000 <= int(retry[1]) <= 5_000
    assert events.read_chunk() == b""
    reply = poll.read_reply()
    assert (reply.status, reply.body, reply.get("connection")) == (200, b"nothing", "close")
    for client in (stream, events, poll):
        assert client.wait_for_end() is Ending.CLOSED
        client.close()
    for websocket in websockets:
        frame = websocket.read()
        assert (frame.opcode, frame.close_code) == (CLOSE, 1012)
        websocket.client.send(encode_close(1012))
        assert websocket.client.wait_for_end() is Ending.CLOSED
        websocket.client.close()
    ends(program)
    assert site.events[1:] == [b"CLOSE\r\n"]
    assert len(site.closes) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_with_nobody_held_it_stops_at_once(run, connect, workers):
    program = run(60, workers)
    idle = connect(program)
    idle.request("GET", "/short")
    assert idle.read_reply().get("connection") != "close"
    stop(program)
    assert idle.wait_for_end() is Ending.CLOSED
    ends(program)


def test_readiness_is_told_and_nobody_new_comes(run, connect):
    program = run(60)
    assert ask(program, "/readyz").status == 200
    stream = held(connect, program, "/stream")
    stop(program)
    assert ask(program, "/readyz").status == 503
    assert ask(program, "/livez").status == 200
    with pytest.raises(ConnectionRefusedError):
        RawClient(program.address)
    assert program.publish("a", http_stream={"content": "still here"}) == 1
    assert stream.read_chunk() == b"still here"
    program.process.send_signal(signal.SIGTERM)
    ends(program)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_signal_cuts(run, connect, workers):
    program = run(60, workers)
    stream = held(connect, program, "/stream")
    stop(program)
    program.process.send_signal(signal.SIGINT)
    with pytest.raises(CutShort):
        stream.read_chunk()
    ends(program)


def test_a_request_that_is_under_way_is_finished(run, connect, site):
    program = run(0.1)
    slow = connect(program)
    slow.request("GET", "/slow")
    assert site.is_asked.wait(DEADLINE_SECONDS)
    stop(program)
    site.may_answer.set()
    reply = slow.read_reply()
    assert (reply.status, reply.body, reply.get("connection")) == (200, b"late", "close")
    assert slow.wait_for_end() is Ending.CLOSED
    slow.close()
    ends(program)


def test_one_that_is_held_meanwhile_is_let_go_too(run, connect):
    program = run(0.5)
    first = held(connect, program, "/stream")
    late = connect(program)
    program.wait_for_subscriptions("a", 1)
    stop(program)
    late.request("GET", "/stream")
    reply = late.read_head()
    assert (reply.status, reply.get("connection")) == (200, "close")
    assert late.read_chunk() == b"begin\n\n"
    for client in (first, late):
        assert client.read_chunk() == b""
        client.close()
    ends(program)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_session_without_a_connection_is_let_go_too(run, connect, site, workers):
    """Its client is between two polls, and the backend has to hear of it all the same."""
    program = run(0.5, workers)
    client = connect(program)
    client.request("POST", "/sock/0/one/xhr", body=b"")
    assert client.read_reply().body == b"o\n"
    stop(program)
    assert client.wait_for_end() is Ending.CLOSED
    ends(program)
    assert site.events[1:] == [b"CLOSE\r\n"]


def test_one_that_never_answers_does_not_keep_it(run, connect):
    """What is open five seconds after the time is cut: here a close that nobody answers."""
    program = run(0)
    websocket = WebSocketClient(connect(program))
    websocket.open("/passed")
    stop(program)
    assert websocket.read().close_code == 1012
    ends(program)


@pytest.mark.parametrize("workers", [1, 2])
def test_clients_whom_the_kernel_has_taken_already_are_served(run, connect, workers):
    """The program is stopped while they come, and told to end before it has seen them."""
    program = run(0, workers)
    processes = program.workers or [program.process.pid]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    clients = [connect(program) for _ in range(20)]
    program.process.send_signal(signal.SIGTERM)
    for client in clients:
        client.request("GET", "/short")
    for pid in processes:
        os.kill(pid, signal.SIGCONT)
    assert [client.read_reply().body for client in clients] == [b"short"] * 20
    for client in clients:
        client.close()
    ends(program)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(program.address)
