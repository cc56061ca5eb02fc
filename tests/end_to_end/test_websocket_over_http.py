"""WebSocket clients whose backend speaks HTTP, through the real program."""

import json
import threading
from socket import SHUT_WR

import pytest
import websockets.sync.client

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, Ending, RawClient
from realtime_proxy.testing.scripted_backend import ScriptedBackend
from realtime_proxy.testing.websocket_client import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    WebSocketClient,
    encode_close,
    encode_frame,
)

SERVER = "max_message_bytes = 300_000"
ROUTES = """
[backend]
idle_seconds = 60

[[route]]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "one"
targets = [{{ url = "{url}", over_http = true, one_event = true }}]

[[route]]
host = "sub"
channel_prefix = "p-"
targets = [{{ url = "{url}", over_http = true, subscribe = ["everyone"] }}]

[[route]]
host = "failover"
targets = [
    {{ url = "http://127.0.0.1:1", over_http = true }},
    {{ url = "{url}" }},
    {{ url = "{other}", over_http = true }},
    {{ url = "{url}", over_http = true }},
]

[[route]]
host = "named"
targets = [{{ url = "{url}", over_http = true, host = "inner.example:8080" }}]

[[route]]
host = "blank"
handlers = ["blank"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "shown"
handlers = ["shown"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "dead"
debug = true
targets = [{{ url = "http://127.0.0.1:1", over_http = true }}]

[[route]]
host = "explained"
debug = true
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "secret"
handlers = ["keys"]
targets = [{{ url = "{url}", over_http = true }}]

[handler.keys]
use = "key_auth"

[[handler.keys.consumers]]
username = "anna"
keys = ["sesame"]
"""
BLANK = """
from realtime_proxy.pipeline import CONTINUE, BaseHandler

class Handler(BaseHandler):
    async def on_request(self, exchange):
        exchange.request.target += b" HTTP/1.1"
        return CONTINUE
"""
SHOWN = """
from realtime_proxy.pipeline import BaseHandler

class Handler(BaseHandler):
    def on_backend_request(self, exchange, request):
        assert request.headers.has(b"connection-id")
"""
GRIP = ("Sec-WebSocket-Extensions", "grip")


class SocketBackend:
    """What a WebSocket-over-HTTP backend says, and the events it was sent.

    `answers` has what is answered to requests after the first, in turn; then nothing but 200.
    """

    def __init__(self, backend, path):
        self.backend = backend
        self.path = path
        self.opening = ["OPEN"]
        self.opening_fields = []
        self.answers = []
        self.requests = []
        self.echoes = False
        self.gate = threading.Event()
        self.gate.set()
        backend.scripts[path] = self.script

    def script(self, call):
        events = read_events(call.body)
        self.requests.append(events)
        if ("OPEN", b"") in events:
            self.respond(call, self.opening, self.opening_fields)
            return
        self.gate.wait(DEADLINE_SECONDS)
        if self.answers:
            answer = self.answers.pop(0)
            if callable(answer):
                answer(call)
            else:
                self.respond(call, answer)
        else:
            kinds = ("TEXT", "BINARY", "CLOSE")
            echo = [event for event in events if event[0] in kinds] if self.echoes else []
            self.respond(call, [event if event[1] else event[0] for event in echo])

    def respond(self, call, events, fields=()):
        body = write_events(*events)
        call.respond(fields=[("Content-Type", CONTENT_TYPE), *fields], body=body)

    def wait_for_events(self, count):
        """All events so far, once there are so many (OPEN is the first)."""
        calls = 0
        while True:
            calls += 1
            self.backend.wait_for(self.path, calls).wait_until_answered()
            events = [event for request in self.requests for event in request]
            if len(events) >= count:
                return events


@pytest.fixture(scope="module")
def other():
    with ScriptedBackend() as backend:
        yield backend


@pytest.fixture(scope="module")
def program(start, backend, other):
    routes = ROUTES.format(url=backend.url, other=other.url)
    return start(routes, server=SERVER, handlers=[("blank", BLANK), ("shown", SHOWN)])


@pytest.fixture
def socket_backend(backend, path):
    return SocketBackend(backend, path)


def control(kind, **members):
    return ("TEXT", b"c:" + json.dumps({"type": kind, **members}).encode())


def text(content):
    return ("TEXT", b"m:" + content)


# -- opening -------------------------------------------------------------------------------------


