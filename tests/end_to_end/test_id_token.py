"""Tokens of ours for backends: on every request of a connection, by the keys that are published."""

import json
import time

import jwt
import pytest

from realtime_proxy.testing.events import CONTENT_TYPE, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS
from realtime_proxy.testing.tokens import hs_token, private_pem, public_pem
from realtime_proxy.testing.websocket_client import TEXT

CONFIG = """
[forwarded]
trusted_proxies = ["127.0.0.1"]

[handler.who]
use = "jwt_auth"
renewal_type = "renew"
consumers = [{{ username = "ado", groups = ["staff"], jwt = [{{ key = "k", secret = "s" }}] }}]

[handler.id_token]
issuer = "https://us.test/"
ttl_seconds = {ttl}
claims = {{ groups = "{{groups}}", agency = "{{claims.agency}}" }}
keys = [{{ key = "file:{folder}/first.pem" }}, {{ key = "file:{folder}/second.pem" }}]

[[route]]
path = "/.well-known/jwks.json"
handlers = ["id_token"]
targets = [{{ url = "{url}" }}]

[[route]]
handlers = ["who", "id_token"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "open.test"
handlers = ["id_token"]
targets = [{{ url = "{url}" }}]

[[route]]
host = "through.test"
handlers = ["who", "id_token"]
targets = [{{ url = "{url}" }}]

[[route]]
path = "/decisions"
targets = [{{ decisions = true }}]
"""
TTL = 0.05  # so that none of a connection's tokens counts long


