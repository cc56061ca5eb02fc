"""SockJS clients of every transport, through the real program; `docs/sockjs.md` is the subject."""

import itertools
import json
import re
import select
import threading
import time
from urllib.parse import quote

import jwt
import pytest
from websockets.sync.server import serve

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS
from realtime_proxy.testing.reserved_ports import reserved_ports
from realtime_proxy.testing.websocket_client import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    encode_close,
    encode_frame,
)

GRIP = ("Sec-WebSocket-Extensions", "grip")
ROUTES = """
[[route]]
path = "/sock"
sockjs = "/sock"
sockjs_as_path = "/app"
cross_origin = true
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
targets = [{{ url = "{url}" }}]

[[route]]
host = "bare"
sockjs = "/"
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "closed"
sockjs = "/sock"
websocket_origins = ["http://a.test"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "origin"
sockjs = "/sock"
targets = [{{ url = "{origin}" }}]

[[route]]
host = "secret"
sockjs = "/sock"
handlers = ["keys", "log"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "shop"
sockjs = "/sock"
handlers = ["tokens"]
targets = [{{ url = "{url}", over_http = true }}]

[handler.tokens]
use = "jwt_auth"

[[handler.tokens.consumers]]
username = "shop"

[[handler.tokens.consumers.jwt]]
key = "shopkey"
secret = "of the shop, 32 bytes or longer!!!"

[handler.log]
use = "access_log"

[handler.keys]
use = "key_auth"

[[handler.keys.consumers]]
username = "anna"
keys = ["sesame"]

[[handler.keys.consumers]]
username = "berta"
keys = ["mohn"]
"""
SERVER = """max_backlog_bytes = 300_000
max_message_bytes = 60_000
sockjs_url = "/s.js?a&b"
"""
_SESSIONS = itertools.count()


class App:
    """A backend that echoes, and what it was sent. A channel in the query is subscribed to.

    Clients of other tests, whose sessions may last longer, are nothing to it.
    """

    def __init__(self, backend):
        self.calls, self.events, self.clients = [], [], set()
        self.changed = threading.Condition()
        self.gate = threading.Event()
        self.gate.set()
        self.refuses = False
        for path in ("/app", "/sock", "/sock/websocket", "/", "/websocket"):
            backend.scripts[path] = self.script

    def script(self, call):
        events = read_events(call.body)
        name = call.get("connection-id")
        with self.changed:
            if ("OPEN", b"") in events:
                self.clients.add(name)
            if name in self.clients:
                self.calls.append(call)
                self.events += events
            self.changed.notify_all()
        if self.refuses:
            fields = [("Content-Type", "text/plain"), ("X-Why", "so")]
            call.respond(403, fields, b"no", reason="Forbidden")
            return
        out = []
        for kind, content in events:
            if kind == "OPEN":
                out += ["OPEN", *self.subscriptions(call)]
            elif kind == "TEXT" and content == b"wait":
                self.gate.wait(30)
            elif kind in ("TEXT", "CLOSE"):
                out.append((kind, b"m:" + content if kind == "TEXT" else content))
        fields = [("Content-Type", CONTENT_TYPE), GRIP]
        call.respond(fields=fields, body=write_events(*out))

    def subscriptions(self, call):
        for channel in re.findall(r"channel=([\w-]+)", call.target):
            control = {"type": "subscribe", "channel": channel}
            yield "TEXT", b"c:" + json.dumps(control).encode()

    def wait_for(self, *event):
        with self.changed:
            assert self.changed.wait_for(lambda: event in self.events, 30), self.events


@pytest.fixture
def app(backend):
    return App(backend)


