"""Clients come to the proxy, and from there through a gateway to the application."""

import jwt
import pytest

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.websocket_client import CLOSE, TEXT
from tests.chains.gateways import BEHIND
from tests.chains.holds import hold, publish_and_read

pytestmark = pytest.mark.chains
ORDER = BEHIND
KINDS = pytest.mark.parametrize("kind", ["plain", "event-stream"])
GRIP_KEY = b"only-for-this-example-make-your-own"


def is_ours(call):
    """Whether a request of the application's is signed by the proxy, and by nobody else."""
    [signature] = call.get_all("grip-sig")
    return jwt.decode(signature, GRIP_KEY, ["HS256"])["iss"] == "realtime-proxy"


# -- holds ---------------------------------------------------------------------------------------


@KINDS
def test_a_stream_is_held(chain, connect, path, kind):
    fields = hold("stream", path, Content_Type=f"text/{kind}")
    chain.backend.scripts[path] = lambda call: call.respond(fields=fields, body=b"first\n")
    client = connect()
    client.request("GET", path, [chain.credential])
    head = client.read_head()
    assert (head.status, head.get("grip-hold")) == (200, None)
    client.read_until(b"first\n")
    publish_and_read(chain, client, path)


def test_a_long_poll_is_held(chain, connect, path):
    fields = hold("response", path)
    chain.backend.scripts[path] = lambda call: call.respond(fields=fields)
    client = connect()
    client.request("GET", path, [chain.credential])
    chain.publish_until_taken(path.strip("/"), http_response={"body": "news"})
    reply = client.read_reply()
    assert (reply.status, reply.body) == (200, b"news")


def test_a_long_poll_asks_again(chain, connect, path):
    """As its client has asked, so that the gateway lets it through."""
    fields = hold("response", f"{path}; prev-id=1")
    chain.backend.scripts[path] = lambda call: call.respond(fields=fields)
    client = connect()
    client.request("GET", path, [chain.credential])
    chain.backend.wait_for(path).wait_until_answered()
    chain.backend.scripts[path] = lambda call: call.respond(body=b"what was missed")
    after_a_gap = {"id": "3", "prev-id": "2"}
    chain.publish_until_taken(path.strip("/"), fields=after_a_gap, http_response={"body": "3"})
    assert client.read_reply().body == b"what was missed"
    again = chain.backend.wait_for(path, 2)
    assert again.get_all("x-consumer-username") == ["alice"]
    assert again.get("grip-last") == f"{path.strip('/')}; last-id=1"


def test_a_stream_asks_for_what_it_has_missed(chain, connect, path):
    """With nothing of the client's, so past the gateway, of the application itself."""
    more = f"{path}.more"
    link = ("Grip-Link", f"<{chain.backend.url}{more}>; rel=next")
    fields = [*hold("stream", f"{path}; prev-id=1"), link]
    chain.backend.scripts[path] = lambda call: call.respond(fields=fields, body=b"1\n")
    caught_up = [*hold("stream", f"{path}; prev-id=3"), link]
    chain.backend.scripts[more] = lambda call: call.respond(fields=caught_up, body=b"2\n3\n")
    client = connect()
    client.request("GET", path, [chain.credential])
    client.read_until(b"1\n")
    after_a_gap = {"id": "3", "prev-id": "2"}
    chain.publish_until_taken(path.strip("/"), fields=after_a_gap, http_stream={"content": "3\n"})
    client.read_until(b"2\n3\n")
    asked = chain.backend.wait_for(more)
    assert is_ours(asked)
    assert asked.get("grip-last") == f"{path.strip('/')}; last-id=1"


# -- WebSockets ----------------------------------------------------------------------------------


def answer_events(call, channel):
    """Subscribe at the opening, and echo what is said."""
    fields = [("Content-Type", CONTENT_TYPE), ("Sec-WebSocket-Extensions", "grip")]
    answer = []
    for kind, content in read_events(call.body):
        if kind == "OPEN":
            subscribe = b'c:{"type": "subscribe", "channel": "%b"}' % channel.encode()
            answer += ["OPEN", ("TEXT", subscribe)]
        elif kind == "TEXT":
            answer.append((kind, b"m:" + content))
        else:
            answer.append((kind, content))
    call.respond(fields=fields, body=write_events(*answer))


