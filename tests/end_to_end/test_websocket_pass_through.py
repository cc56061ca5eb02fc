"""WebSocket clients whose backend speaks WebSocket, too, through the real program."""

import contextlib
import json
import queue
import socket
import ssl
import threading

import pytest
import trustme
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import connect as connect_websocket
from websockets.sync.server import serve

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, CutShort
from realtime_proxy.testing.websocket_client import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    encode_close,
    encode_frame,
)
from realtime_proxy.wire.websocket_handshake import token_for

SERVER = "max_message_bytes = 300_000\nmax_backlog_bytes = 400_000"
ROUTES = """
[[route]]
targets = [{{ url = "{origin}" }}]

[[route]]
host = "raw"
targets = [{{ url = "{raw}" }}]

[[route]]
host = "failover"
debug = true
targets = [{{ url = "http://127.0.0.1:1" }}, {{ url = "{origin}" }}]

[[route]]
host = "dead"
debug = true
targets = [{{ url = "http://127.0.0.1:1" }}, {{ url = "http://127.0.0.1:2" }}]

[[route]]
host = "secure"
targets = [{{ url = "{secure}", insecure = true }}]

[[route]]
host = "sub"
channel_prefix = "p-"
targets = [{{ url = "{raw}", subscribe = ["everyone"] }}]

[[route]]
host = "plain"
grip = false
targets = [{{ url = "{raw}" }}]

[[route]]
host = "secret"
handlers = ["keys", "events"]
targets = [{{ url = "{origin}" }}]

[handler.keys]
use = "key_auth"

[[handler.keys.consumers]]
username = "anna"
keys = ["sesame"]

[handler.events]
use = "events"
"""
EVENTS = """
from realtime_proxy.pipeline import BaseHandler, CloseWith, Drop, WebSocketEvent


class Handler(BaseHandler):
    def on_websocket_event(self, exchange, event):
        if event.content == b"drop":
            return Drop.DROP
        if event.content == b"close":
            return CloseWith(4400, "as asked")
        return WebSocketEvent(event.type, event.content.upper())
"""
GRIP = ("Sec-WebSocket-Extensions", "grip")


class Origin:
    """A server of the `websockets` library. Each connection is handed to the test."""

    def __init__(self, tls=None):
        self.accepted = queue.Queue()
        self.release = threading.Event()
        self.server = serve(
            self.handle,
            "127.0.0.1",
            0,
            ssl=tls,
            select_subprotocol=lambda _, offered: offered[0] if offered else None,
            process_request=self.process,
            max_size=None,
            ping_interval=None,
            compression=None,
        )
        self.thread = threading.Thread(target=self.server.serve_forever)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.server.socket.getsockname()[1]}"

    def process(self, connection, request):
        if request.path.startswith("/refuse"):
            response = connection.respond(403, "no")
            response.headers["X-Why"] = "because"
            return response
        if request.path.startswith("/plain"):
            return Response(200, "OK", connection.respond(200, "").headers, b"")
        return None

    def handle(self, connection):
        self.accepted.put(connection)
        self.release.wait()

    def connection(self):
        return self.accepted.get(timeout=DEADLINE_SECONDS)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.thread.join()


@pytest.fixture(scope="module")
def origin():
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def secure_origin():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with Origin(context) as origin:
        yield origin


@pytest.fixture(scope="module")
def program(start, backend, origin, secure_origin):
    routes = ROUTES.format(origin=origin.url, raw=backend.url, secure=secure_origin.url)
    return start(routes, server=SERVER, handlers=[("events", EVENTS)])


@pytest.fixture
def open_client(program):
    with contextlib.ExitStack() as stack:

        def open_one(path="/", host="test", **options):
            connection = connect_websocket(
                f"ws://{host}{path}",
                sock=stack.enter_context(socket.create_connection(program.address)),
                max_size=None,
                ping_interval=None,
                compression=None,
                **options,
            )
            return stack.enter_context(connection)

        yield open_one


@pytest.fixture
def pair(open_client, origin):
    client = open_client()
    return client, origin.connection()


