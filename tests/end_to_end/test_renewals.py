"""Credentials renewed on connections that stay open, and held clients who are asked again."""

import contextlib
import json
import time

import pytest

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, RawClient
from realtime_proxy.testing.tokens import hs_token
from realtime_proxy.testing.websocket_client import TEXT

# Who is in the file may stay.
GUESTS = """
from pathlib import Path
from urllib.parse import parse_qs

from realtime_proxy.pipeline import CONTINUE, BaseHandler, Headers, Identity, Refuse, Response

FILE = Path("{file}")


class Handler(BaseHandler):
    async def on_request(self, exchange):
        name = parse_qs(exchange.request.target.decode().partition("?")[2])["name"][0]
        answers = dict(line.split("=") for line in FILE.read_text().split())
        status, _, subject = answers.get(name, "401").partition(":")
        if status != "200":
            return Refuse(Response(int(status), Headers(), b"no"), why="not a guest")
        if subject != "nobody":
            exchange.identity = Identity(name, subject=subject)
        exchange.request.target = b"/changed"
        if exchange.is_recheck:
            self.context.logger.info("asked again", name=name)
        return CONTINUE

    def on_close(self, exchange, reason):
        name = exchange.identity and exchange.identity.consumer
        self.context.logger.info("left", name=name, reason=reason)
"""
CONFIG = """
[handler.tokens]
use = "jwt_auth"
renewal_type = "renew"
renewal_path = "/renew"
[[handler.tokens.consumers]]
username = "ado"
[[handler.tokens.consumers.jwt]]
key = "adokey"
secret = "supersecret"

[handler.of_others]
use = "jwt_auth"
renewal_path = "/renew"
[[handler.of_others.consumers]]
username = "ado"
[[handler.of_others.consumers.jwt]]
key = "adokey"
secret = "another secret"

[[route]]
handlers = ["tokens"]
expiry_notice_seconds = 60
expiry_notice_message = "{{connection_id}}"
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "others.test"
handlers = ["of_others"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "again.test"
handlers = ["tokens"]
reauth_interval_seconds = 0.2
expiry_notice_seconds = 60
expiry_notice_message = "{{connection_id}}"
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "bounded.test"
handlers = ["bounded", "tokens"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "guests.test"
handlers = ["guests"]
reauth_interval_seconds = 0.2
targets = [{{ url = "{url}", over_http = true }}]
"""
STREAM = [("Grip-Hold", "stream"), ("Grip-Channel", "a"), ("Content-Type", "text/event-stream")]
LONG = 100
SOON = 3  # it is renewed before, though the machine be busy
# Of routes that ask once, and again and again.
HOSTS = ["test", "again.test"]


@pytest.fixture(scope="module")
def guests(tmp_path_factory):
    file = tmp_path_factory.mktemp("guests") / "guests"
    file.write_text("")
    return file


@pytest.fixture(scope="module")
def program(start, backend, guests):
    source = GUESTS.replace("{file}", str(guests))
    return start(
        CONFIG.format(url=backend.url), handlers=[("guests", source), ("bounded", BOUNDED)]
    )


def token(seconds, sub="u", secret=b"supersecret", **claims):
    claims = {"iss": "adokey", "sub": sub, "exp": time.time() + seconds, **claims}
    return hs_token(claims, secret).decode()


def bearer(seconds, **claims):
    return [("Authorization", f"Bearer {token(seconds, **claims)}")]


def over_http(call):
    told = {"OPEN", "TEXT", "CLOSE"}
    events = [event for event in read_events(call.body) if event[0] in told]
    body = write_events(*(event if event[0] == "TEXT" else event[0] for event in events))
    call.respond(fields=[("Content-Type", CONTENT_TYPE)], body=body)


# Whoever comes has to go after a while, whatever else they show.
BOUNDED = """
import time

from realtime_proxy.pipeline import CONTINUE, BaseHandler, Identity


class Handler(BaseHandler):
    async def on_request(self, exchange):
        exchange.identity = Identity("visitor", expires_at=time.time() + 4)
        return CONTINUE
"""


# -- WebSockets ----------------------------------------------------------------------------


