"""The access log and the TCP log, through the real program: what they tell of connections."""

import contextlib
import json
import re
import socket
import threading
import time

import pytest

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS
from realtime_proxy.testing.websocket_client import TEXT

ROUTES = """
[handler.tcp_log]
host = "127.0.0.1"
port = {port}

[handler.access_log]
heartbeat_seconds = 1

[[handler.key_auth.consumers]]
username = "alice"
keys = ["supersecret"]

[[route]]
id = "open"
handlers = ["access_log", "tcp_log"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
id = "guarded"
host = "guarded"
handlers = ["access_log", "tcp_log", "key_auth"]
targets = [{{ url = "{url}", over_http = true }}]
"""


class Collector:
    """Takes the lines of one connection after another."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.records = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, connection.makefile("rb") as lines:
                    self.records += map(json.loads, lines)

    def close(self):
        self._listener.close()

    def wait_for(self, event, path):
        """The record of an event on a path."""
        end = time.monotonic() + DEADLINE_SECONDS
        while True:
            for record in self.records:
                if record["event"] == event and record["request"]["uri"].startswith(path):
                    return record
            assert time.monotonic() < end, self.records
            time.sleep(0.01)


@pytest.fixture(scope="module")
def collector():
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def program(start, backend, collector):
    routes = ROUTES.format(url=backend.url, port=collector.port)
    return start(routes, log='format = "json"')


def logged(program, event, path):
    """The first record of an event on a path."""
    pattern = rf'(?m)^(?=.*"event": "{event}")(?=.*{path}).*$'
    return json.loads(program.wait_for_log(pattern)[0])


def test_a_stream_from_its_opening_to_its_end(program, collector, connect, backend, path):
    hold = [("Grip-Hold", "stream"), ("Grip-Channel", path), ("Content-Type", "text/plain")]
    backend.scripts[path] = lambda call: call.respond(200, hold, b"begun\n")
    client = connect()
    client.request("GET", f"{path}?token=secret")
    client.read_head()
    opened = logged(program, "connection opened", path)
    assert opened["uri"] == f"http://test{path}?token=***"
    assert (opened["route"], opened["held"], opened["channels"]) == ("open", "stream", [path])
    assert (opened["status"], opened["client"]) == (200, "127.0.0.1")
    assert collector.wait_for("open", path)["channels"] == [path]
    for content in ("one", "two"):
        program.publish(path, http_stream={"content": content})
    logged(program, "connection held", path)
    client.read_until(b"two")
    client.close()
    closed = logged(program, "connection closed", path)
    assert (closed["reason"], closed["messages_out"]) == ("client-gone", 2)
    assert closed["bytes_out"] > 100
    sent = collector.wait_for("close", path)
    assert (sent["messages_out"], sent["bytes_out"]) == (2, closed["bytes_out"])
    assert sent["response"]["headers"]["content-type"] == "text/plain"
    assert "secret" not in program.log


def test_a_long_poll(program, connect, backend, path):
    hold = [("Grip-Hold", "response"), ("Grip-Channel", path)]
    backend.scripts[path] = lambda call: call.respond(200, hold, b"nothing\n")
    client = connect()
    client.request("GET", path)
    logged(program, "connection opened", path)
    program.publish_until_taken(path, http_response={"code": 201, "body": "news"})
    assert client.read_reply().status == 201
    closed = logged(program, "connection closed", path)
    assert (closed["held"], closed["reason"]) == ("response", "finished")
    assert (closed["status"], closed["messages_out"]) == (201, 1)
    assert closed["bytes_out"] > len("news")


def test_a_long_poll_that_is_asked_for_again_is_one_connection(program, connect, backend, path):
    hold = [("Grip-Hold", "response"), ("Grip-Channel", path)]
    answers = iter([(200, hold, b""), (200, hold, b""), (202, [], b"done\n")])
    backend.scripts[path] = lambda call: call.respond(*next(answers))
    client = connect()
    client.request("GET", path)
    logged(program, "connection opened", path)
    for count in (2, 3):
        program.publish_until_taken(path, http_response={"action": "hint"})
        backend.wait_for(path, count)
    assert client.read_reply().status == 202
    closed = logged(program, "connection closed", path)
    assert (closed["held"], closed["status"]) == ("response", 202)
    assert len(re.findall(f"connection opened.*{path}|{path}.*connection opened", program.log)) == 1


def test_a_websocket(program, collector, websocket, backend, path):
    def answer(call):
        events = [event for event in read_events(call.body) if event[0] in {"OPEN", "TEXT"}]
        subscribe = json.dumps({"type": "subscribe", "channel": path})
        own = (
            [("TEXT", b"c:" + subscribe.encode())]
            if "OPEN" in {event[0] for event in events}
            else []
        )
        extension = [("Sec-WebSocket-Extensions", 'grip; message-prefix="m:"')] if own else []
        body = write_events(*(_back(event) for event in events), *own)
        call.respond(200, [("Content-Type", CONTENT_TYPE), *extension], body)

    backend.scripts[path] = answer
    client = websocket()
    client.open(path)
    opened = logged(program, "connection opened", path)
    assert (opened["held"], opened["status"], opened["channels"]) == ("websocket", 101, [path])
    assert opened["backend"] == backend.url.removeprefix("http://")
    record = collector.wait_for("open", path)
    assert (record["upstream_status"], record["source"]) == ("101", "upstream")
    assert record["tries"] == [{"target": opened["backend"]}]
    client.send(TEXT, b"hello")
    assert client.read().content == b"hello"
    message = collector.wait_for("message", path)
    assert (message["type"], message["size"]) == ("TEXT", 5)
    program.publish(path, ws_message={"content": "news"})
    assert client.read().content == b"news"
    client.client.close()
    closed = logged(program, "connection closed", path)
    assert closed["reason"] == "client-gone"
    assert (closed["messages_in"], closed["bytes_in"]) == (1, 11)
    assert closed["messages_out"] == 2
    assert closed["channels"] == [path]


def test_a_websocket_that_is_refused_was_never_held(program, collector, websocket, backend, path):
    backend.scripts[path] = lambda call: call.respond(403, [], b"no\n")
    client = websocket()
    client.ask(path)
    assert client.client.read_reply().status == 403
    record = logged(program, "request answered", path)
    assert (record["status"], record["reason"]) == (403, "refused")
    assert "held" not in record
    assert collector.wait_for("close", path)["response"]["status"] == 403


def _back(event):
    kind, *content = event
    return kind if kind == "OPEN" else (kind, b"m:" + content[0])


def test_who_is_refused_is_logged(program, collector, connect, path):
    connect().request("GET", path, host="guarded")
    record = logged(program, "request answered", path)
    assert (record["route"], record["status"]) == ("guarded", 401)
    assert collector.wait_for("close", path)["response"]["status"] == 401


def test_who_it_is_is_logged_and_not_the_key(program, collector, connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(200, [], b"hello")
    client = connect()
    client.request("GET", f"{path}?apikey=supersecret", host="guarded")
    client.read_reply()
    record = logged(program, "request answered", path)
    assert (record["consumer"], record["status"]) == ("alice", 200)
    sent = collector.wait_for("close", path)
    assert sent["consumer"] == {"username": "alice"}
    assert sent["response"]["size"] == record["bytes_out"] > 5
    assert sent["upstream_status"] == "200"
    assert "supersecret" not in program.log
    assert "supersecret" not in json.dumps(collector.records)