class RawOrigin:
    """A backend whose frames are made by hand; `frames` are those that it got."""

    def __init__(self, backend, path, fields=(GRIP,), accept=None):
        self.fields, self.accept = fields, accept
        self.calls = queue.Queue()
        self.release = threading.Event()
        backend.scripts[path] = self.script

    def script(self, call):
        accept = self.accept or token_for(call.get("sec-websocket-key").encode()).decode()
        fields = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept),
            *self.fields,
        ]
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        call.send(b"HTTP/1.1 101 Switching Protocols\r\n" + lines.encode() + b"\r\n")
        call.keeps_connection = False
        self.calls.put(call)
        self.release.wait(DEADLINE_SECONDS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release.set()


class RawPeer:
    """What such a backend does with one connection."""

    def __init__(self, call):
        self.call = call

    def send(self, opcode, content=b"", *, final=True, masked=False, reserved=0):
        self.call.send(encode_frame(opcode, content, final=final, masked=masked, reserved=reserved))

    def read(self):
        """The next frame: opcode and content."""
        connection = self.call._connection
        first, second = connection.read_exactly(2)
        assert first & 0x80
        assert second & 0x80, "a client must mask"
        size = second & 0x7F
        assert size < 126
        key, mixed = connection.read_exactly(4), connection.read_exactly(size)
        return first & 0x0F, bytes(byte ^ key[at % 4] for at, byte in enumerate(mixed))

    def wait_for_end(self):
        with pytest.raises((EOFError, ConnectionError)):
            self.call._connection.read_exactly(1)


@pytest.fixture
def raw_pair(websocket, backend, path):
    """A client and a backend, both with frames by hand, on the host that is asked for."""
    with contextlib.ExitStack() as stack:

        def open_pair(host="raw", fields=(GRIP,)):
            there = stack.enter_context(RawOrigin(backend, path, fields))
            client = websocket()
            client.open(path, host=host)
            return client, RawPeer(there.calls.get(timeout=DEADLINE_SECONDS))

        yield open_pair


def control(kind, **members):
    return b"c:" + json.dumps({"type": kind, **members}).encode()


def wait_for_end(client):
    with pytest.raises(CutShort):
        client.read()


# -- the handshake -------------------------------------------------------------------------------


def test_handshake(websocket, backend, path):
    with RawOrigin(backend, path, [("Sec-WebSocket-Protocol", "chat"), ("X-Own", "1")]):
        fields = [
            ("Sec-WebSocket-Protocol", "chat, x"),
            ("Cookie", "a=b"),
            ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ]
        reply = websocket().open(f"{path}?a=b", fields, host="raw")
        assert (reply.get("sec-websocket-protocol"), reply.get("x-own")) == ("chat", "1")
        assert reply.get("sec-websocket-extensions") is None
        call = backend.wait_for(path)
    assert call.target == f"{path}?a=b"
    assert (call.method, call.get("cookie"), call.get("host")) == ("GET", "a=b", "raw")
    assert (call.get("upgrade"), call.get("connection")) == ("websocket", "Upgrade")
    assert call.get_all("sec-websocket-version") == ["13"]
    assert len(call.get_all("sec-websocket-key")) == 1
    assert call.get_all("sec-websocket-extensions") == ["grip"]
    assert call.get("grip-feature")


def test_handshake_without_grip(raw_pair, backend, path):
    client, there = raw_pair("plain", fields=())
    call = backend.wait_for(path)
    assert call.get("sec-websocket-extensions") is call.get("grip-feature") is None
    there.send(TEXT, b"c:x")
    assert client.read().content == b"c:x"


@pytest.mark.parametrize("host", ["test", "failover", "secure"])
def test_targets(open_client, origin, secure_origin, host):
    client = open_client(host=host, subprotocols=["chat"])
    there = (secure_origin if host == "secure" else origin).connection()
    assert client.subprotocol == there.subprotocol == "chat"
    for message in ("ä", b"\x00\xff" * 40_000, "", b""):
        client.send(message)
        assert there.recv(DEADLINE_SECONDS) == message
        there.send(message)
        assert client.recv(DEADLINE_SECONDS) == message


def test_refusal_reaches_the_client(open_client):
    with pytest.raises(InvalidStatus) as refused:
        open_client("/refuse")
    response = refused.value.response
    assert (response.status_code, response.body) == (403, b"no")
    assert response.headers["X-Why"] == "because"


def test_connection_of_a_refusal_is_used_again(websocket, backend, path):
    backend.scripts[path] = lambda call: call.respond(401, [("X-Why", "because")], b"who?")
    client = websocket()
    for _ in range(2):
        client.ask(path, host="raw")
        reply = client.client.read_reply()
        assert (reply.status, reply.get("x-why"), reply.body) == (401, "because", b"who?")


def test_refusal_that_is_too_large(websocket, backend, path):
    backend.scripts[path] = lambda call: call.respond(401, body=bytes(1_000_001))
    client = websocket()
    client.ask(path, host="raw")
    reply = client.client.read_reply()
    assert reply.status == 500
    assert b"exceeded limit of 1000000 bytes" in reply.body


def test_no_target_can_be_reached(websocket, path):
    client = websocket()
    client.ask(path, host="dead")
    reply = client.client.read_reply()
    assert reply.status == 502
    assert b"Tried: 127.0.0.1:1, 127.0.0.1:2" in reply.body


@pytest.mark.parametrize(
    ("accept", "fields"),
    [("wrong", []), (None, [("Sec-WebSocket-Extensions", "grip, permessage-deflate")])],
)
def test_backend_that_accepts_what_was_not_asked_for(websocket, backend, path, accept, fields):
    with RawOrigin(backend, path, fields, accept):
        client = websocket()
        client.ask(path, host="raw")
        assert client.client.read_reply().status == 502


def test_client_that_leaves_during_the_handshake(websocket, backend, path):
    asked, ended = threading.Event(), threading.Event()

    def script(call):
        asked.set()
        call.hang()
        ended.set()

    backend.scripts[path] = script
    client = websocket()
    client.ask(path, host="raw")
    assert asked.wait(DEADLINE_SECONDS)
    client.client.close()
    assert ended.wait(DEADLINE_SECONDS)


def test_frames_right_behind_the_upgrade(websocket, backend, path):
    with RawOrigin(backend, path) as there:
        client = websocket()
        client.ask(path, host="raw", early=encode_frame(TEXT, b"1") + encode_frame(TEXT, b"2"))
        peer = RawPeer(there.calls.get(timeout=DEADLINE_SECONDS))
        assert [peer.read(), peer.read()] == [(TEXT, b"1"), (TEXT, b"2")]


def test_frames_right_behind_the_answer(websocket, backend, path):
    def script(call):
        accept = token_for(call.get("sec-websocket-key").encode())
        head = (
            b"HTTP/1.1 101 Hello\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        call.send(head + encode_frame(TEXT, b"1", masked=False) + b"\x81")
        call.send(b"\x012")
        call.hang()

    backend.scripts[path] = script
    client = websocket()
    client.open(path, host="raw")
    assert [client.read().content, client.read().content] == [b"1", b"2"]


# -- messages ------------------------------------------------------------------------------------


def test_fragments_and_pings(pair):
    client, there = pair
    client.send(iter(["ab", "", "cd"]))
    assert there.recv(DEADLINE_SECONDS) == "abcd"
    there.send(iter([b"12", b"34"]))
    assert client.recv(DEADLINE_SECONDS) == b"1234"


@pytest.mark.parametrize("content", [b"", b"p" * 125])
def test_pings_and_pongs_pass_with_their_content(raw_pair, content):
    client, there = raw_pair()
    for opcode in (PING, PONG):
        client.send(opcode, content)
        assert there.read() == (opcode, content)
        there.send(opcode, content)
        frame = client.read()
        assert (frame.opcode, frame.content) == (opcode, content)


def test_control_frame_between_fragments(raw_pair):
    client, there = raw_pair(fields=())
    there.send(TEXT, b"a", final=False)
    there.send(PING, b"p")
    there.send(0, b"b")
    frames = [client.read(), client.read()]
    assert [(frame.opcode, frame.content) for frame in frames] == [(PING, b"p"), (TEXT, b"ab")]


def test_order_in_both_directions_at_once(pair):
    client, there = pair
    messages = [f"{number}" * (number % 50) for number in range(2_000)]

    def talk():
        for message in messages:
            there.send(message)

    talking = threading.Thread(target=talk)
    talking.start()
    for message in messages:
        client.send(message)
    assert [client.recv(DEADLINE_SECONDS) for _ in messages] == messages
    assert [there.recv(DEADLINE_SECONDS) for _ in messages] == messages
    talking.join()


@pytest.mark.parametrize("from_client", [True, False])
def test_a_side_that_does_not_read_holds_the_other_up(program, raw_pair, path, from_client):
    """Much more than may wait for anybody comes through whole, and does not wait in the proxy."""
    client, there = raw_pair(fields=())
    content, count = bytes(200_000), 100
    send = client.send if from_client else there.send
    before = program.memory_bytes
    talking = threading.Thread(
        target=lambda: [send(BINARY, content + b"%03d" % n) for n in range(count)]
    )
    talking.start()
    talking.join(0.5)  # the other side reads nothing: without a limit all would be here by now
    assert talking.is_alive()
    assert program.memory_bytes - before < 10_000_000
    if from_client:
        connection = there.call._connection
        for number in range(count):
            header = connection.read_exactly(14)
            key, mixed = header[10:], connection.read_exactly(len(content) + 3)
            last = bytes(mixed[at] ^ key[at % 4] for at in range(len(content), len(content) + 3))
            assert last == b"%03d" % number
    else:
        for number in range(count):
            assert client.read().content[-3:] == b"%03d" % number
    talking.join()


# -- closing -------------------------------------------------------------------------------------


def test_client_closes(pair):
    client, there = pair
    client.close(3001, "client done")
    with pytest.raises(ConnectionClosed) as closed:
        there.recv(DEADLINE_SECONDS)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (3001, "client done")


def test_backend_closes(pair):
    client, there = pair
    there.send("last")
    there.close(4001, "backend done")
    assert client.recv(DEADLINE_SECONDS) == "last"
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(DEADLINE_SECONDS)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "backend done")


def test_close_without_a_code_both_ways(raw_pair):
    client, there = raw_pair()
    client.send_close()
    assert there.read() == (CLOSE, b"")
    there.send(CLOSE)
    assert client.read().content == b""
    wait_for_end(client)
    there.wait_for_end()


def test_backend_that_ends_without_answering_a_close(raw_pair):
    client, there = raw_pair()
    client.send_close(3001, "done")
    assert there.read()[0] == CLOSE
    there.call.close()
    frame = client.read()
    assert (frame.close_code, frame.close_reason) == (3001, "done")


def test_lost_backend(raw_pair):
    client, there = raw_pair()
    there.send(TEXT, b"m:last")
    there.call.close()
    assert client.read().content == b"last"
    frame = client.read()
    assert (frame.close_code, frame.close_reason) == (1011, "backend gone")


def test_lost_client(raw_pair):
    client, there = raw_pair()
    client.send(TEXT, b"last")
    client.client.close()
    assert there.read() == (TEXT, b"last")
    there.wait_for_end()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (encode_frame(TEXT, b"\xff"), 1007),
        (encode_frame(TEXT, b"a", reserved=4), 1002),
        (encode_frame(TEXT, b"a", masked=False), 1002),
        (encode_frame(BINARY, bytes(300_001)), 1009),
        (encode_close(1005), 1002),
    ],
)
def test_client_that_breaks_the_rules(raw_pair, data, code):
    client, there = raw_pair()
    client.client.send(data)
    assert client.read().close_code == code
    there.wait_for_end()


