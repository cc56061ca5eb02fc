"""Members of a chain of proxies: who is believed, who is told what, and what ends a circle."""

import pytest

from realtime_proxy.testing.raw_client import RawClient
from realtime_proxy.testing.reserved_ports import reserved_ports
from realtime_proxy.testing.websocket_client import WebSocketClient

HOLD = [("Grip-Hold", "stream"), ("Grip-Channel", "news")]
GATEWAY = """
from realtime_proxy.pipeline import CONTINUE, BaseHandler


class Handler(BaseHandler):
    sets_headers = frozenset(("x-consumer-id",))
"""
ROUTES = """
[forwarded]
trusted_proxies = ["unix"]

[handler.gateway]

[[route]]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "gateway"
identity_headers = ["X-Consumer-ID", "auth_id"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "both"
identity_headers = ["X-Consumer-ID", "auth_id"]
handlers = ["gateway"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "reads"
handlers = ["gateway_identity", "staff"]
targets = [{{ url = "{url}", over_http = true }}]

[handler.staff]
use = "acl"
allow = ["staff"]

[[route]]
host = "closed"
targets = [{{ url = "http://127.0.0.1:1", over_http = true }}]

[[route]]
host = "circle"
targets = [{{ url = "http://127.0.0.1:{circle}" }}]
"""
SERVER = "event_stream_keep_alive_seconds = 1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sockets")


@pytest.fixture(scope="module")
def program(start, backend, folder):
    with reserved_ports(1) as (circle,):
        program = start(
            ROUTES.format(url=backend.url, circle=circle),
            handlers=[("gateway", GATEWAY)],
            server=SERVER,
            listen=f"unix:{folder}/proxy.sock 127.0.0.1:{circle}",
        )
        program.wait_for_log("serving ")  # at all of its addresses
    return program


@pytest.fixture
def gateway(connect, folder, program):
    """Connects as a proxy that is known does."""
    del program
    return lambda: connect(f"{folder}/proxy.sock")


# -- identity ------------------------------------------------------------------------------------

SENT = [("X-Consumer-ID", "alice"), ("auth_id", "7"), ("x_consumer_id", "root"), ("auth-id", "1")]


def identity_at(backend, path):
    return [
        field
        for field in backend.calls_to(path)[0].fields
        if field[0].replace("_", "-") in {"x-consumer-id", "auth-id"}
    ]


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("gateway", [("x-consumer-id", "alice"), ("auth_id", "7")]),
        ("both", [("auth_id", "7")]),
        ("other", []),
    ],
)
def test_identity_from_a_gateway(gateway, backend, path, host, wanted):
    client = gateway()
    client.request("GET", path, SENT, host=host)
    assert client.read_reply().status == 200
    assert identity_at(backend, path) == wanted


@pytest.mark.parametrize("host", ["gateway", "both", "other"])
def test_identity_from_anybody_else(connect, backend, path, host):
    client = connect()
    client.request("GET", path, SENT, host=host)
    assert client.read_reply().status == 200
    assert identity_at(backend, path) == []


KONG = [("X-Consumer-Username", "alice"), ("X-Consumer-Groups", "staff")]


def test_handlers_read_the_identity_of_a_gateway(connect, gateway, backend, path):
    for client, status in ((gateway(), 200), (connect(), 401)):
        client.request("GET", path, KONG, host="reads")
        assert client.read_reply().status == status
    (call,) = backend.calls_to(path)
    assert call.get_all("x-consumer-username") == ["alice"]
    assert call.get_all("x-consumer-groups") == ["staff"]
    client = gateway()
    client.request("GET", path, [KONG[0], ("X_Consumer_Groups", "staff")], host="reads")
    assert client.read_reply().status == 403


def test_identity_of_a_websocket_is_in_all_its_requests(gateway, backend, path):
    backend.scripts[path] = lambda call: call.respond(
        fields=[("Content-Type", "application/websocket-events")], body=b"OPEN\r\n"
    )
    websocket = WebSocketClient(gateway())
    websocket.open(path, SENT, host="gateway")
    websocket.send_close(1000)
    for number in (1, 2):
        assert backend.wait_for(path, number).get("x-consumer-id") == "alice"


# -- where a request comes from --------------------------------------------------------------------


def test_what_is_said_of_origins(connect, gateway, backend, path):
    fields = [("Forwarded", "for=1.1.1.1"), ("X-Forwarded-Host", "evil"), ("X_Real_IP", "1.1.1.1")]
    for client in (connect(), gateway()):
        client.request("GET", path, [*fields, ("X-Forwarded-For", "1.1.1.1")])
        assert client.read_reply().status == 200
    stranger, known = backend.calls_to(path)
    assert stranger.get_all("x-forwarded-for") == ["127.0.0.1"]
    assert known.get_all("x-forwarded-for") == ["1.1.1.1"]
    names = [name.lower() for name, _ in fields]
    assert [stranger.get(name) for name in names] == [None] * 3
    assert [known.get(name) for name in names] == [value for _, value in fields]