@pytest.fixture(scope="module")
def origin():
    """A backend that speaks WebSocket, echoes, and closes when it is told to."""

    def answer(connection):
        for message in connection:
            if message == "close":
                connection.close(3001, "as told")
            connection.send(f"{connection.request.path} {message}")

    with serve(answer, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def program(start, backend, origin):
    return start(ROUTES.format(url=backend.url, origin=origin), server=SERVER)


class Client:
    """One client, with a connection for what it receives and one for what it sends."""

    def __init__(self, connect, base="/sock", host="test", fields=()):
        self.id = f"session{next(_SESSIONS)}"
        self.path = f"{base}/000/{self.id}"
        self.host = host
        self.fields = fields
        self.receiver, self.sender = connect(), connect()

    def ask(self, name, *, method="POST", body=b""):
        body = body if method == "POST" else None
        target = f"{self.path}/{name}"
        self.receiver.request(method, target, self.fields, body, host=self.host)

    def poll(self, name="xhr", **options):
        self.ask(name, **options)
        return self.receiver.read_reply()

    def send(self, *messages, name="xhr_send", body=None, fields=()):
        body = json.dumps(messages).encode() if body is None else body
        fields = [*self.fields, *fields]
        self.sender.request("POST", f"{self.path}/{name}", fields, body, host=self.host)
        return self.sender.read_reply()


@pytest.fixture
def client(connect, program, app):
    return lambda **options: Client(connect, **options)


@pytest.fixture
def get(connect):
    def get(target, fields=(), *, method="GET", host="test", body=None):
        client = connect()
        client.request(method, target, fields, body, host=host)
        return client.read_reply(to=method)

    return get


# -- what is no session ------------------------------------------------------------------------


def test_the_greeting(get, program):
    for path in ("/sock", "/sock/"):
        reply = get(path)
        assert (reply.status, reply.body) == (200, b"Welcome to SockJS!\n")
        assert reply.get("content-type") == "text/plain; charset=UTF-8"


def test_what_is_supported(get, program):
    reply = get("/sock/info", [("Origin", "http://a.test")])
    assert reply.status == 200
    assert json.loads(reply.body)["websocket"] is True
    assert reply.get("access-control-allow-origin") == "http://a.test"
    assert reply.get("access-control-allow-credentials") == "true"
    assert "no-store" in reply.get("cache-control")
    assert reply.get("x-content-type-options") == "nosniff"


def test_a_preflight(get, program):
    asks = [("Origin", "http://a.test"), ("Access-Control-Request-Headers", "X-A")]
    reply = get("/sock/0/x/xhr_send", asks, method="OPTIONS")
    assert reply.status == 204
    assert "POST" in reply.get("access-control-allow-methods")
    assert reply.get("access-control-allow-headers") == "X-A"


def test_the_page_for_iframes_can_be_kept(get, program):
    reply = get("/sock/iframe-1.6.1.html")
    assert reply.status == 200
    assert b'<script src="/s.js?a&amp;b"></script>' in reply.body
    assert reply.get_all("cache-control") == ["public, max-age=31536000"]
    again = get("/sock/iframe.html", [("If-None-Match", reply.get("etag"))])
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing"),
        ("POST", "/info"),
        ("GET", "/websocket"),
        ("GET", "/0/x/xhr"),
        ("POST", "/0/x/eventsource"),
        ("PUT", "/0/x/xhr_send"),
        ("POST", "/0/x/else"),
        ("POST", "/0/x./xhr"),
        ("POST", "/0/x/xhr_send"),
        ("POST", "/0/x/jsonp_send"),
    ],
)
def test_what_is_not_there(get, program, app, method, path):
    reply = get("/sock" + path, method=method, body=b'["a"]' if method == "POST" else None)
    assert (reply.status, reply.body) == (404, b"Not Found\n")
    assert reply.get("access-control-allow-origin") == "*"
    assert app.calls == []


def test_other_paths_go_to_backends(get, program, backend):
    backend.scripts["/sockets"] = lambda call: call.respond(body=b"plain")
    assert get("/sockets").body == b"plain"


def test_a_websocket_where_none_is(websocket, program):
    socket = websocket()
    socket.ask("/sock/info")
    assert socket.client.read_reply().status == 404


# -- polling -----------------------------------------------------------------------------------


def test_a_session_by_xhr(client, app):
    one = client()
    opened = one.poll()
    assert (opened.status, opened.body) == (200, b"o\n")
    assert opened.get("content-type") == "text/plain; charset=UTF-8"
    reply = one.send("hello", "wörld\u2028")
    assert (reply.status, reply.body) == (200, b"ok")
    got = []
    while len(got) < 2:
        got += json.loads(one.poll().body[1:])
    assert got == ["hello", "wörld\u2028"]