def put(file, pem):
    """Write a key in one step: files are read as soon as they have changed."""
    file.with_suffix(".new").write_bytes(pem)
    file.with_suffix(".new").replace(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    put(folder / "first.pem", private_pem("P-256"))
    put(folder / "second.pem", public_pem("P-384"))
    return folder


@pytest.fixture(scope="module")
def program(start, backend, folder):
    return start(CONFIG.format(url=backend.url, folder=folder, ttl=TTL))


def bearer(**claims):
    claims = {"iss": "k", "sub": "u-1", "exp": time.time() + 600, **claims}
    return ("Authorization", f"Bearer {hs_token(claims, b's').decode()}")


@pytest.fixture
def keys(connect):
    """Fetches the keys that are published now, by their names."""

    def fetch():
        client = connect()
        client.request("GET", "/.well-known/jwks.json")
        reply = client.read_reply()
        assert (reply.status, reply.get("content-type")) == (200, "application/json")
        assert reply.get("cache-control") == "public, max-age=300"
        return {key["kid"]: jwt.PyJWK(key) for key in json.loads(reply.body)["keys"]}

    return fetch


def token_of(call):
    [value] = call.get_all("authorization")
    scheme, token = value.split(" ")
    assert scheme == "Bearer"
    return token


def claims_of(call, keys):
    """What the token of a request says, which the published keys have signed."""
    token = token_of(call)
    key = keys[jwt.get_unverified_header(token)["kid"]]
    # A second has passed by now, if the machine is busy: when it counts has tests of its own.
    return jwt.decode(token, key, ["ES256", "RS256"], options={"verify_exp": False})


def test_a_backend_gets_ours_in_place_of_the_clients(connect, backend, keys, path, program):
    theirs = bearer(agency="north")
    client = connect()
    client.request("GET", path, [theirs])
    assert client.read_reply().status == 200
    claims = claims_of(backend.calls_to(path)[0], keys())
    assert (claims["iss"], claims["sub"]) == ("https://us.test/", "ado")
    assert (claims["groups"], claims["agency"]) == (["staff"], "north")
    client.request("GET", path, [theirs], host="open.test")
    assert client.read_reply().status == 200
    assert backend.calls_to(path)[1].get("authorization") is None
    assert token_of(backend.calls_to(path)[0]) not in program.log
    assert theirs[1].partition(" ")[2] not in program.log


def test_keys_are_public_and_nobody_needs_a_token_for_them(connect, keys, path):
    assert {key.algorithm_name for key in keys().values()} == {"ES256", "ES384"}
    client = connect()
    client.request("GET", path)
    assert client.read_reply().status == 401


def echo(call):
    is_first = call.get("sec-websocket-version") is not None and b"OPEN" in call.body
    events = write_events("OPEN") if is_first else write_events(("TEXT", b"ok"))
    call.respond(200, [("Content-Type", CONTENT_TYPE)], events)


def until_another(client, backend, path, first):
    """Send messages until one goes to the backend with another token; that request."""
    end = time.monotonic() + DEADLINE_SECONDS
    while True:
        client.send(TEXT, b"hello")
        assert client.read().content == b"ok"
        call = backend.calls_to(path)[-1]
        if token_of(call) != first:
            return call
        assert time.monotonic() < end


def test_messages_of_a_websocket_have_fresh_ones(websocket, backend, keys, path):
    backend.scripts[path] = echo
    client = websocket()
    client.open(path, [bearer()])
    opening = backend.wait_for(path)
    later = until_another(client, backend, path, token_of(opening))
    assert claims_of(later, keys())["sub"] == "ado"
    assert claims_of(later, keys())["jti"] != claims_of(opening, keys())["jti"]


def test_a_renewed_credential_does_not_go_in_its_place(websocket, backend, keys, path):
    backend.scripts[path] = echo
    client = websocket()
    client.open(path, [bearer()])
    first = token_of(backend.wait_for(path))
    renewed = bearer()[1].partition(" ")[2]
    client.send(TEXT, json.dumps({"type": "renew", "token": renewed}).encode())
    assert json.loads(client.read().content)["type"] == "renewed"
    later = until_another(client, backend, path, first)
    assert claims_of(later, keys())["iss"] == "https://us.test/"


def test_links_of_a_stream_have_fresh_ones(connect, backend, keys, path):
    link = ("Grip-Link", f"<{path}>; rel=next")

    def more_until_another(call):
        first = backend.calls_to(path)[0]
        call.respond(200, [link] if token_of(call) == token_of(first) else [], b"a")

    backend.scripts[path] = more_until_another
    client = connect()
    client.request("GET", path, [bearer()])
    assert client.read_reply().status == 200
    first, *_, last = backend.calls_to(path)
    assert token_of(first) != token_of(last)
    assert {claims_of(call, keys())["sub"] for call in (first, last)} == {"ado"}


def test_a_websocket_that_is_passed_through_has_one(websocket, backend, keys, path):
    websocket().ask(path, [bearer()], host="through.test")
    assert claims_of(backend.wait_for(path), keys())["sub"] == "ado"
    websocket().ask(path, [bearer()], host="open.test")
    assert backend.wait_for(path, 2).get("authorization") is None


def test_other_gateways_are_told(connect, keys, path):
    client = connect()
    client.request("GET", f"/decisions{path}", [bearer()])
    reply = client.read_reply()
    assert reply.status == 200
    assert claims_of(reply, keys())["sub"] == "ado"
    client.request("GET", f"/decisions{path}")
    reply = client.read_reply()
    assert (reply.status, reply.get("authorization")) == (401, None)


def test_another_key_signs_for_those_who_are_connected(
    program, websocket, backend, keys, folder, path
):
    backend.scripts[path] = echo
    client = websocket()
    client.open(path, [bearer()])
    first = token_of(backend.wait_for(path))
    put(folder / "first.pem", private_pem("RSA"))
    put(folder / "second.pem", public_pem("P-256"))
    program.hang_up()
    signed_by = old = jwt.get_unverified_header(first)["kid"]
    while signed_by == old:  # who is connected is served while the configuration changes
        later = until_another(client, backend, path, first)
        first = token_of(later)
        signed_by = jwt.get_unverified_header(first)["kid"]
    published = keys()
    assert claims_of(later, published)["sub"] == "ado"
    assert published[signed_by].algorithm_name == "RS256"
    assert set(published) == {old, signed_by}
    put(folder / "second.pem", public_pem("P-384"))
    put(folder / "first.pem", private_pem("P-256"))
    program.hang_up()
