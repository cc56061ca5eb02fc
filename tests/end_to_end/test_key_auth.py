"""Key authentication in the running program: the same for HTTP, holds and WebSockets."""

import json
import re
import time

import pytest

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS
from realtime_proxy.testing.websocket_client import TEXT

CONFIG = """
[handler.modern]
use = "key_auth"
[[handler.modern.consumers]]
username = "alice"
id = "11"
keys = ["supersecret"]

[handler.classic]
use = "key_auth"
profile = "classic"
key_names = ["Auth-Key"]
hide_credentials = true
[[handler.classic.consumers]]
custom_id = "c-1"
keys = ["supersecret"]

[[route]]
handlers = ["modern"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "classic.test"
handlers = ["classic"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "open.test"
targets = [{{ url = "{url}", over_http = true }}]
"""
CLASSIC_BODY = b'{"message":"Invalid authentication credentials"}\n'
KEY = [("apikey", "supersecret")]


@pytest.fixture(scope="module")
def program(start, backend):
    return start(CONFIG.format(url=backend.url))


def identity_of(call):
    return [
        (name.lower(), value)
        for name, value in call.fields
        if re.match(r"x[-_.](consumer|credential|anonymous)", name, re.IGNORECASE)
    ]


ALICE = [
    ("x-consumer-id", "11"),
    ("x-consumer-username", "alice"),
    ("x-credential-identifier", "alice/1"),
]
CLAIMS = [
    ("X-Consumer-Username", "root"),
    ("X_Consumer_Id", "0"),
    ("x-Consumer_Custom-id", "0"),
    ("X.Consumer.ID", "0"),
]


@pytest.mark.parametrize("expect", [[], [("Expect", "100-continue")]])
def test_without_a_key_the_backend_hears_nothing(connect, backend, path, expect):
    client = connect()
    client.request("POST", path, expect, b"body")
    reply = client.read_reply()
    assert reply.status == 401
    assert reply.get("www-authenticate") == "Key"
    assert reply.get("content-type") == "application/json; charset=utf-8"
    assert json.loads(reply.body)["message"] == "No API key found in request"
    assert backend.calls_to(path) == []


def test_a_classic_refusal_to_the_byte(connect, path):
    client = connect()
    client.request("GET", path, host="classic.test")
    reply = client.read_reply()
    assert (reply.status, reply.reason) == (403, "Forbidden")
    assert reply.get("content-type") == "application/json; charset=utf-8"
    assert reply.get("content-length") == "49"
    assert reply.body == CLASSIC_BODY


@pytest.mark.parametrize("path_of_key", ["", "?apikey=wrong"])
def test_a_websocket_is_refused_like_any_request(websocket, backend, path, path_of_key):
    modern, classic = websocket(), websocket()
    modern.ask(path + path_of_key)
    assert modern.client.read_reply().status == 401
    classic.ask(path, host="classic.test")
    reply = classic.client.read_reply()
    assert (reply.status, reply.body) == (403, CLASSIC_BODY)
    assert backend.calls_to(path) == []


def test_the_backend_learns_who_it_is_and_nothing_a_client_claims(connect, backend, path):
    client = connect()
    client.request("GET", path, KEY + CLAIMS)
    assert client.read_reply().status == 200
    assert identity_of(backend.wait_for(path)) == ALICE


def test_claims_are_taken_off_where_no_handler_is(connect, backend, path):
    client = connect()
    client.request("GET", path, CLAIMS, host="open.test")
    assert client.read_reply().status == 200
    assert identity_of(backend.wait_for(path)) == []


def test_a_hidden_key_reaches_no_backend(connect, backend, path):
    client = connect()
    client.request("GET", f"{path}?a=1&Auth-Key=supersecret&b", host="classic.test")
    assert client.read_reply().status == 200
    assert backend.wait_for(path).target == f"{path}?a=1&b"


def test_streams_and_long_polls_are_held_for_those_with_a_key(connect, backend, program, path):
    hold = [("Grip-Hold", "stream"), ("Grip-Channel", path), ("Content-Type", "text/plain")]
    backend.scripts[path] = lambda call: call.respond(fields=hold)
    refused, held = connect(), connect()
    refused.request("GET", path)
    assert refused.read_reply().status == 401
    held.request("GET", path, KEY)
    assert held.read_head().status == 200
    program.publish_until_taken(path, http_stream={"content": "hello"})
    assert held.read_until(b"hello")


def test_every_request_of_a_websocket_says_who_it_is(websocket, backend, path):
    def answer(call):
        events = [event for event in read_events(call.body) if event[0] in {"OPEN", "TEXT"}]
        body = write_events(*("OPEN" if kind == "OPEN" else (kind, text) for kind, text in events))
        call.respond(fields=[("Content-Type", CONTENT_TYPE)], body=body)

    backend.scripts[path] = answer
    client = websocket()
    client.open(path, KEY + CLAIMS)
    client.send(TEXT, b"hello")
    assert client.read().content == b"hello"
    calls = backend.calls_to(path)
    assert [identity_of(call) for call in calls] == [ALICE, ALICE]


