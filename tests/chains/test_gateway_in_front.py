"""Clients come to a gateway, and from there to the proxy, which tells it who may pass."""

import pytest

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.websocket_client import TEXT
from tests.chains.gateways import IN_FRONT, with_gateways
from tests.chains.holds import hold, publish_and_read

pytestmark = pytest.mark.chains
ORDER = IN_FRONT
KINDS = pytest.mark.parametrize("kind", ["plain", "event-stream"])


# -- what is published ---------------------------------------------------------------------------


@KINDS
def test_a_stream_arrives_as_it_is_published(chain, connect, path, kind):
    fields = hold("stream", path, Content_Type=f"text/{kind}")
    chain.backend.scripts[path] = lambda call: call.respond(fields=fields, body=b"first\n")
    client = connect()
    client.request("GET", path, [chain.credential])
    assert client.read_head().status == 200
    client.read_until(b"first\n")
    publish_and_read(chain, client, path)


def test_a_long_poll_is_answered_by_what_is_published(chain, connect, path):
    fields = hold("response", path)
    chain.backend.scripts[path] = lambda call: call.respond(fields=fields)
    client = connect()
    client.request("GET", path, [chain.credential])
    chain.publish_until_taken(path.strip("/"), http_response={"body": "news"})
    reply = client.read_reply()
    assert (reply.status, reply.body) == (200, b"news")


# -- who may pass --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["no-key", "wrong-key"])
def test_a_client_is_refused(chain, connect, path, key):
    client = connect()
    name, _ = chain.credential
    client.request("GET", path, [(name, "wrong")] if key == "wrong-key" else [])
    reply = client.read_reply()
    assert reply.status == 401
    if key == "no-key":
        assert chain.gateway.refusal[IN_FRONT] in reply.body
    assert chain.backend.calls_to(path) == []


def test_who_the_client_is(chain, connect, path):
    lies = [("X-Consumer-Username", "root"), ("X_Consumer_Username", "root")]
    client = connect()
    client.request("GET", path, [chain.credential, *lies])
    assert client.read_reply().status == 200
    [call] = chain.backend.calls_to(path)
    told = [field for field in call.fields if field[0].replace("_", "-") == "x-consumer-username"]
    assert told == [("x-consumer-username", "alice")]
    chain.proxy.wait_for_log(rf"consumer=alice .*uri=\S+{path}\s")


def test_nobody_else_says_who_a_client_is(chain, connect, path):
    stranger = connect(chain.proxy_address, source="127.0.0.2")
    stranger.request("GET", path, [("X-Consumer-Username", "root")], host="realtime.internal")
    assert stranger.read_reply().status == 401
    assert chain.backend.calls_to(path) == []


@with_gateways(lambda gateway: gateway.asks_decisions)
def test_nobody_else_asks_who_may_pass(chain, connect):
    stranger = connect(chain.proxy_address, source="127.0.0.2")
    stranger.request("GET", "/decisions/", [chain.credential])
    assert stranger.read_reply().status == 403


@with_gateways(lambda gateway: gateway.asks_decisions)
def test_a_key_that_is_withdrawn_ends_what_it_has_opened(chain, connect, path):
    """Where the handler that knows it is on the route for what has been let through."""
    fields = hold("stream", path)
    chain.backend.scripts[path] = lambda call: call.respond(fields=fields, body=b"first\n")
    with chain.configured('"gateway_identity"', '"partner_key"'):
        client = connect()
        client.request("GET", path, [chain.credential])
        client.read_until(b"first\n")
        chain.publish_until_taken(path.strip("/"), http_stream={"content": "1\n"})
        with chain.configured('"supersecret"', '"another"'):
            chain.proxy.wait_for_log(rf"connection closed .*uri=\S+{path}\s.*reason=revoked")
            client.read_until(b"1\n")
            client.read_until(b"0\r\n\r\n")


def test_where_the_client_is(chain, connect, path):
    client = connect(source="127.0.0.3")
    client.request("GET", path, [chain.credential, ("X-Forwarded-For", "192.0.2.1")])
    assert client.read_reply().status == 200
    chain.proxy.wait_for_log(rf"client=127\.0\.0\.3 .*uri=\S+{path}\s")


# -- WebSockets ----------------------------------------------------------------------------------


@with_gateways(lambda gateway: gateway.passes_websockets)
def test_a_websocket(chain, websocket, path):
    channel = path.strip("/")
    subscribe = ("TEXT", b'c:{"type": "subscribe", "channel": "%b"}' % channel.encode())
    opening = [("Content-Type", CONTENT_TYPE), ("Sec-WebSocket-Extensions", "grip")]
    chain.backend.scripts[path] = lambda call: call.respond(
        fields=opening, body=write_events("OPEN", subscribe)
    )
    client = websocket()
    accepted = client.open(path, [chain.credential, ("X-Consumer-Username", "root")])
    assert "realtime-proxy" in ", ".join(accepted.get_all("via"))
    for number in range(3):
        assert chain.publish(channel, ws_message={"content": f"news {number}"}) == 1
        assert client.read().content == b"news %d" % number
    chain.backend.scripts[path] = lambda call: call.respond(
        fields=opening[:1], body=write_events(("TEXT", b"m:echo"))
    )
    client.send(TEXT, b"hello")
    assert client.read().content == b"echo"
    for number in (1, 2):
        call = chain.backend.wait_for(path, number)
        assert call.get_all("x-consumer-username") == ["alice"]


