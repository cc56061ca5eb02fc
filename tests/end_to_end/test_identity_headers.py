"""Headers of the site's own for backends: by HTTP, on WebSockets, and told to other gateways."""

import json
import time

import pytest

from realtime_proxy.testing.events import CONTENT_TYPE, write_events
from realtime_proxy.testing.tokens import hs_token
from realtime_proxy.testing.websocket_client import TEXT

CONFIG = """
[forwarded]
trusted_proxies = ["127.0.0.1"]

[handler.who]
use = "jwt_auth"
renewal_type = "renew"
consumers = [{{ username = "ado", groups = ["staff"], jwt = [{{ key = "k", secret = "s" }}] }}]

[handler.told]
use = "identity_headers"
[handler.told.headers]
X-User = "{{consumer}}/{{subject}}"
X-Agency = "{{claims.agency}}"
X-Org = "{{groups}}"
X-Token = "{{claims.jti}}"

[[route]]
handlers = ["who", "told"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "open.test"
targets = [{{ url = "{url}" }}]

[[route]]
path = "/decisions"
targets = [{{ decisions = true }}]
"""
FORGED = [(name, "forged") for name in ("X-User", "X_User", "x.agency", "X-Org", "X-Agency")]


@pytest.fixture(scope="module")
def program(start, backend):
    return start(CONFIG.format(url=backend.url))


def bearer(**claims):
    claims = {"iss": "k", "sub": "u-1", "exp": time.time() + 600, **claims}
    return ("Authorization", f"Bearer {hs_token(claims, b's').decode()}")


def said(call):
    names = ("x-user", "x_user", "x-agency", "x.agency", "x-org")
    return {name: call.get_all(name) for name in names if call.get(name) is not None}


def test_backends_are_told_what_is_known(connect, backend, path):
    for claims in ({"agency": "north"}, {}, {"agency": "a\r\nX-Admin: 1"}):
        client = connect()
        client.request("GET", path, [*FORGED, bearer(**claims)])
        assert client.read_reply().status == 200
    known, *others = backend.calls_to(path)
    told = {"x-user": ["ado/u-1"], "x-org": ["staff"]}
    assert said(known) == {**told, "x-agency": ["north"]}
    assert [said(call) for call in others] == [told, told]
    assert others[1].get("x-admin") is None


def test_nobody_says_so_on_other_routes(connect, backend, path):
    client = connect()
    client.request("GET", path, FORGED, host="open.test")
    assert client.read_reply().status == 200
    assert said(backend.calls_to(path)[0]) == {}


def test_every_request_of_a_websocket_has_them(websocket, backend, path):
    opened = write_events("OPEN")
    backend.scripts[path] = lambda call: call.respond(200, [("Content-Type", CONTENT_TYPE)], opened)
    client = websocket()
    client.open(path, [*FORGED, bearer(agency="north")])
    client.send(TEXT, b"a")
    call = backend.wait_for(path, 2)
    assert said(call) == {"x-user": ["ado/u-1"], "x-org": ["staff"], "x-agency": ["north"]}


def test_links_of_a_stream_have_them(connect, backend, path):
    link = ("Grip-Link", f"<{path}>; rel=next")

    def one_more(call):
        call.respond(200, [link] if len(backend.calls_to(path)) == 1 else [], b"a")

    backend.scripts[path] = one_more
    client = connect()
    client.request("GET", path, [*FORGED, bearer(agency="north")])
    assert client.read_reply().body == b"aa"
    first, second = backend.calls_to(path)
    told = {"x-user": ["ado/u-1"], "x-org": ["staff"], "x-agency": ["north"]}
    assert said(first) == said(second) == told


def test_a_renewed_credential_is_told(websocket, backend, path):
    opened = write_events("OPEN")
    backend.scripts[path] = lambda call: call.respond(200, [("Content-Type", CONTENT_TYPE)], opened)
    client = websocket()
    client.open(path, [bearer(jti="first")])
    renewed = bearer(jti="second")[1].partition(" ")[2]
    client.send(TEXT, json.dumps({"type": "renew", "token": renewed}).encode())
    assert json.loads(client.read().content)["type"] == "renewed"
    client.send(TEXT, b"a")
    calls = backend.wait_for(path, 2), backend.calls_to(path)[0]
    assert [call.get("x-token") for call in calls] == ["second", "first"]


def test_other_gateways_are_told(connect, path):
    client = connect()
    client.request("GET", f"/decisions{path}", [*FORGED, bearer(agency="north")])
    reply = client.read_reply()
    assert reply.status == 200
    assert (reply.get("x-user"), reply.get("x-agency")) == ("ado/u-1", "north")