def test_keys_are_in_no_log(connect, program, path):
    client = connect()
    for target in (f"{path}?apikey=almost-right", path):
        client.request("GET", target, [("apikey", "almost-right")])
        assert client.read_reply().status == 401
    client.request("GET", path, KEY)
    assert client.read_reply().status == 200
    refusal = program.wait_for_log("request_id ([0-9a-f]{32})")
    assert refusal[1] in program.log
    assert "almost-right" not in program.log
    assert "supersecret" not in program.log


# -- keys in forms -------------------------------------------------------------------------

FORM = ("Content-Type", "application/x-www-form-urlencoded")
CHUNKED = ("Transfer-Encoding", "chunked")


def post(connect, path, fields, body, host="classic.test"):
    client = connect()
    client.request("POST", path, fields, body, host=host)
    return client


def test_a_form_s_key_counts_and_goes_no_further(connect, backend, path):
    reply = post(connect, path, [FORM], b"a=1&Auth-Key=supersecret&b=2").read_reply(to="POST")
    assert reply.status == 200
    [call] = backend.calls_to(path)
    assert (call.body, call.get("content-length")) == (b"a=1&b=2", "7")
    assert call.get("x-consumer-custom-id") == "c-1"


def test_so_does_that_of_a_form_in_parts(connect, backend, path):
    def part(name, value):
        return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'

    fields = [("Content-Type", "multipart/form-data; boundary=b")]
    body = part("Auth-Key", "supersecret") + part("a", "1") + "--b--\r\n"
    assert post(connect, path, fields, body.encode()).read_reply(to="POST").status == 200
    assert backend.calls_to(path)[0].body == (part("a", "1") + "--b--\r\n").encode()


def test_a_form_in_chunks_and_the_request_behind_it(connect, backend, path):
    client = connect()
    head = f"POST {path} HTTP/1.1\r\nHost: classic.test\r\nContent-Type: {FORM[1]}\r\n"
    client.send(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
    client.send(b"8\r\nAuth-Key\r\n")
    client.send(
        b"10\r\n=supersecret&a=1\r\n0\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n"
    )
    assert client.read_reply(to="POST").status == 200
    assert client.read_reply().status == 200
    assert backend.calls_to(path)[0].body == b"a=1"


def test_a_client_that_waits_to_send_its_form_is_told_to(connect, backend, path):
    client = connect()
    body = b"Auth-Key=supersecret"
    head = f"POST {path} HTTP/1.1\r\nHost: classic.test\r\nContent-Type: {FORM[1]}\r\n"
    client.send(f"{head}Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode())
    assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
    assert backend.calls_to(path) == []
    client.send(body)
    assert client.read_reply(to="POST").status == 200
    assert backend.calls_to(path)[0].get("expect") is None


@pytest.mark.parametrize("expect", [[], [("Expect", "100-continue")]])
def test_whoever_expects_something_is_asked_for_a_key_as_well(connect, backend, path, expect):
    client = connect()
    client.request("POST", path, [FORM, *expect], b"a=1", host="classic.test")
    reply = client.read_until(CLASSIC_BODY)
    assert b" 403 " in reply
    assert backend.calls_to(path) == []


def test_large_bodies_pass_unread_with_a_key_in_their_head(connect, backend, path):
    body = b"a=" + b"x" * 300_000
    fields = [FORM, ("Auth-Key", "supersecret")]
    assert post(connect, path, fields, body).read_reply(to="POST").status == 200
    assert backend.calls_to(path)[0].body == body
    body = b"Auth-Key=supersecret&" + body
    assert post(connect, path, [FORM], body).read_reply(to="POST").status == 403


def test_a_form_that_does_not_arrive_is_told_so(connect, backend, path):
    client = connect()
    head = f"POST {path} HTTP/1.1\r\nHost: classic.test\r\nContent-Type: {FORM[1]}\r\n"
    client.send(f"{head}Transfer-Encoding: chunked\r\n\r\nno chunk\r\n".encode())
    assert client.read_reply(to="POST").status == 400
    assert backend.calls_to(path) == []


def test_a_held_form_is_repeated_without_its_key(connect, backend, program, path):
    hold = [("Grip-Hold", "response"), ("Grip-Channel", "forms"), ("Grip-Timeout", "100")]
    backend.scripts[path] = lambda call: call.respond(fields=hold)
    post(connect, path, [FORM], b"Auth-Key=supersecret&a=1")
    program.wait_for_subscriptions("forms", 1)
    program.publish("forms", http_response={"action": "hint"})
    ends_at = time.monotonic() + DEADLINE_SECONDS
    while len(calls := backend.calls_to(path)) < 2:
        assert time.monotonic() < ends_at
        time.sleep(0.01)
    assert [call.body for call in calls[:2]] == [b"a=1", b"a=1"]