@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket", "WEBSOCKET"])
@pytest.mark.usefixtures("socket_backend")
def test_upgrade_in_any_case(websocket, path, upgrade):
    assert websocket().open(path, upgrade=upgrade).get("upgrade") == "websocket"


def test_request_that_opens(websocket, backend, socket_backend, path):
    socket_backend.opening_fields = [("Sec-WebSocket-Protocol", "chat"), ("X-Own", "1")]
    fields = [("Sec-WebSocket-Protocol", "chat, x"), ("Cookie", "a=b"), ("Meta-Evil", "1")]
    reply = websocket().open(path, fields)
    assert (reply.get("sec-websocket-protocol"), reply.get("x-own")) == ("chat", "1")
    assert reply.get("content-type") is reply.get("content-length") is None
    call = backend.wait_for(path)
    assert (call.method, call.body) == ("POST", b"OPEN\r\n")
    assert call.get("content-type") == call.get("accept") == CONTENT_TYPE
    assert (call.get("cookie"), call.get("meta-evil")) == ("a=b", None)
    assert call.get("sec-websocket-extensions") == "grip"
    assert call.get("upgrade") is call.get("connection") is None


def test_what_is_not_accepted_is_told_to_be_sent_again(websocket, backend, socket_backend, path):
    socket_backend.answers = [
        lambda call: socket_backend.respond(call, [], [("Content-Bytes-Accepted", "1")])
    ]
    socket = websocket()
    socket.open(path, [("Content-Bytes-Replayed", "9")])
    socket.send(TEXT, b"abc")
    backend.wait_for(path, 2).wait_until_answered()
    socket.send(TEXT, b"d")
    call = backend.wait_for(path, 3)
    assert read_events(call.body) == [("TEXT", b"bc"), ("TEXT", b"d")]
    told = [call.get_all("content-bytes-replayed") for call in backend.calls_to(path)]
    assert told == [[], [], ["2"]]


@pytest.mark.parametrize(("host", "told"), [("test", "test"), ("named", "inner.example:8080")])
def test_every_request_has_the_same_head(websocket, backend, socket_backend, path, host, told):
    own = ("Grip-Sig", "Grip-Feature", "Connection-Id", "Connection_Id", "Meta-A", "meta_a")
    forged = [(name, "forged") for name in own]  # underscores: as CGI and WSGI read them
    socket = websocket()
    fields = [("Cookie", "a=b"), ("X-Forwarded-For", "1.2.3.4"), *forged]
    socket.open(f"{path}?room=1", fields, host=host)
    for _ in range(3):
        socket.send(TEXT, b"x")
        socket.send(PING)
    socket.client.close()
    assert socket_backend.wait_for_events(8)[-1] == ("DISCONNECT", b"")
    heads = set()
    for call in backend.calls_to(path):
        fields = [field for field in call.fields if field[0] != "content-length"]
        heads.add((call.method, call.target, tuple(fields)))
        assert call.get_all("content-length") == [str(len(call.body))]
    [(_, _, fields)] = heads
    assert fields[0] == ("host", told)
    names = [name for name, _ in fields]
    assert sorted(names) == sorted(set(names))
    assert "forged" not in dict(fields).values()
    assert "link:next" in dict(fields)["grip-feature"]


def test_requests_are_the_same_if_handlers_are_shown_them(websocket, backend, socket_backend, path):
    socket_backend.opening_fields = [("Set-Meta-User", "anna")]
    own = {"host", "connection-id", "sec-websocket-key"}
    for host in ("test", "shown"):
        socket = websocket()
        socket.open(path, [("Cookie", "a=b"), ("Meta-User", "forged")], host=host)
        socket.send(TEXT, b"x")
        socket_backend.wait_for_events(2 if host == "test" else 4)
    told = [sorted(f for f in call.fields if f[0] not in own) for call in backend.calls_to(path)]
    assert told[:2] == told[2:]
    assert ("meta-user", "anna") in told[1]


def test_no_request_line_is_made_of_a_target_with_blanks(websocket, backend, path):
    socket = websocket()
    socket.ask(path, host="blank")
    assert socket.client.read_reply().status == 400
    assert not backend.calls_to(path)