def test_a_session_by_jsonp(client, app):
    one = client()
    opened = one.poll("jsonp?c=_jp.a1", method="GET")
    assert opened.body == b'/**/_jp.a1("o");\n'
    assert opened.get("content-type") == "application/javascript; charset=UTF-8"
    assert opened.get("x-content-type-options") == "nosniff"
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    body = b"x=1&d=" + quote('["a b+c"]').encode()
    assert one.send(name="jsonp_send", body=body, fields=form).body == b"ok"
    assert one.poll("jsonp?callback=cb", method="GET").body == b'/**/cb("a[\\"a b+c\\"]");\n'
    plain = [("Content-Type", "text/plain")]
    assert one.send("plain", name="jsonp_send", fields=plain).body == b"ok"
    assert json.loads(one.poll().body[1:]) == ["plain"]
    assert one.poll("jsonp_send?d=" + quote('["q"]'), method="GET").body == b"ok"
    assert json.loads(one.poll().body[1:]) == ["q"]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("", b"Bad Request\n"),
        ("?c=", b"Bad Request\n"),
        ("?c=alert(1)//", b"Invalid callback parameter.\n"),
        ("?c=%3Cscript%3E", b"Invalid callback parameter.\n"),
    ],
)
@pytest.mark.parametrize("name", ["jsonp", "htmlfile"])
def test_the_function_of_a_page_has_to_be_one(client, app, name, query, problem):
    reply = client().poll(name + query, method="GET")
    assert (reply.status, reply.body) == (400, problem)
    assert reply.get("content-type") == "text/plain"
    assert app.calls == []


@pytest.mark.parametrize("body", [b"", b"x", b"{}", b"[1]", b'"s"'])
def test_what_is_sent_has_to_be_a_list_of_strings(client, body):
    one = client()
    one.poll()
    reply = one.send(body=body)
    assert (reply.status, reply.body) == (400, b"Payload expected\n")
    assert one.send("fine").status == 200


def test_an_empty_list_is_fine(client, app):
    one = client()
    one.poll()
    assert one.send().body == b"ok"


def test_what_is_too_large(client, app):
    one = client()
    one.poll()
    assert one.send("x" * 60_001).body == b"Message too large\n"
    body = json.dumps(["\xe4" * 30_001], ensure_ascii=False).encode()  # bytes count
    assert one.send(body=body).body == b"Message too large\n"
    assert one.send("x" * 60_000).body == b"ok"
    reply = one.send("x" * 100_001)
    assert (reply.status, reply.body) == (400, b"Request too large.\n")


def test_only_one_request_may_wait(client, connect, program, app):
    one = client()
    one.poll()
    before = len(program.log)
    one.ask("xhr")
    program.wait_for_log("/xhr .*result=accept", after=before)
    so_far = len(app.calls)
    other = connect()
    other.request("POST", f"{one.path}/xhr_streaming", body=b"")
    assert other.read_reply().body.endswith(b'c[2010,"Another connection still open"]\n')
    one.send("still there")
    assert one.receiver.read_reply().body == b'a["still there"]\n'
    assert len(app.calls) == so_far + 1


def test_a_client_that_goes_on_polling_elsewhere(client, connect, app):
    """A lost connection is no lost session: the next request takes its place."""
    one = client()
    one.poll()
    one.ask("xhr")
    one.receiver.close()
    one.receiver = connect()
    one.send("may be lost")
    one.ask("xhr")
    one.send("here")
    assert one.receiver.read_reply().body.startswith(b"a")


