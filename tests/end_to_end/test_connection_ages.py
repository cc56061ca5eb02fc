"""`max_connection_age_seconds`: whoever is held ends in time, however little its gateway tells."""

import queue
import re
import threading
import time

import pytest
from websockets.frames import CloseCode
from websockets.sync.server import serve

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS
from realtime_proxy.testing.websocket_client import TEXT

LOGGED = """
from realtime_proxy.pipeline import BaseHandler


class Handler(BaseHandler):
    def on_close(self, exchange, reason):
        path = exchange.request.target.decode().partition("?")[0]
        self.context.logger.info("left", path=path, reason=reason)
"""
ROUTES = """
[[route]]
handlers = ["logged"]
max_connection_age_seconds = 1
targets = [{{ url = "{url}", over_http = true }}]
sockjs = "/sockjs"

[[route]]
host = "passed.test"
max_connection_age_seconds = 1
targets = [{{ url = "{origin}" }}]

[[route]]
host = "long.test"
handlers = ["logged"]
max_connection_age_seconds = 2
targets = [{{ url = "{url}" }}]

[[route]]
host = "longest.test"
handlers = ["logged"]
max_connection_age_seconds = 3
targets = [{{ url = "{url}" }}]

[[route]]
host = "ageless.test"
targets = [{{ url = "{url}" }}]
"""