@pytest.mark.parametrize(
    ("status", "body"), [(403, b"no"), (200, b"plain"), (302, b""), (500, b"x")]
)
def test_refusal_reaches_the_client(websocket, backend, path, status, body):
    fields = [("X-Why", "because"), ("Location", "/x"), ("Set-Cookie", "a=b")]
    backend.scripts[path] = lambda call: call.respond(status, fields, body, reason="Such is life")
    socket = websocket()
    for _ in range(2):  # and the connection can be used again
        socket.ask(path)
        reply = socket.client.read_reply()
        assert (reply.status, reply.reason, reply.body) == (status, "Such is life", body)
        assert (reply.get("x-why"), reply.get("set-cookie")) == ("because", "a=b")


def test_large_refusal(websocket, backend, path):
    backend.scripts[path] = lambda call: call.respond(403, body=b"x" * 500_000)
    socket = websocket()
    socket.ask(path)
    assert len(socket.client.read_reply().body) == 500_000


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense",
        b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: 9\r\n\r\nOPEN"
        % CONTENT_TYPE.encode(),
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
)
def test_backend_that_fails_to_open(websocket, backend, path, answer):
    def script(call):
        assert call.body == b"OPEN\r\n"
        call.send(answer)
        call.close()

    backend.scripts[path] = script
    socket = websocket()
    socket.ask(path)
    reply = socket.client.read_reply()
    assert (reply.status, reply.body) == (502, b"Error while proxying to origin.\n")
    assert reply.get("content-type") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"Connection": "close"},
        {"Sec-WebSocket-Key": "short"},
        {"Sec-WebSocket-Version": "8"},
        {"Content-Length": "1"},
    ],
)
def test_upgrade_that_is_not_valid(connect, backend, path, fields):
    usual = {
        "Upgrade": "websocket",
        "Connection": "upgrade",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
    }
    client = connect()
    client.request(
        "GET", path, (usual | fields).items(), b"x" if "Content-Length" in fields else None
    )
    reply = client.read_reply()
    assert reply.status == 400
    assert b"not a valid WebSocket request" in reply.body
    assert not backend.calls_to(path)


def test_opening_fails_over_to_targets_that_take_events(websocket, backend, other, path):
    there = SocketBackend(other, path)
    here = SocketBackend(backend, path)
    socket = websocket()
    socket.open(path, host="failover")
    socket.send(TEXT, b"x")
    assert there.wait_for_events(2) == [("OPEN", b""), ("TEXT", b"x")]
    assert here.requests == []


def test_no_target_is_there(websocket, path):
    socket = websocket()
    socket.ask(path, host="dead")
    reply = socket.client.read_reply()
    text = b"Unable to connect to any targets. Tried: 127.0.0.1:1\n"
    assert (reply.status, reply.body) == (502, text)


# -- keys ----------------------------------------------------------------------------------------


def test_key_refused_before_the_upgrade(websocket, backend, path):
    socket = websocket()
    socket.ask(path, [("apikey", "wrong")], host="secret")
    reply = socket.client.read_reply()
    assert reply.status in (401, 403)
    assert reply.body
    assert not backend.calls_to(path)


@pytest.mark.usefixtures("socket_backend")
def test_consumer_goes_with_every_event(websocket, backend, path):
    socket = websocket()
    socket.open(path, [("apikey", "sesame"), ("X-Consumer-Username", "root")], host="secret")
    socket.send(TEXT, b"x")
    for number in (1, 2):
        assert backend.wait_for(path, number).get_all("x-consumer-username") == ["anna"]


# -- messages ------------------------------------------------------------------------------------


def test_frames_sent_before_the_answer(websocket, socket_backend, path):
    socket_backend.opening = ["OPEN", ("TEXT", b"welcome")]
    socket_backend.echoes = True
    socket = websocket()
    early = (
        encode_frame(TEXT, b"one") + encode_frame(BINARY, b"two") + encode_frame(TEXT, b"thr")[:5]
    )
    socket.ask(path, early=early)
    assert socket.client.read_head().status == 101
    socket.client.send(encode_frame(TEXT, b"thr")[5:])
    assert [socket.read().content for _ in range(4)] == [b"welcome", b"one", b"two", b"thr"]


def test_early_close_frame(websocket, socket_backend, path):
    socket = websocket()
    socket.ask(path, early=encode_close(4000, "changed my mind"))
    assert socket.client.read_head().status == 101
    assert socket.read().close_code == 4000
    assert socket_backend.wait_for_events(2)[1] == ("CLOSE", b"\x0f\xa0changed my mind")