def test_a_published_message_and_a_published_close(client, app, program, path):
    channel = path[1:]
    one = client()
    one.poll(f"xhr?channel={channel}")
    one.ask("xhr")
    program.publish_until_taken(channel, ws_message={"content": 'say "x"'})
    assert one.receiver.read_reply().body == b'a["say \\"x\\""]\n'
    for content in ("a", "b"):
        program.publish(channel, ws_message={"content": content})
    program.publish(channel, ws_message={"action": "close", "code": 3456, "reason": "go home"})
    assert one.poll().body == b'a["a","b"]\n'
    for _ in range(2):
        assert one.poll().body == b'c[3456,"go home"]\n'
    app.wait_for("CLOSE", b"")
    assert one.send("late").status == 404


def test_a_message_that_is_no_text(client, app, program, path):
    channel = path[1:]
    one = client()
    one.poll(f"xhr?channel={channel}")
    binary = {"content-bin": "/2E="}  # 0xff, and an a
    program.publish_until_taken(channel, ws_message=binary)
    assert json.loads(one.poll().body[1:])[0] == "\ufffda"


def test_what_waits_for_a_client_is_bounded(client, app, program, path):
    channel = path[1:]
    one = client()
    one.poll(f"xhr?channel={channel}")
    one.ask("xhr")
    program.publish_until_taken(channel, ws_message={"content": "x"})
    one.receiver.read_reply()
    for _ in range(4):
        program.publish(channel, ws_message={"content": "x" * 99_000})
    program.wait_for_log("client closed .*client-too-slow")
    app.wait_for("DISCONNECT", b"")
    assert one.send("late").status == 404


def test_a_refusal(client, app):
    app.refuses = True
    one = client()
    reply = one.poll()
    assert (reply.status, reply.reason, reply.body) == (403, "Forbidden", b"no")
    assert (reply.get("x-why"), reply.get("access-control-allow-origin")) == ("so", "*")
    app.refuses = False
    assert one.poll().body == b"o\n"


def test_a_backend_that_can_not_be_reached(start, connect):
    text = '[[route]]\nsockjs = "/s"\ntargets = [{ url = "http://127.0.0.1:1", over_http = true }]'
    program = start(text)
    one = Client(lambda: connect(program.address), base="/s")
    assert one.poll().status == 502


def test_who_sends_waits_for_the_backend(client, app):
    one = client()
    one.poll()
    app.gate.clear()
    one.send("wait")
    app.wait_for("TEXT", b"wait")
    for _ in range(4):
        one.send("x" * 50_000)
    body = json.dumps(["last"]).encode()
    both = {one.sender.socket: one.sender, one.receiver.socket: one.receiver}
    for sender in both.values():
        sender.request("POST", f"{one.path}/xhr_send", body=body)
    [[answered], _, _] = select.select(both, [], [], 30)
    assert both.pop(answered).read_reply().body == b"Already sending\n"
    app.gate.set()
    [waiting] = both.values()
    assert waiting.read_reply().body == b"ok"
    app.wait_for("TEXT", b"last")


# -- streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "method", "prelude", "opened", "message"),
    [
        ("xhr_streaming", "POST", b"h" * 2048 + b"\n", b"o\n", b'a["hi"]\n'),
        ("eventsource", "GET", b"\r\n", b"data: o\r\n\r\n", b'data: a["hi"]\r\n\r\n'),
        (
            "htmlfile?c=cb",
            "GET",
            None,
            b'<script>\np("o");\n</script>\r\n',
            b'<script>\np("a[\\"hi\\"]");\n</script>\r\n',
        ),
    ],
)
def test_a_stream(client, app, name, method, prelude, opened, message):
    one = client()
    one.ask(name, method=method)
    head = one.receiver.read_head()
    assert head.status == 200
    begins = one.receiver.read_chunk()
    assert begins == prelude or b"parent.cb" in begins
    assert one.receiver.read_chunk() == opened
    one.send("hi")
    assert one.receiver.read_chunk() == message


def test_a_stream_ends_with_the_close(client, app, program, path):
    channel = path[1:]
    one = client()
    one.ask(f"xhr_streaming?channel={channel}")
    one.receiver.read_head()
    program.wait_for_subscriptions(channel, 1)
    program.publish(channel, ws_message={"action": "close", "code": 3000, "reason": "x"})
    chunks = list(iter(one.receiver.read_chunk, b""))
    assert chunks[1:] == [b"o\n", b'c[3000,"x"]\n']
    assert one.poll().body == b'c[3000,"x"]\n'  # on the same connection


