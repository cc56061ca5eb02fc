"""What WebSocket clients may do, and how long they may be quiet, through the real program."""

import queue
import threading
import time

import pytest

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, CutShort
from realtime_proxy.testing.websocket_client import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    encode_frame,
)
from realtime_proxy.wire.websocket_handshake import token_for

ROUTES = """
[[route]]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "pinged"
websocket_ping_seconds = 1
websocket_pong_seconds = 30
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "hasty"
websocket_ping_seconds = 1
websocket_pong_seconds = 0.1
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "hasty-sockjs"
sockjs = "/"
sockjs_as_path = "/hasty-sockjs"
websocket_ping_seconds = 1
websocket_pong_seconds = 0.1
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "hasty-origin"
websocket_ping_seconds = 1
websocket_pong_seconds = 0.1
targets = [{{ url = "{url}" }}]

[[route]]
host = "small"
max_message_bytes = 1_000
max_frame_bytes = 400
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "small-origin"
max_message_bytes = 1_000
max_frame_bytes = 400
targets = [{{ url = "{url}" }}]

[[route]]
host = "soon"
websocket_handshake_seconds = 0.2
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "soon-origin"
websocket_handshake_seconds = 0.2
targets = [{{ url = "{url}" }}]

[[route]]
host = "pages"
websocket_origins = ["https://app.example.com", "https://*.example.org"]
handlers = ["keys"]
targets = [{{ url = "{url}", over_http = true }}]

[handler.keys]
use = "key_auth"

[[handler.keys.consumers]]
username = "anna"
keys = ["sesame"]
"""
SERVER = "max_message_bytes = 300_000\nwebsocket_ping_seconds = 0"


@pytest.fixture(scope="module")
def program(start, backend):
    return start(ROUTES.format(url=backend.url), server=SERVER)


@pytest.fixture
def events(backend, path):
    """The events of a backend that sends texts back."""
    got = []

    def script(call):
        arrived = read_events(call.body)
        got.extend(arrived)
        echo = [event for event in arrived if event[0] == "TEXT"]
        opening = ["OPEN"] if ("OPEN", b"") in arrived else []
        call.respond(fields=[("Content-Type", CONTENT_TYPE)], body=write_events(*opening, *echo))

    backend.scripts[path] = script
    return got