def test_messages_are_batched_while_a_request_is_out(websocket, socket_backend, path):
    socket = websocket()
    socket.open(path)
    frames = [(TEXT, b"1"), (BINARY, b"\x00\xff"), (PING, b"p"), (PONG, b"q"), (TEXT, b"")]
    # In one piece, so that all of them are there when the first has become a request.
    data = b"".join(encode_frame(opcode, content) for opcode, content in [(TEXT, b"0"), *frames])
    socket.client.send(data + encode_close(1000))
    assert socket.read().close_code == 1000
    assert socket_backend.requests[1:] == [
        [("TEXT", b"0")],
        [
            ("TEXT", b"1"),
            ("BINARY", b"\x00\xff"),
            ("PING", b"p"),
            ("PONG", b"q"),
            ("TEXT", b""),
            ("CLOSE", b"\x03\xe8"),
        ],
    ]


def test_one_event_in_a_request(websocket, socket_backend, path):
    socket = websocket()
    socket.open(path, host="one")
    socket_backend.gate.clear()
    for content in (b"0", b"", b"2"):
        socket.send(TEXT, content)
    socket.send_close()
    socket_backend.gate.set()
    assert socket.read().opcode == CLOSE
    assert [len(request) for request in socket_backend.requests] == [1] * 5


def test_fragments_with_a_ping_between(websocket, socket_backend, path):
    socket = websocket()
    socket.open(path)
    socket_backend.gate.clear()
    socket.client.send(
        encode_frame(TEXT, b"he", final=False)
        + encode_frame(PING, b"now")
        + encode_frame(0, b"ll", final=False)
        + encode_frame(0, b"o")
    )
    socket_backend.gate.set()
    assert socket_backend.wait_for_events(3)[1:] == [("PING", b"now"), ("TEXT", b"hello")]


def test_payloads_of_pings_both_ways(websocket, socket_backend, path):
    socket_backend.opening_fields = [GRIP]
    socket_backend.answers = [[("PONG", b"payload"), ("PING", b"\xff"), "PING"]]
    socket = websocket()
    socket.open(path)
    socket.send(PING, b"payload")
    assert (frame := socket.read()).opcode == PONG
    assert frame.content == b"payload"
    assert [socket.read().content for _ in range(2)] == [b"\xff", b""]


def test_client_library(program, socket_backend, path):
    """A whole conversation with a client that others have written."""
    socket_backend.echoes = True
    uri = f"ws://127.0.0.1:{program.port}{path}"
    with websockets.sync.client.connect(uri, max_size=None, ping_interval=None) as client:
        for message in ("héllo", b"\x00\xff", "", "x" * 70_000, b"y" * 250_000, ["a", "b"]):
            client.send(message)
            expected = "".join(message) if isinstance(message, list) else message
            assert client.recv(timeout=DEADLINE_SECONDS) == expected
        client.close(4000, "done")
    assert (client.close_code, client.close_reason) == (4000, "done")


@pytest.mark.parametrize("size", [125, 126, 65_535, 65_536, 300_000])
def test_message_sizes(websocket, socket_backend, path, size):
    socket_backend.echoes = True
    socket = websocket()
    socket.open(path)
    for opcode in (TEXT, BINARY):
        socket.send(opcode, b"x" * size)
        frame = socket.read()
        assert (frame.opcode, frame.content) == (opcode, b"x" * size)