def test_a_stream_ends_after_so_many_bytes(client, app):
    one = client()
    one.ask("xhr_streaming")
    one.receiver.read_head()
    for _ in range(3):
        one.send("x" * 50_000)
    chunks = list(iter(one.receiver.read_chunk, b""))
    assert sum(map(len, chunks)) > 128 * 1024
    one.send("next")
    assert one.poll().body == b'a["next"]\n'


def test_a_stream_to_an_old_client_ends_with_its_connection(client, connect, app):
    one = client()
    old = connect()
    old.request("POST", f"{one.path}/xhr_streaming", body=b"", version="1.0")
    assert old.read_until(b"o\n").endswith(b"h\no\n")
    for _ in range(3):
        one.send("x" * 50_000)
    assert old.read_to_end().endswith(b'x"]\n')


def test_who_leaves_a_stream_may_come_back(client, connect, app):
    one = client()
    one.ask("xhr_streaming")
    one.receiver.read_until(b"o\n")
    one.receiver.close()
    one.receiver = connect()
    one.send("may be lost")
    one.send("here")
    assert one.poll().body.startswith(b"a")


# -- WebSockets --------------------------------------------------------------------------------


def test_a_websocket(websocket, program, app):
    socket = websocket()
    socket.open(f"/sock/000/w{next(_SESSIONS)}/websocket?x=1")
    assert socket.read().content == b"o"
    socket.send(TEXT, b'["one", "tw\\u00f6"]')
    got = []
    while len(got) < 2:
        got += json.loads(socket.read().content[1:])
    assert got == ["one", "twö"]
    socket.send(TEXT, b'"bare"')
    assert socket.read().content == b'a["bare"]'
    socket.send(TEXT, b"")
    socket.send_close(3000, "bye")
    frame = socket.read()
    assert (frame.opcode, frame.close_code, frame.close_reason) == (CLOSE, 3000, "bye")
    assert app.calls[0].target == "/app?x=1"
    assert app.events.count(("TEXT", b"bare")) == 1
    assert ("TEXT", b"") not in app.events


def test_what_is_sent_behind_the_upgrade(websocket, program, app):
    socket = websocket()
    socket.ask(f"/sock/0/w{next(_SESSIONS)}/x", early=encode_frame(TEXT, b'["early"]'))
    assert socket.client.read_head().status == 101
    assert [socket.read().content for _ in range(2)] == [b"o", b'a["early"]']


@pytest.mark.parametrize("payload", [b"not json", b"[1]", b"{}"])
def test_a_websocket_without_frames_of_sockjs(websocket, program, app, payload):
    socket = websocket()
    socket.open(f"/sock/0/w{next(_SESSIONS)}/websocket")
    socket.read()
    socket.client.send(encode_frame(TEXT, b'["good"]') + encode_frame(TEXT, payload))
    frame = socket.read()
    while frame.opcode == TEXT:
        frame = socket.read()
    assert (frame.opcode, frame.close_code) == (CLOSE, 1003)
    app.wait_for("DISCONNECT", b"")
    assert ("TEXT", b"good") in app.events


def test_pings_are_those_of_the_websocket(websocket, program, app, path):
    channel = path[1:]
    socket = websocket()
    socket.open(f"/sock/0/w{next(_SESSIONS)}/websocket?channel={channel}")
    socket.read()
    socket.send(PING, b"p")
    app.wait_for("PING", b"p")
    program.publish_until_taken(channel, ws_message={"content": "x", "type": "ping"})
    assert socket.read().opcode == PING
    socket.send(PONG, b"x")
    app.wait_for("PONG", b"x")


def test_a_close_is_one_of_the_websocket(websocket, program, app, path):
    channel = path[1:]
    socket = websocket()
    socket.open(f"/sock/0/w{next(_SESSIONS)}/websocket?channel={channel}")
    assert socket.read().content == b"o"
    program.publish_until_taken(channel, ws_message={"action": "close", "code": 3003})
    assert socket.read().close_code == 3003
    socket.client.send(encode_close(3003))
    assert socket.client.read_to_end() == b""