@pytest.mark.parametrize(
    ("data", "code", "told"),
    [
        (encode_frame(TEXT, b"\xff", masked=False), 1007, 1011),
        (encode_frame(TEXT, b"a", masked=False, reserved=4), 1002, 1011),
        (encode_frame(TEXT, b"a"), 1002, 1011),
        (encode_frame(BINARY, bytes(300_001), masked=False), 1009, 1009),
    ],
)
def test_backend_that_breaks_the_rules(raw_pair, data, code, told):
    client, there = raw_pair()
    there.call.send(data)
    assert there.read()[1][:2] == code.to_bytes(2, "big")
    assert client.read().close_code == told


# -- GRIP ----------------------------------------------------------------------------------------


def test_channels(program, raw_pair, path):
    client, there = raw_pair()
    there.send(TEXT, b"m:before")
    there.send(TEXT, control("subscribe", channel=path))
    there.send(TEXT, b"m:after")
    there.send(TEXT, b"for nobody")
    assert [client.read().content, client.read().content] == [b"before", b"after"]
    program.publish_until_taken(path, ws_message={"content": "published"})
    assert client.read().content == b"published"
    there.send(TEXT, control("unsubscribe", channel=path))
    program.wait_for_no_subscribers(path)


def test_channels_of_the_target(program, raw_pair):
    client, there = raw_pair("sub", fields=())
    program.publish_until_taken("everyone", ws_message={"content-bin": "AP8="})
    frame = client.read()
    assert (frame.opcode, frame.content) == (BINARY, b"\x00\xff")
    there.send(TEXT, b"c:x")
    assert client.read().content == b"c:x"


