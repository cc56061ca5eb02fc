"""A credential's lifetime is its connection's lifetime, whatever the kind of connection."""

import json
import queue
import re
import threading
import time

import pytest
from websockets.sync.server import serve

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS
from realtime_proxy.testing.websocket_client import CLOSE, TEXT

# Its users say themselves who they are, and for how long.
HONOUR = """
import time
from urllib.parse import parse_qs

from realtime_proxy.pipeline import CONTINUE, BaseHandler, Identity


class Handler(BaseHandler):
    async def on_request(self, exchange):
        query = parse_qs(exchange.request.target.decode().partition("?")[2])
        if "for" in query:
            exchange.identity = Identity(
                query["name"][0],
                expires_at=time.time() + float(query["for"][0]),
                challenge='Honour realm="here"',
            )
        return CONTINUE

    def on_close(self, exchange, reason):
        who = exchange.identity.consumer if exchange.identity else None
        self.context.logger.info("left", who=who, reason=reason)
"""
CONFIG = """
[[route]]
handlers = ["honour"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "passed.test"
handlers = ["honour"]
targets = [{{ url = "{origin}" }}]

[[route]]
host = "told.test"
handlers = ["honour"]
expiry_notice_seconds = 3
expiry_notice_message = "left {{seconds}}"
targets = [{{ url = "{url}", over_http = true }}]
"""
LIFE = 0.5


@pytest.fixture(scope="module")
def origin():
    """A backend that speaks WebSocket, and says each back; the paths of those that have ended."""
    ended = queue.Queue()

    def echo(connection):
        for message in connection:
            connection.send(message)
        ended.put(connection.request.path.partition("?")[0])

    with serve(echo, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ended.port = server.socket.getsockname()[1]
        yield ended
        server.shutdown()


@pytest.fixture(scope="module")
def program(start, backend, origin):
    routes = CONFIG.format(url=backend.url, origin=f"http://127.0.0.1:{origin.port}")
    return start(routes, handlers=[("honour", HONOUR)])


@pytest.fixture
def target(path):
    return f"{path}?name={path[1:]}&for={LIFE}"


def ended_as(program, path, reason):
    program.wait_for_log(rf"left .* who={re.escape(path[1:])} reason={reason}\b")


def holding(content_type, hold="stream", body=b""):
    fields = [("Grip-Hold", hold), ("Grip-Channel", "all"), ("Content-Type", content_type)]

    def script(call):
        call.respond(fields=fields, body=body)

    return script


def test_an_event_stream_ends_with_an_event(connect, backend, program, path, target):
    backend.scripts[path] = holding("text/event-stream; charset=utf-8")
    client = connect()
    client.request("GET", target)
    reply = client.read_reply()
    assert reply.body == b"event: expired\ndata: credential expired\n\n"
    ended_as(program, path, "expired")
    client.request("GET", path)  # the connection itself is as good as before
    assert client.read_head().status == 200


def test_another_stream_just_ends(connect, backend, program, path, target):
    backend.scripts[path] = holding("text/plain", body=b"begin\n")
    client = connect()
    client.request("GET", target)
    assert client.read_reply().body == b"begin\n"
    ended_as(program, path, "expired")


def test_a_stream_of_an_old_client_just_ends(connect, backend, program, path, target):
    backend.scripts[path] = holding("text/event-stream")
    client = connect()
    client.send(f"GET {target} HTTP/1.0\r\nHost: a\r\n\r\n".encode())
    assert client.read_to_end().endswith(b"\r\n\r\nevent: expired\ndata: credential expired\n\n")
    ended_as(program, path, "expired")


def test_a_long_poll_is_answered_401(connect, backend, program, path, target):
    backend.scripts[path] = holding("text/plain", "response")
    client = connect()
    client.request("GET", target)
    reply = client.read_reply()
    assert reply.status == 401
    assert reply.get("www-authenticate") == 'Honour realm="here"'
    assert json.loads(reply.body) == {"message": "credential expired"}
    ended_as(program, path, "expired")
    client.request("GET", f"{path}-more")
    assert client.read_reply().status == 200


def over_http(call):
    """Accept, and say back what comes; a close is answered."""
    told = {"OPEN", "TEXT", "CLOSE"}
    events = [event for event in read_events(call.body) if event[0] in told]
    body = write_events(*(event if event[0] == "TEXT" else event[0] for event in events))
    call.respond(fields=[("Content-Type", CONTENT_TYPE)], body=body)


def test_a_websocket_over_http_is_closed(websocket, backend, program, path, target):
    backend.scripts[path] = over_http
    client = websocket()
    client.open(target)
    client.send(TEXT, b"hello")
    assert client.read().content == b"hello"
    close = client.read()
    assert (close.close_code, close.close_reason) == (4401, "credential expired")
    # Its reason is known though it never answers.
    client.client.close()
    ended_as(program, path, "expired")
    backend.wait_for(path, 3)
    assert [event[0] for call in backend.calls_to(path) for event in read_events(call.body)] == [
        "OPEN",
        "TEXT",
        "CLOSE",
    ]


def test_a_websocket_to_a_websocket_is_closed_on_both_sides(websocket, program, path, origin):
    client = websocket()
    client.open(f"{path}?name={path[1:]}&for={LIFE}", host="passed.test")
    client.send(TEXT, b"hello")
    assert client.read().content == b"hello"
    close = client.read()
    assert (close.close_code, close.close_reason) == (4401, "credential expired")
    client.send_close(close.close_code)
    client.client.wait_for_end()
    assert origin.get(timeout=DEADLINE_SECONDS) == path
    ended_as(program, path, "expired")


def test_the_end_is_counted_from_the_wall_clock_and_comes_in_time(connect, backend, path):
    backend.scripts[path] = holding("text/plain")
    client = connect()
    begun = time.monotonic()
    client.request("GET", f"{path}?name=a&for=0")
    assert client.read_reply().body == b""
    assert time.monotonic() - begun < 5


def test_who_has_no_end_stays(connect, backend, program, path):
    backend.scripts[path] = holding("text/plain")
    client = connect()
    client.request("GET", path)
    assert client.read_head().status == 200
    program.publish_until_taken("all", http_stream={"content": "still here"})
    assert client.read_until(b"still here")


def test_a_notice_comes_before(connect, websocket, backend, path):
    backend.scripts[path] = holding("text/event-stream")
    client = connect()
    client.request("GET", f"{path}?name=a&for=1", host="told.test")
    assert client.read_reply().body.startswith(b"event: expiring\ndata: left 1\n\nevent: expired\n")
    backend.scripts[path] = over_http
    told = websocket()
    told.open(f"{path}?name=a&for=1", host="told.test")
    assert (message := told.read()).opcode == TEXT
    assert message.content == b"left 1"
    assert told.read().opcode == CLOSE