@pytest.mark.parametrize(
    ("code", "data"),
    [
        (1009, encode_frame(BINARY, b"x" * 300_001)),
        (1009, encode_frame(BINARY, b"x" * 200_000, final=False) + encode_frame(0, b"x" * 100_001)),
        (1009, b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"),
        (1007, encode_frame(TEXT, b"\xff\xfe")),
        (1007, encode_frame(TEXT, b"\xc3", final=False) + encode_frame(0, b"\x28")),
        (1007, encode_frame(CLOSE, b"\x03\xe8\xff")),
        (1002, encode_frame(TEXT, b"a", reserved=4)),
        (1002, encode_frame(3, b"a")),
        (1002, encode_frame(PING, b"x" * 126)),
        (1002, encode_frame(PING, b"a", final=False)),
        (1002, encode_frame(0, b"a")),
        (1002, encode_frame(TEXT, b"a", final=False) + encode_frame(TEXT, b"b")),
        (1002, encode_frame(TEXT, b"a", masked=False)),
        (1002, encode_frame(CLOSE, b"\x03")),
        (1002, encode_close(1005)),
        (1002, encode_close(999)),
    ],
    ids=lambda value: value[:8].hex() if isinstance(value, bytes) else None,
)
def test_client_that_breaks_the_protocol(websocket, socket_backend, path, code, data):
    socket = websocket()
    socket.open(path)
    socket.client.send(data)
    frame = socket.read()
    assert (frame.opcode, frame.close_code) == (CLOSE, code)
    assert socket.client.wait_for_end() is Ending.CLOSED
    assert socket_backend.wait_for_events(2) == [("OPEN", b""), ("DISCONNECT", b"")]


# -- closing -------------------------------------------------------------------------------------


def test_close_of_the_client(websocket, socket_backend, path):
    socket_backend.echoes = True
    socket = websocket()
    socket.open(path)
    socket.send_close(4321, "bye")
    frame = socket.read()
    assert (frame.close_code, frame.close_reason) == (4321, "bye")
    assert socket.client.wait_for_end() is Ending.CLOSED
    assert socket_backend.requests == [[("OPEN", b"")], [("CLOSE", b"\x10\xe1bye")]]


def test_close_that_the_backend_leaves_unanswered(websocket, path, socket_backend):
    socket = websocket()
    socket.open(path)
    socket.send_close()
    assert socket.read().content == b""
    assert socket.client.wait_for_end() is Ending.CLOSED
    assert len(socket_backend.requests) == 2


@pytest.mark.parametrize(
    ("content", "frame"),
    [
        (b"\x03\xe8", b"\x03\xe8"),
        (b"\x0f\xa0why", b"\x0f\xa0why"),
        (b"\x00\x00", b""),
        (b"", b""),
        (b"\x03\xed", b""),
        (b"\x0f\xa0" + b"y" * 300, b"\x0f\xa0" + b"y" * 123),
    ],
)
def test_close_of_the_backend(websocket, socket_backend, path, content, frame):
    socket_backend.answers = [[("TEXT", b"last"), ("CLOSE", content), ("TEXT", b"never")]]
    socket = websocket()
    socket.open(path)
    socket.send(TEXT, b"x")
    assert socket.read().content == b"last"
    assert socket.read().content == frame
    socket.send_close(1000)
    assert socket.client.wait_for_end() is Ending.CLOSED
    assert socket_backend.wait_for_events(3)[2:] == [("CLOSE", b"\x03\xe8")]


def test_close_in_the_answer_that_opens(websocket, socket_backend, path):
    socket_backend.opening = ["OPEN", ("CLOSE", b"\x0f\xa0")]
    socket = websocket()
    socket.open(path)
    assert socket.read().close_code == 4000
    socket.send_close(4000)
    assert socket.client.wait_for_end() is Ending.CLOSED
    assert socket_backend.wait_for_events(2)[1:] == [("CLOSE", b"\x0f\xa0")]


def test_disconnect_of_the_backend(websocket, socket_backend, path):
    socket_backend.answers = [[("TEXT", b"last"), "DISCONNECT"]]
    socket = websocket()
    socket.open(path)
    socket.send(TEXT, b"x")
    assert socket.read().content == b"last"
    assert socket.client.wait_for_end() is Ending.CLOSED  # no close frame
    assert len(socket_backend.requests) == 2


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_client_that_leaves(websocket, socket_backend, path, leave):
    """What it sent before comes first, then one DISCONNECT."""
    socket = websocket()
    socket.open(path)
    socket_backend.gate.clear()
    socket.send(TEXT, b"1")
    socket_backend.backend.wait_for(path, 2)
    if leave == "close":
        socket.send(TEXT, b"2")
    getattr(socket.client, leave)()
    socket_backend.gate.set()
    expected = [("OPEN", b""), ("TEXT", b"1"), ("TEXT", b"2"), ("DISCONNECT", b"")]
    if leave == "reset":
        del expected[2]
    assert socket_backend.wait_for_events(len(expected)) == expected


def test_client_that_leaves_before_it_is_accepted(websocket, backend, path):
    seen = []
    go_on = threading.Event()

    def script(call):
        seen.append(read_events(call.body))
        if len(seen) == 1:
            go_on.wait(DEADLINE_SECONDS)
        events = write_events("OPEN") if len(seen) == 1 else b""
        call.respond(fields=[("Content-Type", CONTENT_TYPE)], body=events)

    backend.scripts[path] = script
    socket = websocket()
    socket.ask(path)
    backend.wait_for(path)
    socket.client.close()
    go_on.set()
    backend.wait_for(path, 2).wait_until_answered()
    assert seen == [[("OPEN", b"")], [("DISCONNECT", b"")]]


# -- backends that fail later --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason", "answer"),
    [
        (1008, "backend answered 403", lambda call: call.respond(403)),
        (1008, "backend answered 429", lambda call: call.respond(429, body=b"slow down")),
        (1011, "backend answered 500", lambda call: call.respond(500)),
        (1011, "backend answered 200", lambda call: call.respond(200, body=b"text")),
        (1011, "backend failed", lambda call: call.close()),
        (1011, "backend failed", lambda call: call.cut()),
        (1011, "backend failed", lambda call: call.send(b"nonsense\r\n\r\n")),
        (
            1011,
            "backend failed",
            lambda call: call.respond(fields=[("Content-Type", CONTENT_TYPE)], body=b"TEXT 9\r\nx"),
        ),
    ],
    ids=["403", "429", "500", "no events", "closed", "cut", "no HTTP", "half an event"],
)
def test_event_that_the_backend_refuses(websocket, socket_backend, path, code, reason, answer):
    socket_backend.answers = [answer]
    socket = websocket()
    socket.open(path)
    socket.send(TEXT, b"x")
    frame = socket.read()
    assert (frame.opcode, frame.close_code, frame.close_reason) == (CLOSE, code, reason)
    socket.send_close(code)
    assert socket.client.wait_for_end() is Ending.CLOSED
    assert socket_backend.wait_for_events(2) == [("OPEN", b""), ("TEXT", b"x")]