@with_gateways(lambda gateway: gateway.passes_websockets)
def test_a_websocket_is_refused(chain, websocket, path):
    client = websocket()
    client.ask(path)
    reply = client.client.read_reply()
    assert reply.status == 401
    assert chain.gateway.refusal[IN_FRONT] in reply.body
    assert chain.backend.calls_to(path) == []


@with_gateways(lambda gateway: gateway.drops_websockets)
def test_nobody_is_held_for_a_websocket_that_it_drops(chain, websocket, path):
    """Its client waits in vain. With the proxy in front it has its WebSocket."""
    channel = path.strip("/")
    subscribe = ("TEXT", b'c:{"type": "subscribe", "channel": "%b"}' % channel.encode())
    opening = [("Content-Type", CONTENT_TYPE), ("Sec-WebSocket-Extensions", "grip")]
    chain.backend.scripts[path] = lambda call: call.respond(
        fields=opening, body=write_events("OPEN", subscribe) if b"OPEN" in call.body else b""
    )
    client = websocket()
    client.ask(path, [chain.credential])
    told = chain.backend.wait_for(path, 2)
    assert read_events(told.body)[-1][0] == "DISCONNECT"
    chain.wait_for_no_subscribers(channel)


# -- members of a chain --------------------------------------------------------------------------


def test_via_has_the_members(chain, connect, path):
    client = connect()
    client.request("GET", path, [chain.credential])
    shown = ", ".join(client.read_reply().get_all("via"))
    assert "realtime-proxy" in shown
    assert chain.gateway.via in shown
    [call] = chain.backend.calls_to(path)
    shown = ", ".join(call.get_all("via"))
    assert shown.endswith("realtime-proxy")
    assert chain.gateway.via in shown


@pytest.mark.parametrize("held", ["stream", "response"])
@with_gateways(lambda gateway: gateway.tells_of_aborts)
def test_nobody_is_held_for_a_client_that_has_gone(chain, connect, path, held):
    fields = hold(held, path)
    chain.backend.scripts[path] = lambda call: call.respond(fields=fields)
    client = connect()
    client.request("GET", path, [chain.credential])
    chain.proxy.wait_for_log(rf"connection opened .*uri=\S+{path}\s")
    client.close()
    chain.proxy.wait_for_log(rf"connection closed .*uri=\S+{path}\s.*reason=client-gone")
    assert chain.publish(path.strip("/"), http_stream={"content": ""}) == 0


@with_gateways(lambda gateway: gateway.passes_websockets)
def test_nobody_is_held_for_a_websocket_that_has_gone(chain, websocket, path):
    fields = [("Content-Type", CONTENT_TYPE)]
    chain.backend.scripts[path] = lambda call: call.respond(fields=fields, body=b"OPEN\r\n")
    client = websocket()
    client.open(path, [chain.credential])
    client.client.close()
    closing = chain.backend.wait_for(path, 2)
    assert read_events(closing.body) == [("DISCONNECT", b"")]


@with_gateways(lambda gateway: gateway.tells_at_a_write)
def test_a_client_that_has_gone_is_noticed_at_a_write(chain, connect, path):
    """An item, or a keep-alive."""
    channel = path.strip("/")
    fields = hold("stream", path)
    chain.backend.scripts[path] = lambda call: call.respond(fields=fields)
    client = connect()
    client.request("GET", path, [chain.credential])
    chain.proxy.wait_for_log(rf"connection opened .*uri=\S+{path}\s")
    client.close()
    item = {"content": "item\n"}
    chain.proxy.wait_for("end", lambda: not chain.publish(channel, http_stream=item))
    chain.proxy.wait_for_log(rf"connection closed .*uri=\S+{path}\s.*reason=client-gone")


@pytest.mark.parametrize("held", ["stream", "response"])
@with_gateways(lambda gateway: not gateway.tells_of_aborts)
def test_a_client_that_has_gone_unnoticed_is_held_up_to_its_age(chain, connect, path, held):
    fields = hold(held, path)
    chain.backend.scripts[path] = lambda call: call.respond(fields=fields)
    with chain.aging(seconds=2):
        client = connect()
        client.request("GET", path, [chain.credential])
        chain.proxy.wait_for_log(rf"connection opened .*uri=\S+{path}\s")
        client.close()
        chain.proxy.wait_for_log(rf"connection closed .*uri=\S+{path}\s.*reason=max-age")
    assert chain.publish(path.strip("/"), http_stream={"content": ""}) == 0