def test_items_wait_while_the_backend_is_within_a_message(program, raw_pair, path):
    client, there = raw_pair()
    there.send(TEXT, control("subscribe", channel=path))
    program.publish_until_taken(path, ws_message={"content": "0"})
    assert client.read().content == b"0"
    there.send(TEXT, b"m:a", final=False)
    there.send(PING)
    assert client.read().opcode == PING
    assert program.publish(path, ws_message={"content": "1"})
    assert program.publish(path, ws_message={"content": "2"})
    there.send(0, b"b")
    assert [client.read().content for _ in range(3)] == [b"ab", b"1", b"2"]


def test_published_close(program, raw_pair, path):
    client, there = raw_pair()
    there.send(TEXT, control("subscribe", channel=path))
    program.publish_until_taken(path, ws_message={"action": "close", "code": 4100, "reason": "x"})
    frame = client.read()
    assert (frame.close_code, frame.close_reason) == (4100, "x")
    client.send_close(4100)
    wait_for_end(client)
    assert there.read() == (CLOSE, b"")
    there.send(CLOSE)
    there.wait_for_end()


def test_detach(program, raw_pair, path):
    client, there = raw_pair()
    there.send(TEXT, control("subscribe", channel=path))
    there.send(TEXT, control("detach"))
    assert there.read() == (CLOSE, b"")
    there.send(CLOSE)
    there.wait_for_end()
    program.publish_until_taken(path, ws_message={"content": "alone"})
    assert client.read().content == b"alone"
    client.send(TEXT, b"nobody hears")
    client.send_close(3000, "bye")
    assert client.read().close_code == 3000
    wait_for_end(client)