@pytest.mark.parametrize(
    ("problem", "answer"),
    [
        ("connection closed without a response", lambda call: call.close()),
        (
            "Failed to parse accept instructions: malformed WebSocket event at byte 0",
            lambda call: call.respond(fields=[("Content-Type", CONTENT_TYPE)], body=b"nonsense"),
        ),
    ],
    ids=["lost", "nonsense"],
)
def test_debug_says_why_a_backend_failed(websocket, socket_backend, backend, path, problem, answer):
    socket_backend.answers = [answer]
    socket = websocket()
    socket.open(path, host="explained")
    socket.send(TEXT, b"x")
    frame = socket.read()
    assert (frame.close_code, frame.close_reason) == (1011, problem)
    backend.scripts[path] = answer
    socket = websocket()
    socket.ask(path, host="explained")
    reply = socket.client.read_reply()
    assert (reply.status, reply.body) == (502, f"{problem}\n".encode())
    assert (reply.get("content-type"), reply.get("x-debug-route")) == (None, "explained,*,*,*")
    assert reply.get("x-debug-target") == f"127.0.0.1:{backend.port}"


def test_event_is_never_sent_twice(websocket, socket_backend, path):
    """Not even when a kept connection breaks, where a GET would be sent again."""
    connections = []

    def answer(call):
        connections.append(call.connection_number)
        call.close()

    socket_backend.answers = [["OPEN"][:0], answer]
    socket = websocket()
    socket.open(path)
    socket.send(TEXT, b"1")
    socket_backend.wait_for_events(2)
    socket.send(TEXT, b"2")
    assert socket.read().close_code == 1011
    first = socket_backend.backend.wait_for(path).connection_number
    assert connections == [first], "the connection was not one that was kept"
    assert socket_backend.wait_for_events(3) == [("OPEN", b""), ("TEXT", b"1"), ("TEXT", b"2")]


@pytest.mark.slow
def test_backend_that_restarts(websocket, start, path):
    """While it is away its clients stay; what they send, and that one left, is told it later."""
    with ScriptedBackend() as backend:
        program = start(f'[[route]]\ntargets = [{{ url = "{backend.url}", over_http = true }}]\n')
        SocketBackend(backend, path)
        staying, leaving = (WebSocketClient(RawClient(program.address)) for _ in range(2))
        for socket in (staying, leaving):
            socket.open(path)
    backend.wait_until_closed()
    for socket in (staying, leaving):
        socket.send(TEXT, b"1")
    program.wait_for_log("backend unreachable.*\n(.*\n)*.*backend unreachable")
    staying.send(TEXT, b"2")
    leaving.client.close()
    with ScriptedBackend(port=backend.port) as restarted:
        there = SocketBackend(restarted, path)
        there.echoes = True
        assert [staying.read().content for _ in range(2)] == [b"1", b"2"]
        events = there.wait_for_events(4)
        staying.client.close()
    assert sorted(events) == sorted([("TEXT", b"1")] * 2 + [("TEXT", b"2"), ("DISCONNECT", b"")])


