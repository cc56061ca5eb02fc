"""Tokens in the running program: the same for HTTP, holds and WebSockets, with keys that change."""

import json
import time

import pytest

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.tokens import hs_token, jwk, signed
from realtime_proxy.testing.websocket_client import TEXT

ISSUER = "https://idp.example/"
CONFIG = """
[handler.provider]
use = "jwt_auth"
claims_to_headers = {{ X-Agency = "agency" }}

[[handler.provider.issuers]]
issuer = "https://idp.example/"
audience = ["api"]
jwks_url = "{url}/keys"
jwks_retry_seconds = 0.1

[handler.consumers]
use = "jwt_auth"
[[handler.consumers.consumers]]
username = "ado"
[[handler.consumers.consumers.jwt]]
key = "adokey"
secret = "supersecret"

[[route]]
handlers = ["provider"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "kong.test"
handlers = ["consumers"]
targets = [{{ url = "{url}", over_http = true }}]
"""


def publish(backend, *keys):
    body = json.dumps({"keys": keys}).encode()
    backend.scripts["/keys"] = lambda call: call.respond(body=body)


@pytest.fixture(scope="module")
def program(start, backend):
    publish(backend, jwk(kid="a"))
    return start(CONFIG.format(url=backend.url))


def provided(kid="a", kind="RSA", seconds=60, **claims):
    now = time.time()
    told = {"iss": ISSUER, "aud": "api", "sub": "u-1", "exp": now + seconds, **claims}
    return signed(told, kind, "RS256", kid=kid).decode()


def bearer(token):
    return [("Authorization", f"Bearer {token}")]


def test_a_providers_token_passes_and_the_backend_knows_whose_it_is(connect, backend, path):
    client = connect()
    claimed = [("X-Agency", "claimed"), ("X.Agency", "claimed")]
    client.request("GET", path, bearer(provided(agency="north")) + claimed)
    assert client.read_reply().status == 200
    call = backend.wait_for(path)
    assert call.get_all("x-agency") == ["north"]
    assert call.get_all("x.agency") == []
    assert call.get("x-consumer-username") == "u-1"


def test_without_one_the_backend_hears_nothing(connect, websocket, backend, path):
    client = connect()
    client.request("GET", path)
    reply = client.read_reply()
    assert (reply.status, reply.get("www-authenticate")) == (401, "Bearer")
    assert json.loads(reply.body) == {"message": "Unauthorized"}
    refused = websocket()
    refused.ask(f"{path}?jwt=a.b.c")
    assert refused.client.read_reply().status == 401
    assert backend.calls_to(path) == []


def test_keys_may_change_under_way(connect, backend, path):
    client = connect()
    publish(backend, jwk(kid="a"), jwk(kid="b"))
    client.request("GET", path, bearer(provided("b")))
    status = client.read_reply().status
    while status != 200:  # within the pause between two attempts
        client.request("GET", path, bearer(provided("b")))
        status = client.read_reply().status
    publish(backend, jwk(kid="a"))


def test_a_stream_ends_with_its_token(connect, backend, path):
    fields = [("Grip-Hold", "stream"), ("Grip-Channel", "a"), ("Content-Type", "text/event-stream")]
    backend.scripts[path] = lambda call: call.respond(fields=fields)
    client = connect()
    client.request("GET", path, bearer(provided(seconds=1)))
    assert client.read_reply().body == b"event: expired\ndata: credential expired\n\n"


def accepting(chosen):
    def script(call):
        events = [event for event in read_events(call.body) if event[0] in {"OPEN", "TEXT"}]
        fields = [("Content-Type", CONTENT_TYPE), *chosen]
        body = write_events(*("OPEN" if kind == "OPEN" else (kind, text) for kind, text in events))
        call.respond(fields=fields, body=body)

    return script


@pytest.mark.parametrize(
    ("offered", "shown", "chosen", "answered"),
    [
        ("bearer, {}", None, [], "bearer"),
        ("bearer, {}, chat", "chat", [("Sec-WebSocket-Protocol", "chat")], "chat"),
    ],
)
def test_a_page_gives_its_token_as_a_subprotocol(
    websocket, backend, program, path, offered, shown, chosen, answered
):
    backend.scripts[path] = accepting(chosen)
    token = hs_token({"iss": "adokey"}).decode()
    client = websocket()
    protocols = [("Sec-WebSocket-Protocol", offered.format(token))]
    reply = client.open(path, protocols, host="kong.test")
    assert reply.get_all("sec-websocket-protocol") == [answered]
    client.send(TEXT, b"hello")
    assert client.read().content == b"hello"
    for call in backend.calls_to(path):
        assert call.get("sec-websocket-protocol") == shown
        assert call.get("x-consumer-username") == "ado"
        assert token not in str(call.fields)
    assert token not in program.log


def test_tokens_are_in_no_log(connect, program, path):
    token = hs_token({"iss": "adokey", "n": path}).decode()
    client = connect()
    client.request("GET", f"{path}?jwt={token}", host="kong.test")
    assert client.read_reply().status == 200
    program.wait_for_log(f"{path}.jwt=")
    assert token not in program.log