@pytest.fixture(scope="module")
def origin():
    """A backend that speaks WebSocket; the codes with which it was closed."""
    closed = queue.Queue()

    def wait(connection):
        for _ in connection:
            pass
        closed.put(connection.close_code)

    with serve(wait, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        closed.port = server.socket.getsockname()[1]
        yield closed
        server.shutdown()


@pytest.fixture(scope="module")
def program(start, backend, origin):
    routes = ROUTES.format(url=backend.url, origin=f"http://127.0.0.1:{origin.port}")
    return start(routes, handlers=[("logged", LOGGED)])


def holding(hold, *fields, body=b""):
    fields = [("Grip-Hold", hold), ("Grip-Channel", "all"), *fields]
    return lambda call: call.respond(fields=fields, body=body)


def ended_of_age(program, path):
    program.wait_for_log(rf"left .*path={re.escape(path)} reason=max-age\b")


@pytest.mark.parametrize("kind", ["text/plain", "text/event-stream"])
def test_a_stream_ends_as_it_should(connect, backend, program, path, kind):
    backend.scripts[path] = holding("stream", ("Content-Type", kind), body=b"data: a\n\n")
    client = connect()
    client.request("GET", path)
    assert client.read_reply().body == b"data: a\n\n"
    ended_of_age(program, path)
    client.request("GET", "/more")  # the connection itself is as good as before
    assert client.read_reply().status == 200
    program.wait_for_no_subscribers("all")


def test_a_long_poll_is_answered_as_at_its_timeout(connect, backend, program, path):
    backend.scripts[path] = holding("response", body=b"nothing\n")
    client = connect()
    client.request("GET", path)
    reply = client.read_reply()
    assert (reply.status, reply.body) == (200, b"nothing\n")
    ended_of_age(program, path)


def test_a_long_poll_that_asks_again_and_again(connect, backend, program, path):
    """Its age is that of the request, else a client that is gone would be held for ever."""
    channel = path.strip("/")
    fields = [("Grip-Hold", "response"), ("Grip-Channel", channel), ("Grip-Timeout", "60")]
    backend.scripts[path] = lambda call: call.respond(fields=fields, body=b"nothing\n")
    client = connect()
    client.request("GET", path, host="long.test")
    ended = re.compile(rf"left .*path={re.escape(path)} reason=max-age\b")
    number, ends_at = 1, time.monotonic() + DEADLINE_SECONDS
    while not ended.search(program.log):  # which may be before the backend is asked once more
        assert time.monotonic() < ends_at
        is_asked = len(backend.calls_to(path)) == number
        if is_asked and program.publish(channel, http_response={"action": "hint"}):
            number += 1
        time.sleep(0.01)
    assert client.read_reply().body == b"nothing\n"
    assert number > 1


def test_what_has_ended_ends_nothing_that_comes_after_it(connect, backend, program, path):
    channel = path.strip("/")
    fields = [("Grip-Hold", "stream"), ("Grip-Channel", channel), ("Content-Type", "text/plain")]
    backend.scripts[path] = lambda call: call.respond(fields=fields)
    client = connect()
    client.request("GET", path)
    assert client.read_head().status == 200
    program.publish_until_taken(channel, http_stream={"action": "close"})
    assert client.read_chunk() == b""
    client.request("GET", path, host="ageless.test")
    assert client.read_head().status == 200
    other = connect()
    for _ in range(2):
        other.request("GET", path)
        other.read_reply()
    program.publish(channel, http_stream={"content": "still here"})
    assert client.read_chunk() == b"still here"


def test_what_a_link_gives_is_finished_first(connect, backend, program, path):
    more, gate = f"{path}-more", threading.Event()

    def answer(call):
        call.send(
            b"HTTP/1.1 200 OK\r\nGrip-Hold: stream\r\nGrip-Channel: all\r\n"
            b"Content-Length: 10\r\n\r\nhere "
        )
        gate.wait(DEADLINE_SECONDS)
        call.send(b"there")

    backend.scripts[path] = lambda call: call.respond(
        fields=[("Grip-Link", f"<{more}>; rel=next"), ("Content-Type", "text/plain")]
    )
    backend.scripts[more] = answer
    backend.scripts["/clock"] = holding("stream", ("Content-Type", "text/plain"))
    client, clock = connect(), connect()
    client.request("GET", path)
    assert client.read_head().status == 200
    assert client.read_chunk() == b"here "
    clock.request("GET", "/clock")
    clock.read_reply()
    gate.set()
    assert [client.read_chunk() for _ in range(2)] == [b"there", b""]
    ended_of_age(program, path)


@pytest.mark.slow
def test_a_long_poll_that_becomes_a_stream_is_no_younger(connect, backend, program, path):
    channel = path.strip("/")
    fields = [("Grip-Channel", channel), ("Grip-Timeout", "60"), ("Content-Type", "text/plain")]
    poll, stream = [*fields, ("Grip-Hold", "response")], [*fields, ("Grip-Hold", "stream")]
    backend.scripts[path] = lambda call: call.respond(fields=poll)
    later = f"{path}-later"
    for route in (later, "/clock"):
        backend.scripts[route] = holding("stream", ("Content-Type", "text/plain"))
    client, other, clock = connect(), connect(), connect()
    client.request("GET", path, host="longest.test")
    backend.wait_for(path, 1)
    backend.scripts[path] = lambda call: call.respond(fields=stream)
    clock.request("GET", "/clock")
    clock.read_reply()
    other.request("GET", later, host="longest.test")
    clock.request("GET", "/clock")
    clock.read_reply()
    program.publish(channel, http_response={"action": "hint"})
    ended_of_age(program, later)
    ended_of_age(program, path)
    assert program.log.index(f"path={path} reason") < program.log.index(f"path={later} reason")


def accept(call):
    """Accept, and answer a close."""
    told = [event[0] for event in read_events(call.body) if event[0] in {"OPEN", "CLOSE"}]
    call.respond(fields=[("Content-Type", CONTENT_TYPE)], body=write_events(*told))


def test_a_websocket_over_http_is_closed(websocket, backend, program, path):
    backend.scripts[path] = accept
    client = websocket()
    client.open(path)
    close = client.read()
    assert (close.close_code, close.close_reason) == (1001, "maximum age reached")
    client.client.close()
    ended_of_age(program, path)
    assert [event[0] for event in read_events(backend.wait_for(path, 2).body)] == ["CLOSE"]


def test_a_websocket_to_a_websocket_is_closed_on_both_sides(websocket, path, origin):
    client = websocket()
    client.open(path, host="passed.test")
    close = client.read()
    assert (close.close_code, close.close_reason) == (1001, "maximum age reached")
    client.send_close(close.close_code)
    assert origin.get(timeout=DEADLINE_SECONDS) == CloseCode.NO_STATUS_RCVD


def test_a_session_of_sockjs_is_closed(websocket, backend):
    backend.scripts["/sockjs/websocket"] = accept
    client = websocket()
    client.open("/sockjs/000/age/websocket")
    opened, closed = client.read(), client.read()
    assert (opened.opcode, opened.content) == (TEXT, b"o")
    assert (closed.close_code, closed.close_reason) == (1001, "maximum age reached")