# -- publishing and control ----------------------------------------------------------------------


def test_published_messages(websocket, program, socket_backend, path):
    socket_backend.opening_fields = [GRIP]
    socket_backend.opening = ["OPEN", control("subscribe", channel=path), text(b"ready")]
    socket = websocket()
    socket.open(path)
    assert socket.read().content == b"ready"
    assert program.publish(path, ws_message={"content": "hello"}) == 1
    assert program.publish(path, ws_message={"type": "ping"}) == 1
    assert program.publish(path, ws_message={"content-bin": "AP8="}) == 1
    frames = [socket.read() for _ in range(3)]
    assert [(frame.opcode, frame.content) for frame in frames] == [
        (TEXT, b"hello"),
        (PING, b""),
        (BINARY, b"\x00\xff"),
    ]


def test_large_published_message_to_a_slow_client(websocket, program, socket_backend, path):
    socket_backend.opening_fields = [GRIP]
    socket_backend.opening = ["OPEN", control("subscribe", channel=path)]
    socket = websocket(receive_buffer_bytes=4096)
    socket.open(path)
    for number in range(4):
        program.publish_until_taken(path, ws_message={"content": f"{number}" * 400_000})
    for number in range(4):
        assert socket.read().content == b"%d" % number * 400_000


def test_published_close(websocket, program, socket_backend, path):
    socket_backend.opening_fields = [GRIP]
    socket_backend.opening = ["OPEN", control("subscribe", channel=path)]
    socket = websocket()
    socket.open(path)
    close = {"action": "close", "code": 4000, "reason": "over"}
    program.publish_until_taken(path, ws_message=close)
    frame = socket.read()
    assert (frame.close_code, frame.close_reason) == (4000, "over")
    assert program.publish(path, ws_message={"content": "late"}) == 0
    socket.send_close(4000)
    assert socket.client.wait_for_end() is Ending.CLOSED
    assert socket_backend.wait_for_events(2)[1:] == [("CLOSE", b"")]


@pytest.mark.parametrize("status", [200, 500])
def test_detached_client_stays(websocket, program, socket_backend, path, status):
    socket_backend.opening_fields = [GRIP]
    socket_backend.opening = ["OPEN", control("subscribe", channel=path), control("detach")]
    socket_backend.answers = [lambda call: call.respond(status, [("Content-Type", CONTENT_TYPE)])]
    socket = websocket()
    socket.open(path)
    assert socket_backend.wait_for_events(2)[1:] == [("CLOSE", b"")]
    socket.send(TEXT, b"nobody's")
    program.publish_until_taken(path, ws_message={"content": "still here"})
    assert socket.read().content == b"still here"
    socket.send_close(4000, "bye")
    assert socket.read().content == b"\x0f\xa0bye"
    assert socket.client.wait_for_end() is Ending.CLOSED
    assert len(socket_backend.requests) == 2


def test_prefix_of_the_route_and_channels_of_the_target(websocket, program, socket_backend, path):
    socket_backend.opening_fields = [GRIP]
    socket_backend.opening = [
        "OPEN",
        control("subscribe", channel=path),
        control("unsubscribe", channel="everyone"),
    ]
    socket = websocket()
    socket.open(path, host="sub")
    program.publish_until_taken(f"p-{path}", ws_message={"content": "one"})
    assert program.publish(path, ws_message={"content": "never"}) == 0
    assert program.publish("everyone", ws_message={"content": "two"}) == 1
    assert [socket.read().content for _ in range(2)] == [b"one", b"two"]


def test_unsubscribed(websocket, program, socket_backend, path):
    socket_backend.opening_fields = [GRIP]
    socket_backend.opening = ["OPEN", control("subscribe", channel=path)]
    socket_backend.answers = [[control("unsubscribe", channel=path), text(b"done")]]
    socket = websocket()
    socket.open(path)
    socket.send(TEXT, b"x")
    assert socket.read().content == b"done"
    assert program.publish(path, ws_message={"content": "never"}) == 0


