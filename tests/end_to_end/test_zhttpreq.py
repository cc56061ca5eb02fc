"""Handlers that get requests over ZeroMQ, as Pushpin's `zhttpreq` targets do."""

import contextlib
import json
import threading

import pytest
import tnetstring
import zmq

from realtime_proxy.testing.events import CONTENT_TYPE, write_events
from realtime_proxy.testing.websocket_client import WebSocketClient

ROUTES = """
[backend]
read_timeout_seconds = 1

[[route]]
targets = [{{ zhttpreq = "{address}" }}]

[[route]]
host = "debug"
debug = true
targets = [{{ zhttpreq = "{address}" }}]

[[route]]
host = "events"
targets = [{{ zhttpreq = "{address}", over_http = true }}]

[[route]]
host = "nobody"
debug = true
targets = [{{ zhttpreq = "{nobody}" }}]

[[route]]
host = "second"
targets = [{{ zhttpreq = "{nobody}" }}, {{ zhttpreq = "{address}" }}]
"""


class Handler:
    """A REP socket and what it answers, by path: members of a reply, or a function of requests."""

    def __init__(self, address):
        self.replies = {}
        self.requests = []
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.connect(address)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                data = self._socket.recv()
            except zmq.ContextTerminated:
                break
            request = tnetstring.loads(data[1:])
            self.requests.append(request)
            path = "/" + request[b"uri"].split(b"/", 3)[3].decode()
            reply = self.replies.get(path, {b"code": 200, b"body": b"ok"})
            if callable(reply):
                reply = reply(request)
            self._socket.send(b"T" + tnetstring.dumps({b"id": request[b"id"], **reply}))
        self._socket.close()

    def close(self):
        self._context.term()
        self._thread.join()


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zmq")
    return [f"ipc://{folder}/{name}" for name in ("handlers", "nobody")]


@pytest.fixture(scope="module")
def program(start, addresses):
    return start(ROUTES.format(address=addresses[0], nobody=addresses[1]))


@pytest.fixture(scope="module")
def handler(program, addresses):
    with contextlib.closing(Handler(addresses[0])) as handler:
        yield handler


@pytest.fixture(autouse=True)
def _is_there(handler, connect):
    """Come back when the handler takes requests."""
    client = connect()
    for _ in range(10_000):
        client.request("GET", "/there?")
        if client.read_reply().status == 200:
            handler.requests.clear()
            return
    raise AssertionError("the handler is not there")


def ask(connect, path, method="GET", host="test", fields=(), body=None):
    client = connect()
    client.request(method, path, fields, body, host=host)
    return client.read_reply(to=method)


def test_a_request_and_its_response(connect, handler, path):
    handler.replies[path] = {
        b"code": 201,
        b"reason": b"Made",
        b"headers": [[b"X-Own", b"1"], [b"Connection", b"close"]],
        b"body": b"answer",
    }
    reply = ask(connect, path, "POST", fields=[("X-Client", "2")], body=b"question")
    assert (reply.status, reply.reason, reply.body) == (201, "Made", b"answer")
    assert reply.get("x-own") == "1"
    assert reply.get("content-length") == "6"
    [request] = handler.requests
    assert request[b"method"] == b"POST"
    assert request[b"uri"] == b"http://test" + path.encode()
    assert request[b"body"] == b"question"
    assert [b"X-Client", b"2"] in request[b"headers"]
    assert b"Grip-Feature" in [name for name, _ in request[b"headers"]]


def test_a_chunked_body_is_whole(connect, handler, path):
    client = connect()
    client.request("POST", path, [("Transfer-Encoding", "chunked")])
    for part in (b"one,", b"two", b""):
        client.send_chunk(part)
    assert client.read_reply().status == 200
    assert handler.requests[-1][b"body"] == b"one,two"


def test_too_long_a_body_is_refused(connect, path):
    client = connect()
    client.request("POST", path, [("Content-Length", "10000001")])
    with contextlib.suppress(ConnectionError):
        client.send(b"x" * 10_000_001)
    reply = client.read_reply()
    assert (reply.status, reply.body) == (413, b"Body must not exceed 10000000 bytes\n")


@pytest.mark.parametrize(
    ("condition", "status", "text"),
    [
        (b"length-required", 411, b"Must provide Content-Length header.\n"),
        (b"odd", 502, b"zhttp error: odd\n"),
        (b"policy-violation", 502, b"Error: Origin host/IP blocked.\n"),
        (b"connection-timeout", 504, b"Unable to connect to any targets. Tried: zhttpreq/"),
    ],
)
def test_error_replies(connect, handler, path, condition, status, text):
    handler.replies[path] = {b"type": b"error", b"condition": condition}
    reply = ask(connect, path, host="debug")
    assert reply.status == status
    assert reply.body.startswith(text)
    if status != 411:
        assert ask(connect, path).body == b"Error while proxying to origin.\n"


def test_nobody_is_there(connect, path, addresses):
    reply = ask(connect, path, host="nobody")
    assert reply.status == 502
    tried = f"Unable to connect to any targets. Tried: zhttpreq/{addresses[1]}\n"
    assert reply.body == tried.encode()


def test_the_next_target_is_asked(connect, handler, path):
    assert ask(connect, path, "POST", host="second", body=b"kept").body == b"ok"
    assert handler.requests[-1][b"body"] == b"kept"


def test_a_handler_that_is_too_slow(connect, handler, path):
    done = threading.Event()

    def wait(_request):
        done.wait(10)
        return {b"code": 200}

    handler.replies[path] = wait
    reply = ask(connect, path)
    done.set()
    assert reply.status == 504


def test_a_stream_is_held(connect, program, handler, path):
    handler.replies[path] = {
        b"code": 200,
        b"headers": [[b"Grip-Hold", b"stream"], [b"Grip-Channel", path.encode()]],
        b"body": b"open",
    }
    client = connect()
    client.request("GET", path)
    client.read_head()
    assert client.read_chunk() == b"open"
    assert program.publish(path, http_stream={"content": "item"}) == 1
    assert client.read_chunk() == b"item"


def test_a_websocket_needs_over_http(connect, path):
    client = connect()
    WebSocketClient(client).ask(path, host="debug")
    reply = client.read_reply()
    assert (reply.status, reply.body) == (502, b"WebSockets cannot be used with zhttpreq target\n")


def test_a_websocket_over_http(connect, program, handler, path):
    subscribe = json.dumps({"type": "subscribe", "channel": path}).encode()
    handler.replies[path] = {
        b"code": 200,
        b"headers": [
            [b"Content-Type", CONTENT_TYPE.encode()],
            [b"Sec-WebSocket-Extensions", b"grip"],
        ],
        b"body": write_events("OPEN", ("TEXT", b"c:" + subscribe)),
    }
    websocket = WebSocketClient(connect())
    websocket.open(path, host="events")
    program.publish_until_taken(path, ws_message={"content": "item"})
    assert websocket.read().content == b"item"
