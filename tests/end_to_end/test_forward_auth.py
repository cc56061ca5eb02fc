"""A separate server decides: who is let in, refused, and for how long, however it is held."""

import json
import ssl
import time

import pytest
import trustme

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.reserved_ports import reserved_ports
from realtime_proxy.testing.scripted_backend import ScriptedBackend
from realtime_proxy.testing.websocket_client import CLOSE, TEXT

CONFIG = """
[handler.ask]
use = "forward_auth"
url = "{auth}/verify"
copy_headers = ["X-User"]
consumer_header = "X-User"

[handler.nobody]
use = "forward_auth"
url = "http://127.0.0.1:{closed}/verify"

[handler.sealed]
use = "forward_auth"
url = "{sealed}/verify"
ca = '''{ca}'''

[handler.strange]
use = "forward_auth"
url = "{sealed}/verify"

[[route]]
handlers = ["ask"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "again.test"
handlers = ["ask"]
reauth_interval_seconds = 0.2
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "nobody.test"
handlers = ["nobody"]
targets = [{{ url = "{url}" }}]

[[route]]
host = "sealed.test"
handlers = ["sealed"]
targets = [{{ url = "{url}" }}]

[[route]]
host = "strange.test"
handlers = ["strange"]
targets = [{{ url = "{url}" }}]
"""
STREAM = [("Grip-Hold", "stream"), ("Grip-Channel", "a"), ("Content-Type", "text/event-stream")]
POLL = [("Grip-Hold", "response"), ("Grip-Channel", "a")]
LIFE = ("Cache-Control", "max-age=2")
GOOD = [("Cookie", "session=good")]
PAGE = ("Accept", "text/html")


@pytest.fixture(scope="module")
def users():
    """What the auth server says of each session."""
    return {"good": (200, [("X-User", "alice")], b"")}


def deciding(users):
    def decide(call):
        session = (call.get("cookie") or "").removeprefix("session=")
        login = (302, [("Location", "https://login.test/")], b"")
        call.respond(*users.get(session, login))

    return decide


@pytest.fixture(scope="module")
def auth(users):
    with ScriptedBackend(deciding(users)) as server:
        yield server


@pytest.fixture(scope="module")
def ca():
    return trustme.CA()


@pytest.fixture(scope="module")
def sealed(ca, users):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with ScriptedBackend(deciding(users), tls=context) as server:
        yield server


@pytest.fixture(scope="module")
def program(start, backend, auth, sealed, ca):
    pem = ca.cert_pem.bytes().decode()
    with reserved_ports(1) as [closed]:
        yield start(
            CONFIG.format(url=backend.url, auth=auth.url, closed=closed, sealed=sealed.url, ca=pem)
        )


def session(users, path, *answer):
    """A session of the test's own, of which this is said."""
    users[path] = answer
    return [("Cookie", f"session={path}")]


def get(connect, path, fields=(), host="test"):
    client = connect()
    client.request("GET", path, fields, host=host)
    return client.read_reply()


def over_http(call):
    told = {"OPEN", "TEXT", "CLOSE"}
    events = [event for event in read_events(call.body) if event[0] in told]
    body = write_events(*(event if event[0] == "TEXT" else event[0] for event in events))
    call.respond(fields=[("Content-Type", CONTENT_TYPE)], body=body)


def test_who_is_let_in_is_told_to_the_backend(connect, backend, path):
    reply = get(connect, path, [*GOOD, ("X-User", "root"), ("X_User", "root")])
    assert reply.status == 200
    [call] = backend.calls_to(path)
    assert call.get_all("x-user") == ["alice"]
    assert call.get_all("x_user") == []
    assert call.get_all("x-consumer-username") == ["alice"]
    assert call.get("x-forwarded-uri") is None