def test_a_refused_websocket(websocket, program, app):
    app.refuses = True
    socket = websocket()
    socket.ask(f"/sock/0/w{next(_SESSIONS)}/websocket")
    reply = socket.client.read_reply()
    assert (reply.status, reply.body) == (403, b"no")


def test_a_plain_websocket(websocket, program, app):
    socket = websocket()
    socket.open("/sock/websocket")
    socket.send(TEXT, b"raw")
    assert socket.read().content == b"raw"
    assert app.calls[0].target == "/app"


# -- what backends see -------------------------------------------------------------------------


def test_a_backend_sees_a_websocket(client, app):
    one = client(fields=[("X-Mine", "m"), ("Content-Type", "text/plain"), ("Cookie", "a=b")])
    one.poll("xhr?x=1&t=2")
    [call] = app.calls
    assert (call.method, call.target) == ("POST", "/app?x=1&t=2")
    assert read_events(call.body) == [("OPEN", b"")]
    assert (call.get("x-mine"), call.get("cookie")) == ("m", "a=b")
    assert call.get_all("content-type") == [CONTENT_TYPE]
    assert len(call.get_all("content-length")) == 1
    assert call.get("sec-websocket-extensions") == "grip"
    assert call.get("connection-id")
    one.send("a")
    app.wait_for("TEXT", b"a")
    assert app.calls[1].get("connection-id") == call.get("connection-id")


@pytest.mark.parametrize(
    ("base", "host", "path"),
    [("/sock", "test", "/app"), ("", "bare", "/")],
)
def test_where_sessions_go(client, app, base, host, path):
    client(base=base, host=host).poll()
    assert app.calls[0].target == path


def test_a_backend_that_speaks_websocket(client, websocket, program):
    one = client(host="origin")
    assert one.poll().body == b"o\n"
    one.send("a", "b")
    got = []
    while len(got) < 2:
        got += json.loads(one.poll().body[1:])
    assert got == ["/sock a", "/sock b"]
    one.send("close")
    assert one.poll().body == b'c[3001,"as told"]\n'
    socket = websocket()
    socket.open(f"/sock/0/w{next(_SESSIONS)}/websocket", host="origin")
    assert socket.read().content == b"o"
    socket.send(TEXT, b'["x"]')
    assert socket.read().content == b'a["/sock/websocket x"]'


# -- who may -----------------------------------------------------------------------------------


def test_a_session_belongs_to_who_began_it(client, connect, program, app):
    anna = client(host="secret", fields=[("apikey", "sesame")])
    assert client(host="secret").poll().status == 401
    assert anna.poll().body == b"o\n"
    berta = client(host="secret", fields=[("apikey", "mohn")])
    berta.path = anna.path
    assert berta.poll().status == 404
    assert berta.send("forged").status == 404
    elsewhere = client()
    elsewhere.path = anna.path
    assert elsewhere.send("forged").status == 404
    assert anna.send("mine").status == 200
    assert anna.poll().body == b'a["mine"]\n'
    assert ("TEXT", b"forged") not in app.events
    assert app.calls[0].get("x-consumer-username") == "anna"


def test_a_session_belongs_to_one_of_the_users_of_a_consumer(client, app):
    def of(user):
        token = jwt.encode({"iss": "shopkey", "sub": user}, "of the shop, 32 bytes or longer!!!")
        return client(host="shop", fields=[("Authorization", f"Bearer {token}")])

    anna, berta = of("anna"), of("berta")
    assert anna.poll().body == b"o\n"
    berta.path = anna.path
    assert berta.poll().status == berta.send("forged").status == 404
    assert anna.send("mine").status == 200


