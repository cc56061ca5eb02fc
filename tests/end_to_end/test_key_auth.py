"""Key authentication in the running program: the same for HTTP, holds and WebSockets."""

import json
import re

import pytest

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
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