def test_a_refusal_goes_on_as_it_is(connect, backend, users, path):
    fields = [("WWW-Authenticate", 'Basic realm="x"'), ("X-Why", "so"), ("Keep-Alive", "5")]
    cookie = session(users, path, 401, fields, b"who are you?")
    reply = get(connect, path, cookie)
    assert (reply.status, reply.body) == (401, b"who are you?")
    assert reply.get("www-authenticate") == 'Basic realm="x"'
    assert reply.get("x-why") == "so"
    assert reply.get("keep-alive") is None
    assert backend.calls_to(path) == []


def test_only_a_page_is_sent_to_the_login(connect, websocket, backend, path):
    reply = get(connect, path, [PAGE])
    assert (reply.status, reply.get("location")) == (302, "https://login.test/")
    for accept in ([], [("Accept", "text/event-stream")]):
        reply = get(connect, path, accept)
        assert (reply.status, reply.get("location")) == (401, None)
        assert json.loads(reply.body)["message"] == "Unauthorized"
    client = websocket()
    client.ask(path, [PAGE])
    reply = client.client.read_reply()
    assert (reply.status, reply.get("location")) == (401, None)
    assert json.loads(reply.body)["message"] == "Unauthorized"
    assert backend.calls_to(path) == []


def test_an_auth_server_can_not_take_a_websocket(websocket, auth, backend, users, path):
    upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
    client = websocket()
    client.ask(path, session(users, path, 101, upgrade, b""))
    assert client.client.read_reply().status == 503
    asked = auth.calls_to("/verify")[-1]
    assert asked.get("x-forwarded-uri") == path
    for name in ("upgrade", "sec-websocket-key", "sec-websocket-version"):
        assert asked.get(name) is None
    assert backend.calls_to(path) == []


@pytest.mark.parametrize("host", ["nobody.test", "strange.test"])
def test_nobody_passes_while_the_server_can_not_be_asked(connect, websocket, backend, path, host):
    assert get(connect, path, GOOD, host).status == 503
    client = websocket()
    client.ask(path, GOOD, host=host)
    assert client.client.read_reply().status == 503
    assert backend.calls_to(path) == []


def test_a_server_with_an_authority_of_its_own(connect, path):
    assert get(connect, path, GOOD, "sealed.test").status == 200


# -- how long it counts --------------------------------------------------------------------


def test_a_stream_ends_with_the_yes(connect, backend, users, path):
    backend.scripts[path] = lambda call: call.respond(fields=STREAM)
    stream = connect()
    stream.request("GET", path, session(users, path, 200, [LIFE], b""))
    assert stream.read_head().status == 200
    assert stream.read_until(b"event: expired\ndata: credential expired\n\n")


def test_a_long_poll_ends_with_the_yes(connect, backend, users, path):
    backend.scripts[path] = lambda call: call.respond(fields=POLL)
    assert get(connect, path, session(users, path, 200, [LIFE], b"")).status == 401


def test_a_websocket_ends_with_the_yes(websocket, backend, users, path):
    backend.scripts[path] = over_http
    client = websocket()
    client.open(path, session(users, path, 200, [LIFE, ("X-User", "bob")], b""))
    client.send(TEXT, b"hello")
    assert client.read().content == b"hello"
    close = client.read()
    assert (close.opcode, close.close_code) == (CLOSE, 4401)
    assert {call.get("x-user") for call in backend.calls_to(path)} == {"bob"}


def test_who_is_asked_about_again_may_stay_longer(connect, program, backend, users, path):
    backend.scripts[path] = lambda call: call.respond(fields=STREAM)
    begun = time.monotonic()
    fields = session(users, path, 200, [LIFE], b"")
    stream = connect()
    stream.request("GET", path, fields, host="again.test")
    assert stream.read_head().status == 200

    while time.monotonic() < begun + 2.5:
        program.publish("a", http_stream={"content": "still\n\n"})
        assert stream.read_until(b"still\n\n")
    users[path] = (403, [], b"")
    assert stream.read_until(b"event: revoked\ndata: credential revoked\n\n")