def renewal(seconds, **claims):
    return json.dumps({"type": "renew", "token": token(seconds, **claims)}).encode()


@pytest.mark.parametrize("host", HOSTS)
def test_a_message_renews_and_the_connection_outlives_the_first_token(
    websocket, backend, path, host
):
    backend.scripts[path] = over_http
    client = websocket()
    first_ends_at = time.time() + SOON
    client.open(path, bearer(SOON), host=host)
    assert client.read().opcode == TEXT  # the notice
    client.send(TEXT, renewal(LONG))
    reply = json.loads(client.read().content)
    assert reply["type"] == "renewed"
    assert reply["expires_at"] > first_ends_at + 50
    while time.time() < first_ends_at + 0.5:
        client.send(TEXT, b"still there")
        while (message := client.read()).content != b"still there":
            assert message.opcode == TEXT, message
    calls = backend.calls_to(path)
    assert b"renew" not in b"".join(call.body for call in calls)
    # Its backend gets the token that counts now.
    assert calls[0].get("authorization") != calls[-1].get("authorization")


@pytest.mark.parametrize("claims", [{"sub": "other"}, {"role": "admin"}])
def test_another_users_token_closes(websocket, backend, path, claims):
    backend.scripts[path] = over_http
    client = websocket()
    client.open(path, bearer(LONG))
    client.send(TEXT, renewal(LONG, **claims))
    close = client.read()
    assert (close.close_code, close.close_reason) == (4403, "renewal refused")


def test_a_bad_token_closes(websocket, backend, path):
    backend.scripts[path] = over_http
    client = websocket()
    client.open(path, bearer(LONG))
    client.send(TEXT, b'{"type": "renew", "token": "a.b.c"}')
    assert client.read().close_code == 4403


def test_other_messages_pass(websocket, backend, path):
    backend.scripts[path] = over_http
    client = websocket()
    client.open(path, bearer(LONG))
    for text in (b'{"type": "renewal"}', b'"renew"', b'{"kind": "renew"}', b'["renew"'):
        client.send(TEXT, text)
        assert client.read().content == text


# -- streams -------------------------------------------------------------------------------


def held(connect, backend, path, seconds, host="test"):
    backend.scripts[path] = lambda call: call.respond(fields=STREAM)
    stream = connect()
    stream.request("GET", path, bearer(seconds), host=host)
    return stream, stream.read_head().get("connection-id")


def renew(connect, connection_id, fields=None, host="test"):
    client = connect()
    fields = bearer(LONG) if fields is None else fields
    client.request("POST", f"/renew?connection-id={connection_id}", fields, host=host)
    reply = client.read_reply(to="POST")
    return reply.status


@pytest.mark.parametrize("host", HOSTS)
def test_a_stream_is_renewed_by_its_id(connect, backend, program, path, host):
    stream, connection_id = held(connect, backend, path, SOON, host)
    ends_at = time.time() + SOON
    assert stream.read_until(b"\n\n").endswith(f"data: {connection_id}\n\n".encode())
    assert renew(connect, connection_id, bearer(LONG)) == 204
    assert backend.calls_to("/renew") == []
    while time.time() < ends_at + 0.5:
        program.publish("a", http_stream={"content": "still there\n\n"})
        assert stream.read_until(b"still there\n\n")


def test_who_may_not_renew_a_stream(connect, backend, path):
    _, connection_id = held(connect, backend, path, LONG)
    assert renew(connect, connection_id, []) == 401
    assert renew(connect, connection_id, bearer(LONG, sub="other")) == 403
    assert renew(connect, "unknown", bearer(LONG)) == 404
    assert renew(connect, connection_id, bearer(LONG)) == 204


def test_a_handler_of_other_routes_renews_no_stream(connect, backend, path):
    """What it lets pass has no way in where the stream is."""
    _, connection_id = held(connect, backend, path, LONG)
    fields = bearer(LONG, secret=b"another secret")
    assert renew(connect, connection_id, fields) == 401
    assert renew(connect, connection_id, fields, "others.test") == 403


def test_what_another_handler_has_found_still_bounds_a_renewed_stream(connect, backend, path):
    stream, connection_id = held(connect, backend, path, LONG, "bounded.test")
    assert renew(connect, connection_id, bearer(LONG)) == 204
    assert stream.read_until(b"event: expired\n")