class Origin:
    """A backend that speaks WebSocket, with frames by hand."""

    def __init__(self, backend, path):
        self.calls, self.release = queue.Queue(), threading.Event()
        backend.scripts[path] = self.script

    def script(self, call):
        token = token_for(call.get("sec-websocket-key").encode()).decode()
        lines = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {token}"]
        call.send("\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, "", ""]).encode())
        call.keeps_connection = False
        self.calls.put(call)
        self.release.wait(DEADLINE_SECONDS)

    def call(self):
        return self.calls.get(timeout=DEADLINE_SECONDS)


@pytest.fixture
def origin(backend, path):
    origin = Origin(backend, path)
    yield origin
    origin.release.set()


def wait_for_end(client):
    with pytest.raises(CutShort):
        client.read()


# -- pings ---------------------------------------------------------------------------------------


def test_a_quiet_client_is_pinged_and_its_pong_is_nobody_elses_business(
    websocket, backend, events, path
):
    client = websocket()
    client.open(path, host="pinged")
    for _ in range(2):
        ping = client.read()
        assert ping.opcode == PING
        client.send(PONG, b"another")  # as to a ping of the backend's
        client.send(PONG, ping.content)
        client.send(TEXT, b"there")
        assert client.read().content == b"there"
    assert events == [("OPEN", b""), *[("PONG", b"another"), ("TEXT", b"there")] * 2]


@pytest.mark.usefixtures("events")
def test_pings_are_told_apart_by_chance(websocket, path):
    contents = set()
    for _ in range(2):
        client = websocket()
        client.open(path, host="pinged")
        contents.add(client.read().content)
    (content,) = contents
    assert len(content) == 10


def test_who_does_not_answer_is_closed_and_its_backend_told(websocket, backend, events, path):
    client = websocket()
    client.open(path, host="hasty")
    assert client.read().opcode == PING
    frame = client.read()
    assert (frame.opcode, frame.close_code, frame.close_reason) == (CLOSE, 1011, "ping timeout")
    wait_for_end(client)
    backend.wait_for(path, 2).wait_until_answered()
    assert events == [("OPEN", b""), ("DISCONNECT", b"")]


@pytest.mark.parametrize(
    ("host", "target", "seen"),
    [("hasty", None, None), ("hasty-sockjs", "/0/one/websocket", "/hasty-sockjs")],
)
def test_who_has_closed_is_not_pinged(websocket, backend, events, path, host, target, seen):
    """It must not answer any more, however long its backend takes."""
    client, gate, echo = websocket(), threading.Event(), backend.scripts[path]
    seen = seen or path

    def script(call):
        if call.body != b"OPEN\r\n":
            gate.wait(DEADLINE_SECONDS)
        echo(call)

    backend.scripts[seen] = script
    client.open(target or path, host=host)
    if target is not None:
        assert client.read().content == b"o"
    client.send_close(1000)
    backend.wait_for(seen, 2)
    time.sleep(1.5)  # a ping and its pong would have been due
    gate.set()
    frame = client.read()
    assert (frame.opcode, frame.close_code) == (CLOSE, 1000)
    assert events[-1] == ("CLOSE", b"\x03\xe8")


def test_who_does_not_answer_loses_its_own_backend(websocket, origin, path):
    client = websocket()
    client.open(path, host="hasty-origin")
    call = origin.call()
    assert client.read().opcode == PING
    assert client.read().close_code == 1011
    with pytest.raises((EOFError, ConnectionError)):
        call._connection.read_exactly(1)


# -- sizes ---------------------------------------------------------------------------------------

TOO_LARGE = [
    encode_frame(BINARY, bytes(401)),
    encode_frame(BINARY, bytes(401), final=False),
    encode_frame(BINARY, bytes(400), final=False) + encode_frame(0, bytes(400), final=False) * 2,
]


@pytest.mark.parametrize("data", TOO_LARGE)
def test_messages_and_frames_are_limited_by_route(websocket, backend, events, path, data):
    client = websocket()
    client.open(path, host="small")
    fits = [encode_frame(TEXT, b"a" * 400, final=False), encode_frame(0, b"a" * 400)]
    client.client.send(b"".join(fits))
    assert client.read().content == b"a" * 800
    client.client.send(data)
    assert client.read().close_code == 1009
    backend.wait_for(path, 3).wait_until_answered()
    assert events[-1] == ("DISCONNECT", b"")


@pytest.mark.usefixtures("events")
def test_other_routes_have_the_limits_of_all(websocket, path):
    client = websocket()
    client.open(path)
    client.send(TEXT, b"a" * 300_000)
    assert client.read().content == b"a" * 300_000
    client.send(TEXT, b"a" * 300_001)
    assert client.read().close_code == 1009


def test_backends_are_limited_as_well(websocket, origin, path):
    client = websocket()
    client.open(path, host="small-origin")
    call = origin.call()
    call.send(encode_frame(TEXT, b"a" * 400, masked=False))
    assert client.read().content == b"a" * 400
    call.send(encode_frame(TEXT, b"a" * 401, masked=False))
    assert client.read().close_code == 1009


# -- the handshake -------------------------------------------------------------------------------


def test_a_backend_has_so_long_to_accept(websocket, backend, path):
    accepted, requests = threading.Event(), []

    def script(call):
        requests.append(read_events(call.body))
        accepted.wait(DEADLINE_SECONDS)
        call.respond(fields=[("Content-Type", CONTENT_TYPE)], body=write_events("OPEN"))

    backend.scripts[path] = script
    client = websocket()
    client.ask(path, host="soon")
    assert client.client.read_reply().status == 504
    accepted.set()  # too late: the backend learns that nobody is there
    backend.wait_for(path, 2).wait_until_answered()
    assert requests == [[("OPEN", b"")], [("DISCONNECT", b"")]]


def test_a_backend_that_lets_the_client_wait_has_so_long_too(websocket, backend, path):
    fields = [("Content-Type", CONTENT_TYPE), ("Keep-Alive-Interval", "20")]
    backend.scripts[path] = lambda call: call.respond(fields=fields, body=b"")
    client = websocket()
    client.ask(path, host="soon")
    assert client.client.read_reply().status == 504
    assert len(backend.calls_to(path)) == 1


def test_a_backend_that_speaks_websocket_has_so_long_to_accept(websocket, backend, path):
    release = threading.Event()
    backend.scripts[path] = lambda _: release.wait(DEADLINE_SECONDS)
    client = websocket()
    client.ask(path, host="soon-origin")
    assert client.client.read_reply().status == 504
    release.set()


@pytest.mark.usefixtures("events")
def test_who_is_accepted_in_time_stays(websocket, path):
    client = websocket()
    client.open(path, host="soon")
    time.sleep(0.3)  # the limit passes
    client.send(TEXT, b"there")
    assert client.read().content == b"there"


# -- origins -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin", ["https://app.example.com", "https://app.example.com:443", "https://x.example.org"]
)
@pytest.mark.usefixtures("events")
def test_pages_that_may(websocket, path, origin):
    websocket().open(f"{path}?apikey=sesame", [("Origin", origin)], host="pages")


@pytest.mark.parametrize("origin", ["https://evil.example.net", "null", "http://app.example.com"])
def test_pages_that_may_not_are_refused_before_anybody_hears_of_them(
    websocket, backend, events, path, origin
):
    client = websocket()
    client.ask(path, [("Origin", origin)], host="pages")
    reply = client.client.read_reply()  # without a key: the origin is looked at first
    assert (reply.status, reply.body) == (403, b"Origin not allowed.\n")
    assert backend.calls_to(path) == events == []


@pytest.mark.usefixtures("events")
def test_who_is_no_page_may(websocket, path):
    websocket().open(f"{path}?apikey=sesame", host="pages")