def test_items_do_not_wait_for_a_detached_backend(program, raw_pair, path):
    client, there = raw_pair()
    there.send(TEXT, control("subscribe", channel=path))
    there.send(TEXT, control("detach"))
    assert there.read() == (CLOSE, b"")
    there.send(TEXT, b"m:a", final=False)
    there.call.close()
    program.publish_until_taken(path, ws_message={"content": "alone"})
    assert client.read().content == b"alone"


def test_delayed_message(raw_pair):
    client, there = raw_pair()
    there.send(TEXT, control("send-delayed", content="later", timeout=1_000))
    there.send(TEXT, b"m:now")
    there.send(TEXT, control("flush-delayed"))
    assert [client.read().content, client.read().content] == [b"now", b"later"]


# -- handlers, logs, a changed configuration -----------------------------------------------------


def test_handlers_refuse_before_the_backend_is_asked(open_client, origin):
    with pytest.raises(InvalidStatus) as refused:
        open_client(host="secret")
    assert refused.value.response.status_code == 401
    assert origin.accepted.empty()


def test_handlers_see_messages(open_client, origin):
    client = open_client("/?apikey=sesame", "secret")
    there = origin.connection()
    client.send("drop")
    client.send("pass")
    assert there.recv(DEADLINE_SECONDS) == "PASS"
    client.send("close")
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(DEADLINE_SECONDS)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4400, "as asked")


def test_log(program, raw_pair, path):
    raw_pair()
    line = program.wait_for_log(rf".*{path}.*status=101.*").group()
    assert "ws://raw" in line


def test_stays_when_the_configuration_changes(program, backend, origin, secure_origin, raw_pair):
    client, there = raw_pair()
    routes = ROUTES.format(origin=origin.url, raw=backend.url, secure=secure_origin.url)
    program.reload(routes, server=SERVER)
    client.send(TEXT, b"x")
    assert there.read() == (TEXT, b"x")
    there.send(TEXT, b"m:y")
    assert client.read().content == b"y"