# -- Via ------------------------------------------------------------------------------------------


def test_via_both_ways(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(fields=[("Via", "1.1 inner")])
    client = connect()
    client.request("GET", path, [("Via", "1.1 outer")])
    assert client.read_reply().get_all("via") == ["1.1 inner", "1.1 realtime-proxy"]
    assert backend.calls_to(path)[0].get_all("via") == ["1.1 outer, 1.1 realtime-proxy"]


def test_via_of_a_websocket(connect, backend, path):
    inner = ("Via", "1.1 inner")
    fields = [("Content-Type", "application/websocket-events"), inner]
    backend.scripts[path] = lambda call: call.respond(fields=fields, body=b"OPEN\r\n")
    accepted = WebSocketClient(connect()).open(path)
    backend.scripts[path] = lambda call: call.respond(403, [inner])
    refused = WebSocketClient(connect())
    refused.ask(path)
    for reply in (accepted, refused.client.read_reply()):
        assert reply.get_all("via") == ["1.1 inner", "1.1 realtime-proxy"]


def test_an_error_of_our_own_came_by_nobody(connect):
    client = WebSocketClient(connect())
    client.ask("/", host="closed")
    reply = client.client.read_reply()
    assert (reply.status, reply.get("via")) == (502, None)


def test_a_circle_ends(connect, program):
    client = connect()
    client.request("GET", "/", host="circle")
    reply = client.read_reply()
    assert (reply.status, reply.reason) == (508, "Loop Detected")
    assert b"here 4 times before" in reply.body
    program.wait_for_log("Loop detected")


# -- streams through gateways ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/event-stream", "text/plain"])
def test_streams_ask_not_to_be_collected(connect, backend, path, kind):
    backend.scripts[path] = lambda call: call.respond(fields=[*HOLD, ("Content-Type", kind)])
    client = connect()
    client.request("GET", path)
    head = client.read_head()
    assert head.get("x-accel-buffering") == "no"
    assert head.get("cache-control") == "no-transform"


def test_a_stream_whose_backend_says_otherwise(connect, backend, path):
    fields = [("X-Accel-Buffering", "yes"), ("Cache-Control", "no-store, No-Transform")]
    backend.scripts[path] = lambda call: call.respond(fields=[*HOLD, *fields])
    client = connect()
    client.request("GET", path)
    head = client.read_head()
    assert head.get_all("x-accel-buffering") == ["yes"]
    assert head.get_all("cache-control") == ["no-store, No-Transform"]


def test_long_polls_and_responses_are_left_alone(connect, backend, path):
    hold = [("Grip-Hold", "response"), ("Grip-Channel", "news"), ("Grip-Timeout", "1")]
    for fields in (hold, []):
        backend.scripts[path] = lambda call, fields=fields: call.respond(fields=fields)
        client = connect()
        client.request("GET", path)
        assert client.read_reply().get("x-accel-buffering") is None


@pytest.mark.slow
def test_silent_event_streams_get_comments(connect, backend, path):
    events = [*HOLD, ("Content-Type", "text/event-stream")]
    backend.scripts[path] = lambda call: call.respond(fields=events, body=b"data: a\n\n")
    client = connect()
    client.request("GET", path)
    client.read_head()
    assert [client.read_chunk() for _ in range(3)] == [b"data: a\n\n", b":\n", b":\n"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        [("Content-Type", "text/plain")],
        [("Content-Type", "text/event-stream"), ("Content-Encoding", "gzip")],
        [("Content-Type", "text/event-stream"), ("Grip-Keep-Alive", "mine; timeout=30")],
    ],
)
def test_nothing_gets_into_other_streams(program, connect, backend, path, fields):
    channel = path.strip("/")
    hold = [("Grip-Hold", "stream"), ("Grip-Channel", channel), *fields]
    backend.scripts[path] = lambda call: call.respond(fields=hold, body=b"data: a\n\n")
    client = connect()
    client.request("GET", path)
    client.read_head()
    assert client.read_chunk() == b"data: a\n\n"
    other = [("Grip-Hold", "stream"), ("Content-Type", "text/event-stream")]
    other += [("Grip-Channel", "news")]
    backend.scripts[path] = lambda call: call.respond(fields=other, body=b"data: a\n\n")
    with RawClient(program.address) as clock:
        clock.request("GET", path)
        clock.read_head()
        assert [clock.read_chunk() for _ in range(3)][1:] == [b":\n", b":\n"]
    program.publish(channel, http_stream={"content": "item"})
    assert client.read_chunk() == b"item"