@pytest.mark.parametrize("name", ["xhr", "xhr_streaming", "jsonp?c=cb", "htmlfile?c=cb"])
@pytest.mark.parametrize("page", ["", "http://b.test"])
def test_pages_that_may_not_open_websockets(client, app, name, page):
    """Pages of others load scripts, and frames, without an `Origin`."""
    one = client(host="closed", fields=[("Origin", page)] if page else [])
    method = "GET" if "?" in name else "POST"
    if page or method == "GET":
        reply = one.poll(name, method=method)
        assert (reply.status, reply.body) == (403, b"Origin not allowed.\n")
        assert app.calls == []
    else:
        one.ask(name)
        assert one.receiver.read_head().status == 200


def test_pages_that_may_open_websockets(client, get, app):
    fields = [("Origin", "http://a.test")]
    assert client(host="closed", fields=fields).poll().body == b"o\n"
    assert get("/sock/iframe.html", fields, host="closed").status == 403
    assert get("/sock/info", fields, host="closed").status == 200


def test_logs_do_not_tell_ids_of_sessions(client, program, app):
    one = client(host="secret", fields=[("apikey", "sesame")])
    one.poll()
    one.send("x")
    one.poll()
    program.wait_for_log(r"/sock/000/\*\*\*/xhr_send")
    lines = [f"POST {one.path}/xhr_send HTTP/1.1", "Host: secret", "apikey: sesame"]
    lines += ["Transfer-Encoding: chunked", "", "no size", ""]
    one.sender.send("\r\n".join(lines).encode())
    assert one.sender.read_reply().status == 400
    program.wait_for_log("request failed")
    assert one.id not in program.log


def test_a_refusal_can_be_read_by_pages(client, program, app):
    reply = client(host="secret", fields=[("Origin", "http://a.test")]).poll()
    assert reply.status == 401
    assert reply.get("access-control-allow-origin") == "http://a.test"


def test_there_is_room_for_so_many_sessions(start, connect, backend, app):
    text = f'[[route]]\nsockjs = "/sock"\ntargets = [{{ url = "{backend.url}", over_http = true }}]'
    program = start(text, server="max_connections = 3")
    shared = connect(program.address)
    clients = [Client(lambda: shared) for _ in range(4)]
    assert [one.poll().status for one in clients] == [200, 200, 200, 503]
    assert clients[0].send("x").status == 200


# -- what operators see ------------------------------------------------------------------------

WATCHED = """
[admin]
listen = "127.0.0.1:{admin}"

[[route]]
id = "watched"
host = "test"
sockjs = "/sock"
handlers = ["keys"]
targets = [{{ url = "{url}", over_http = true }}]

[handler.keys]
use = "key_auth"

[[handler.keys.consumers]]
username = "anna"
keys = ["sesame"]
"""
KEY = [("apikey", "sesame")]


@pytest.fixture
def watched(start_own, backend, connect):
    """A program whose operators can be asked for, and for a new client."""
    with reserved_ports(1) as (port,):
        program = start_own(WATCHED.format(admin=port, url=backend.url))

    def ask(target, method="GET"):
        asking = connect(("127.0.0.1", port))
        asking.request(method, target)
        return json.loads(asking.read_reply().body)

    def until_nobody_is_listed():
        end = time.monotonic() + DEADLINE_SECONDS
        while ask("/connections") != {"connections": [], "next": None}:
            assert time.monotonic() < end
            time.sleep(0.01)

    def session():
        return Client(lambda: connect(program.address), fields=KEY)

    program.ask, program.session = ask, session
    program.until_nobody_is_listed = until_nobody_is_listed
    return program


def test_a_session_is_listed_once_with_a_request_that_waits_or_without(watched, app):
    one, other = watched.session(), watched.session()
    assert one.poll("xhr?channel=watched").body == other.poll().body == b"o\n"
    one.ask("xhr")
    watched.wait_for_subscriptions("watched", 1)
    watched.publish("watched", ws_message={"content": "news"})
    assert one.receiver.read_reply().body == b'a["news"]\n'
    other.ask("xhr")
    one.send("x")
    assert one.poll().body == b'a["x"]\n'
    first, second = watched.ask("/connections")["connections"]
    page = watched.ask("/connections?limit=1")
    assert page["connections"][0]["id"] == first["id"]
    rest = watched.ask(f"/connections?after={page['next']}")
    assert [listed["id"] for listed in rest["connections"]] == [second["id"]]
    assert first["kind"] == "websocket-over-http"
    assert (first["route"], first["consumer"]) == ("watched", "anna")
    assert first["channels"] == ["watched"]
    assert first["client_address"] == "127.0.0.1"
    assert first["uri"].endswith("/sock/000/***/xhr?channel=watched")
    assert first["opened_at"] > time.time() - 60
    assert first["messages_sent"] == 2
    assert second["messages_sent"] == 0