def test_each_event_of_a_websocket_passes_the_gateway(chain, websocket, path):
    channel = path.strip("/")
    chain.backend.scripts[path] = lambda call: answer_events(call, channel)
    client = websocket()
    accepted = client.open(path, [chain.credential, ("X-Consumer-Username", "root")])
    shown = ", ".join(accepted.get_all("via"))
    assert shown.endswith("realtime-proxy")
    assert chain.gateway.via in shown
    for number in range(3):
        client.send(TEXT, b"%d" % number)
        assert client.read().content == b"%d" % number
    assert chain.publish(channel, ws_message={"content": "news"}) == 1
    assert client.read().content == b"news"
    client.send_close(1000)
    assert client.read().opcode == CLOSE

    requests = 5  # the opening, three messages, the close
    chain.backend.wait_for(path, requests).wait_until_answered()
    calls = chain.backend.calls_to(path)
    assert len(calls) == requests
    assert {call.get("content-type") for call in calls} == {CONTENT_TYPE}
    assert {tuple(call.get_all("x-consumer-username")) for call in calls} == {("alice",)}
    assert len({call.get("connection-id") for call in calls}) == 1
    logged = chain.member.wait_for(
        f"{requests} lines logged",
        lambda: lines if len(lines := chain.member.lines_with(path)) >= requests else None,
    )
    assert len(logged) == requests
    assert all("POST" in line and "alice" in line for line in logged), logged


def test_a_websocket_is_refused(chain, websocket, path):
    client = websocket()
    client.ask(path)
    reply = client.client.read_reply()
    assert reply.status == 401
    assert reply.get("sec-websocket-accept") is None
    assert "realtime-proxy" in reply.get_all("via")[-1]
    assert reply.get(chain.gateway.refusal_field)
    assert chain.gateway.refusal[BEHIND] in reply.body
    assert chain.backend.calls_to(path) == []


# -- who may pass --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["no-key", "wrong-key"])
def test_a_client_is_refused(chain, connect, path, key):
    client = connect()
    name, _ = chain.credential
    client.request("GET", path, [(name, "wrong")] if key == "wrong-key" else [])
    reply = client.read_reply()
    assert reply.status == 401
    assert reply.get(chain.gateway.refusal_field)
    assert chain.gateway.refusal[BEHIND] in reply.body
    assert chain.backend.calls_to(path) == []


def test_who_the_client_is(chain, connect, path):
    lies = [("X-Consumer-Username", "root"), ("X-Consumer-Username", "admin")]
    client = connect(source="127.0.0.3")
    client.request("GET", path, [chain.credential, *lies, ("X-Forwarded-For", "192.0.2.1")])
    assert client.read_reply().status == 200
    [call] = chain.backend.calls_to(path)
    assert call.get_all("x-consumer-username") == ["alice"]
    addresses = ",".join(call.get_all("x-forwarded-for")).split(",")
    assert addresses[0] == "127.0.0.3"


# -- members of a chain --------------------------------------------------------------------------


def test_the_application_knows_the_proxy(chain, connect, path):
    client = connect()
    client.request("GET", path, [chain.credential, ("Grip-Sig", "forged")])
    assert client.read_reply().status == 200
    [call] = chain.backend.calls_to(path)
    assert is_ours(call)


def test_via_has_the_members(chain, connect, path):
    client = connect()
    client.request("GET", path, [chain.credential])
    shown = ", ".join(client.read_reply().get_all("via"))
    assert shown.endswith("realtime-proxy")
    assert chain.gateway.via in shown
    [call] = chain.backend.calls_to(path)
    shown = ", ".join(call.get_all("via"))
    assert "realtime-proxy" in shown
    assert chain.gateway.via in shown


def test_nobody_is_held_for_a_client_that_has_gone(chain, connect, path):
    channel = path.strip("/")
    fields = hold("stream", path)
    chain.backend.scripts[path] = lambda call: call.respond(fields=fields, body=b"first\n")
    client = connect()
    client.request("GET", path, [chain.credential])
    client.read_until(b"first\n")
    client.close()
    chain.wait_for_no_subscribers(channel)