@pytest.fixture(scope="module")
def house(start, backend, guests):
    """A program of two workers."""
    source = GUESTS.replace("{file}", str(guests))
    config = CONFIG.format(url=backend.url)
    return start(config, handlers=[("guests", source), ("bounded", BOUNDED)], server="workers = 2")


def test_a_stream_is_renewed_whichever_worker_is_asked(house, backend, path):
    backend.scripts[path] = lambda call: call.respond(fields=STREAM)
    with contextlib.ExitStack() as opened:

        def connect():
            return opened.enter_context(RawClient(house.address))

        def statuses(name, fields=None):
            return {renew(connect, name, fields) for _ in range(8)}  # nearly always by both

        streams = [connect() for _ in range(2)]
        for stream in streams:
            stream.request("GET", path, bearer(LONG))
        names = [stream.read_head().get("connection-id") for stream in streams]
        assert statuses(names[0], bearer(LONG, sub="other")) == {403}
        assert statuses(names[0], bearer(LONG, role="admin")) == {403}
        assert statuses(names[0], []) == {401}
        assert statuses("unknown") == {404}
        for stream, name in zip(streams, names, strict=True):
            assert statuses(name) == {204}
            # What counts is the latest one: here it ends first.
            while (status := renew(connect, name, bearer(1))) != 204:
                assert status == 401  # it has ended on its way already
            assert stream.read_until(b"event: expired\n")


# -- asking again --------------------------------------------------------------------------


@pytest.fixture
def name(path):
    return path[1:]


def answer(guests, name, status):
    """What is said of a guest from now on."""
    lines = [line for line in guests.read_text().split() if not line.startswith(f"{name}=")]
    new = guests.with_suffix(".new")
    new.write_text("\n".join([*lines, f"{name}={status}"]))
    new.replace(guests)


def ask_again(program, name):
    program.wait_for_log(rf"asked again .*name={name}\s", after=len(program.log))


def test_held_clients_are_asked_again(connect, backend, program, guests, path, name):
    answer(guests, name, "200")
    backend.scripts["/changed"] = lambda call: call.respond(fields=STREAM)
    stream = connect()
    stream.request("GET", f"{path}?name={name}", host="guests.test")
    assert stream.read_head().status == 200
    for _ in range(2):
        ask_again(program, name)
    answer(guests, name, "403")
    assert stream.read_until(b"event: revoked\ndata: credential revoked\n\n")
    program.wait_for_log(rf"left .*name={name} reason=revoked")
    assert len(backend.calls_to("/changed")) >= 1


def test_a_poll_is_answered_though_nobody_knows_whose_it_is(
    connect, backend, program, guests, path, name
):
    answer(guests, name, "200:nobody")
    hold = [("Grip-Hold", "response"), ("Grip-Channel", "a"), ("Grip-Timeout", "100")]
    backend.scripts["/changed"] = lambda call: call.respond(fields=hold)
    poll = connect()
    poll.request("GET", f"{path}?name={name}", host="guests.test")
    ask_again(program, name)
    answer(guests, name, "403")
    reply = poll.read_reply()
    assert (reply.status, json.loads(reply.body)) == (401, {"message": "credential revoked"})
    assert reply.get("www-authenticate") is None


def test_who_has_become_somebody_else_is_closed(websocket, backend, program, guests, path, name):
    answer(guests, name, "200:a")
    backend.scripts["/changed"] = over_http
    client = websocket()
    client.open(f"{path}?name={name}", host="guests.test")
    ask_again(program, name)
    answer(guests, name, "200:b")
    assert client.read().close_code == 4401


def test_an_auth_server_may_fail_once(websocket, backend, program, guests, path, name):
    answer(guests, name, "200")
    backend.scripts["/changed"] = over_http
    client = websocket()
    client.open(f"{path}?name={name}", host="guests.test")
    ask_again(program, name)
    begun = time.monotonic()
    answer(guests, name, "503")
    assert client.read().close_code == 4401
    assert 0.3 < time.monotonic() - begun < DEADLINE_SECONDS  # not at the first