@pytest.mark.parametrize("by", ["id", "consumer=anna", "route=watched", "channel=watched"])
@pytest.mark.parametrize("waits", [True, False])
def test_a_session_can_be_ended_by_operators(watched, app, by, waits):
    one = watched.session()
    assert one.poll("xhr?channel=watched").body == b"o\n"
    if waits:
        one.ask("xhr")
    [listed] = watched.ask("/connections")["connections"]
    query = f"/{listed['id']}?" if by == "id" else f"?{by}&"
    assert watched.ask(f"/connections{query}code=4000", "DELETE") == {"closed": 1}
    reply = one.receiver.read_reply() if waits else one.poll()
    assert reply.body == b'c[4000,"closed by operator"]\n'
    app.wait_for("CLOSE", b"")
    watched.until_nobody_is_listed()


def test_a_request_that_has_no_route(watched):
    one = watched.session()
    one.host = "elsewhere"
    reply = one.poll()
    assert (reply.status, reply.body) == (502, b"No route for host: elsewhere\n")


# -- what is counted ---------------------------------------------------------------------------


def test_a_session_is_one_client(start, connect, backend, app, path):
    with reserved_ports(1) as (port,):
        text = f"""
            [metrics]
            listen = "127.0.0.1:{port}"
            [[route]]
            id = "r"
            sockjs = "/sock"
            targets = [{{ url = "{backend.url}", over_http = true }}]
        """
        program = start(text)

    def wait_for(line):
        end = time.monotonic() + 30
        while True:
            metrics = connect(("127.0.0.1", port))
            metrics.request("GET", "/metrics")
            lines = metrics.read_reply().body.decode().splitlines()
            if line in lines:
                return lines
            assert time.monotonic() < end, lines

    one, channel = Client(lambda: connect(program.address)), path[1:]
    one.poll(f"xhr?channel={channel}")
    one.send("x")
    assert one.poll().body == b'a["x"]\n'
    lines = wait_for('realtime_proxy_held_connections{kind="websocket",route="r"} 1.0')
    assert 'realtime_proxy_requests_total{route="r"} 1.0' in lines
    program.publish(channel, ws_message={"action": "close"})
    lines = wait_for('realtime_proxy_held_connections{kind="websocket",route="r"} 0.0')
    assert 'realtime_proxy_connections{route="r"} 0.0' in lines
    assert 'realtime_proxy_closed_total{reason="published-close",route="r"} 1.0' in lines
    assert 'realtime_proxy_requests_total{route="r"} 1.0' in lines


# -- before a stop -----------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_clients_are_told_of_a_stop(start_own, connect, backend, app, workers):
    text = f'[[route]]\nsockjs = "/sock"\ntargets = [{{ url = "{backend.url}", over_http = true }}]'
    program = start_own(text, server=f"workers = {workers}", drain_seconds=1)
    program.wait_for_log("serving ")
    polls = [Client(lambda: connect(program.address)) for _ in range(4)]
    stream, absent = polls[-1], Client(lambda: connect(program.address))
    for client in (*polls, absent):
        assert client.poll().body == b"o\n"
    for client in polls[:-1]:
        client.ask("xhr")
    stream.ask("xhr_streaming")
    stream.receiver.read_head()
    program.process.terminate()
    for client in polls[:-1]:
        assert client.receiver.read_reply().body == b'c[1012,""]\n'
    assert list(iter(stream.receiver.read_chunk, b""))[-1] == b'c[1012,""]\n'
    assert program.process.wait(30) == 0
    program.check_log()
    assert app.events.count(("CLOSE", b"")) == 5
