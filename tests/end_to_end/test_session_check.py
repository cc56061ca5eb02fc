"""Sessions of a Kratos: who is let in, where pages are sent, and when what is held ends."""

import json
import time
from datetime import UTC, datetime

import pytest

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.scripted_backend import ScriptedBackend
from realtime_proxy.testing.websocket_client import CLOSE, TEXT

CONFIG = """
[forwarded]
trusted_proxies = ["127.0.0.1"]

[handler.session]
use = "session_check"
check_session_url = "{kratos}/sessions/whoami"
only = ["ory_kratos_session"]
redirect_to = "https://login.test/login"
return_to_query_param = "return_to"
claims_to_headers = {{ X-Email = "identity.traits.email" }}

[handler.challenge]
use = "session_check"
check_session_url = "{kratos}/sessions/whoami"
only = ["ory_kratos_session"]
realm = "Site"

[[route]]
host = "challenge.test"
handlers = ["challenge"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
path = "/decisions"
targets = [{{ decisions = true }}]

[[route]]
handlers = ["session"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "again.test"
handlers = ["session"]
reauth_interval_seconds = 0.2
targets = [{{ url = "{url}", over_http = true }}]
"""
STREAM = [("Grip-Hold", "stream"), ("Grip-Channel", "a"), ("Content-Type", "text/event-stream")]
POLL = [("Grip-Hold", "response"), ("Grip-Channel", "a")]
PAGE = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
LIFE = 2


@pytest.fixture(scope="module")
def sessions():
    """For how many seconds each session lasts from now on."""
    return {"good": 60}


@pytest.fixture(scope="module")
def kratos(sessions):
    def whoami(call):
        assert (call.method, call.target) == ("GET", "/sessions/whoami")
        name = (call.get("cookie") or "").removeprefix("ory_kratos_session=")
        if name not in sessions:
            call.respond(401, body=b'{"error": {}}')
            return
        ends = datetime.fromtimestamp(time.time() + sessions[name], UTC).isoformat()
        identity = {"id": f"id-of-{name}", "traits": {"email": f"{name}@a.test"}}
        told = {"active": True, "expires_at": ends, "identity": identity}
        call.respond(fields=[("Ory-Session-Cache-For", "60")], body=json.dumps(told).encode())

    with ScriptedBackend(whoami) as server:
        yield server


@pytest.fixture(scope="module")
def program(start, backend, kratos):
    return start(CONFIG.format(url=backend.url, kratos=kratos.url))


def cookie(name):
    return ("Cookie", f"theme=dark; ory_kratos_session={name}")


@pytest.fixture
def short(sessions, path):
    """The cookie of a session of the test's own, which ends soon."""
    sessions[path] = LIFE
    return cookie(path)


def get(connect, path, fields=(), host="test", method="GET"):
    client = connect()
    client.request(method, path, fields, host=host)
    return client.read_reply(to=method)


def over_http(call):
    told = {"OPEN", "TEXT", "CLOSE"}
    events = [event for event in read_events(call.body) if event[0] in told]
    body = write_events(*(event if event[0] == "TEXT" else event[0] for event in events))
    call.respond(fields=[("Content-Type", CONTENT_TYPE)], body=body)


def test_a_session_is_let_in_and_asked_about_once(connect, backend, kratos, sessions, path):
    sessions[path] = 60
    for _ in range(3):
        fields = [cookie(path), ("X-Email", "forged@a.test")]
        assert get(connect, path, fields, method="POST").status == 200
    for call in backend.calls_to(path):
        assert call.get_all("x-email") == [f"{path}@a.test"]
        assert call.get("x-consumer-username") == f"id-of-{path}"
    asked = kratos.calls_to("/sessions/whoami")
    assert sum(call.get("cookie") == f"ory_kratos_session={path}" for call in asked) == 1


def test_pages_are_sent_to_the_login_and_programs_told(connect, websocket, backend, path):
    for fields in ([], [cookie("unknown")]):
        reply = get(connect, path, [*fields, PAGE])
        assert reply.status == 302
        way_back = f"http%3A%2F%2Ftest%2F{path[1:]}"
        assert reply.get("location") == f"https://login.test/login?return_to={way_back}"
        for accept in ([("Accept", "*/*")], [], [("Accept", "text/event-stream")]):
            reply = get(connect, path, [*fields, *accept])
            assert (reply.status, reply.get("content-type")) == (401, "application/json")
            assert json.loads(reply.body)["error"]["message"] == "Access credentials are invalid"
        client = websocket()
        client.ask(path, [*fields, PAGE])
        reply = client.client.read_reply()
        assert (reply.status, reply.get("location")) == (401, None)
    assert backend.calls_to(path) == []


def test_a_challenge_in_place_of_json(connect, websocket, backend, path):
    for fields in ([], [PAGE], [cookie("unknown"), ("Accept", "text/event-stream")]):
        asked = websocket()
        asked.ask(path, fields, host="challenge.test")
        for reply in (
            get(connect, path, fields, host="challenge.test"),
            asked.client.read_reply(),
        ):
            assert (reply.status, reply.body) == (401, b"Unauthorized\n")
            assert reply.get("www-authenticate") == 'Basic realm="Site"'
    assert backend.calls_to(path) == []


def test_the_way_back_is_to_where_the_gateway_is(connect, path):
    told = {"Method": "GET", "Uri": f"{path}?a=b", "Host": "site.test", "Proto": "https"}
    fields = [(f"X-Forwarded-{name}", value) for name, value in told.items()]
    reply = get(connect, "/decisions", [*fields, PAGE])
    assert reply.status == 302
    assert reply.get("location").endswith(f"=https%3A%2F%2Fsite.test%2F{path[1:]}%3Fa%3Db")
    assert get(connect, "/decisions", fields).status == 401
    reply = get(connect, "/decisions", [*fields, cookie("good")])
    assert (reply.status, reply.get("x-email")) == (200, "good@a.test")


def test_a_stream_ends_with_its_session(connect, backend, short, path):
    backend.scripts[path] = lambda call: call.respond(fields=STREAM)
    stream = connect()
    stream.request("GET", path, [short])
    assert stream.read_head().status == 200
    assert stream.read_until(b"event: expired\ndata: credential expired\n\n")


def test_a_long_poll_ends_with_its_session(connect, backend, short, path):
    backend.scripts[path] = lambda call: call.respond(fields=POLL)
    assert get(connect, path, [short]).status == 401


def test_a_websocket_ends_with_its_session(websocket, backend, short, path):
    backend.scripts[path] = over_http
    client = websocket()
    client.open(path, [short])
    client.send(TEXT, b"hello")
    assert client.read().content == b"hello"
    close = client.read()
    assert (close.opcode, close.close_code) == (CLOSE, 4401)


def test_a_session_that_is_ended_by_its_server(websocket, backend, sessions, path):
    sessions[path] = 60
    backend.scripts[path] = over_http
    client = websocket()
    client.open(path, [cookie(path)], host="again.test")
    client.send(TEXT, b"hello")
    assert client.read().content == b"hello"
    del sessions[path]
    close = client.read()
    assert (close.close_code, close.close_reason) == (4401, "credential revoked")