def test_client_that_leaves_is_unsubscribed(websocket, program, socket_backend, path):
    socket_backend.opening_fields = [GRIP]
    socket_backend.opening = ["OPEN", control("subscribe", channel=path)]
    socket = websocket()
    socket.open(path)
    socket.client.close()
    program.wait_for_no_subscribers(path)
    assert socket_backend.wait_for_events(2)[1:] == [("DISCONNECT", b"")]


def test_meta_goes_with_every_request(websocket, backend, socket_backend, path):
    socket_backend.opening_fields = [("Set-Meta-User", "anna"), ("Set-Meta-Room", "1")]
    socket_backend.answers = [
        lambda call: socket_backend.respond(call, [text(b"")], [("set-meta-room", "")]),
    ]
    socket = websocket()
    reply = socket.open(path)
    assert not [name for name, _ in reply.fields if "meta" in name]
    for number in (2, 3):
        socket.send(TEXT, b"x")
        backend.wait_for(path, number).wait_until_answered()
    calls = backend.calls_to(path)
    meta = [(call.get("meta-user"), call.get("meta-room")) for call in calls]
    assert meta == [(None, None), ("anna", "1"), ("anna", None)]


def test_keep_alive_message(websocket, socket_backend, path):
    socket_backend.opening_fields = [GRIP]
    socket_backend.opening = [
        "OPEN",
        control("keep-alive", **{"content-bin": "aGk=", "message-type": "ping", "timeout": 1}),
    ]
    socket = websocket()
    socket.open(path)
    for _ in range(2):
        frame = socket.read()
        assert (frame.opcode, frame.content) == (PING, b"hi")
    assert len(socket_backend.requests) == 1


# -- clients that flood --------------------------------------------------------------------------


def serve_others(websocket):
    for _ in range(100):
        socket = websocket()
        socket.ask("/refused")
        assert socket.client.read_reply().status == 200


@pytest.mark.parametrize(("count", "size"), [(300, 100_000), (200_000, 0), (20, 300_000)])
def test_flood_is_held_back(websocket, program, socket_backend, path, count, size):
    """While the backend is slow only so much is read; everything arrives, in order."""
    socket = websocket()
    socket.open(path)
    socket_backend.gate.clear()
    program.forget_peak()
    before = program.memory_bytes
    sent = threading.Event()

    def flood():
        filler = b"x" * size
        for number in range(count):
            content = b"%08d" % number + filler if size else b""
            socket.send(BINARY, content[: max(size, 0)])
        sent.set()

    thread = threading.Thread(target=flood)
    thread.start()
    socket_backend.backend.wait_for(path, 2)
    serve_others(websocket)  # which also gives the flood time to go on
    assert not sent.is_set() or count * size < 10_000_000
    socket_backend.gate.set()
    events = socket_backend.wait_for_events(count + 1)
    thread.join()
    assert program.peak_memory_bytes - before < 30_000_000
    assert len(events) == count + 1
    if size:
        assert [int(content[:8]) for _, content in events[1:]] == list(range(count))


def test_answers_to_a_client_that_does_not_read(websocket, program, socket_backend, path):
    """The backend is not asked for more while its client owes the reading of much."""
    socket_backend.answers = [[("BINARY", b"x" * 900_000)] for _ in range(20)]
    socket = websocket(receive_buffer_bytes=4096)
    socket.open(path, host="one")
    program.forget_peak()
    before = program.memory_bytes
    for _ in range(20):
        socket.send(TEXT, b"more")
    serve_others(websocket)
    assert len(socket_backend.requests) < 15
    assert program.peak_memory_bytes - before < 10_000_000
    for _ in range(20):
        assert socket.read().content == b"x" * 900_000


def test_what_a_client_says_before_it_ends_is_read_all_the_same(
    websocket, program, socket_backend, path
):
    """It ends while its backend is so slow that nobody reads it."""
    socket = websocket()
    socket.open(path)
    socket_backend.gate.clear()
    for number in range(30):  # more than waits for a backend, less than the kernel takes
        socket.send(BINARY, b"%08d" % number + b"x" * 10_000)
    socket.client.socket.shutdown(SHUT_WR)
    socket_backend.backend.wait_for(path, 2)
    serve_others(websocket)
    socket_backend.gate.set()
    events = socket_backend.wait_for_events(32)
    assert [int(content[:8]) for _, content in events[1:-1]] == list(range(30))
    assert events[-1][0] == "DISCONNECT"
