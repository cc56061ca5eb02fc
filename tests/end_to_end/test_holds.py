"""Streams and long-polls held open, through the real program."""

import contextlib
import json
import threading

import jwt
import pytest

from realtime_proxy.testing.raw_client import (
    DEADLINE_SECONDS,
    CutShort,
    Ending,
    RawClient,
    encode_request,
)

SERVER = """
max_backlog_bytes = 200_000
body_timeout_seconds = 60
"""
UPSTREAM_KEY = "the key of a proxy in front, long enough to be one"
ROUTES = """
[grip]
upstream_key = "{key}"
key = "the key towards backends, which is long enough too"

[[route]]
targets = [{{ url = "{url}" }}]

[[route]]
host = "no.grip"
grip = false
targets = [{{ url = "{url}" }}]

[[route]]
host = "debug"
debug = true
targets = [{{ url = "{url}" }}]

[[route]]
host = "sub"
channel_prefix = "p-"
targets = [{{ url = "{url}", subscribe = ["everyone"] }}]
"""


@pytest.fixture(scope="module")
def program(start, backend):
    return start(ROUTES.format(url=backend.url, key=UPSTREAM_KEY), server=SERVER)


@pytest.fixture
def hold(backend, path):
    """Have the backend hold the test's path: kind, further fields, body and channels."""

    def order(kind, *fields, body=b"", channels=(path,), status=200):
        grip = [("Grip-Hold", kind), *(("Grip-Channel", channel) for channel in channels)]
        backend.scripts[path] = lambda call: call.respond(status, [*grip, *fields], body)

    return order


def send_stream(program, channel, content):
    program.publish_until_taken(channel, http_stream={"content": content})


# -- streams -------------------------------------------------------------------------------------


def test_stream(connect, program, hold, path):
    hold("stream", ("Content-Type", "text/x"), ("X-Own", "1"), body=b"opened", status=201)
    client = connect()
    client.request("GET", path)
    reply = client.read_head()
    assert (reply.status, reply.get("content-type"), reply.get("x-own")) == (201, "text/x", "1")
    assert not [name for name, _ in reply.fields if name.startswith("grip")]
    assert (reply.is_chunked, reply.get("content-length")) == (True, None)
    assert client.read_chunk() == b"opened"
    for content in ("one", "two", "x" * 100_000):
        assert program.publish(path, http_stream={"content": content}) == 1
        assert client.read_chunk() == content.encode()


def test_several_channels_keep_their_order(connect, program, hold, path):
    hold("stream", channels=[f"{path}-a", f"{path}-b, {path}-c"], body=b"x")
    client = connect()
    client.request("GET", path)
    client.read_head()
    assert client.read_chunk() == b"x"
    expected = b""
    for number in range(30):
        channel = f"{path}-{'abc'[number % 3]}"
        assert program.publish(channel, http_stream={"content": f"{number},"}) == 1
        expected += b"%d," % number
    received = b""
    while len(received) < len(expected):
        received += client.read_chunk()
    assert received == expected


def test_every_client_gets_an_item(connect, program, hold, path):
    hold("stream")
    clients = [connect() for _ in range(30)]
    for client in clients:
        client.request("GET", path)
        client.read_head()
    assert program.publish(path, http_stream={"content": "all"}) == 30
    assert {client.read_chunk() for client in clients} == {b"all"}


def test_head_of_a_stream(connect, program, hold, path):
    hold("stream", body=b"no body")
    client = connect()
    for _ in range(2):
        client.request("HEAD", path)
        reply = client.read_reply(to="HEAD")
        assert reply.status == 200
    client.request("GET", "/after")
    assert client.read_reply().status == 200
    assert program.publish(path, http_stream={"content": "nobody"}) == 0


def test_stream_of_an_old_client(connect, program, hold, path):
    hold("stream", body=b"opened,")
    client = connect()
    client.request("GET", path, [("Connection", "keep-alive")], version="1.0")
    reply = client.read_head()
    assert (reply.is_chunked, reply.get("connection")) == (False, "close")
    send_stream(program, path, "item,")
    assert client.read_exactly(12) == b"opened,item,"
    assert program.publish(path, http_stream={"action": "close"}) == 1
    assert client.wait_for_end() is Ending.CLOSED


def test_close_ends_the_body_and_the_connection_stays(connect, program, hold, path):
    hold("stream")
    client = connect()
    for _ in range(2):
        client.request("GET", path)
        client.read_head()
        program.publish_until_taken(path, http_stream={"action": "close"})
        assert client.read_chunk() == b""


def test_request_behind_a_stream_is_served_after_it(connect, program, hold, backend, path):
    hold("stream")
    client = connect()
    client.send(encode_request("GET", path) + encode_request("GET", f"/behind{path}"))
    client.read_head()
    send_stream(program, path, "item")
    assert client.read_chunk() == b"item"
    assert not backend.calls_to(f"/behind{path}")
    assert program.publish(path, http_stream={"action": "close"}) == 1
    assert client.read_chunk() == b""
    assert client.read_reply().status == 200


def test_request_sent_during_a_stream_is_served_after_it(connect, program, hold, path):
    hold("stream")
    client = connect()
    client.request("GET", path)
    client.read_head()
    client.request("POST", f"/behind{path}", body=b"x" * 100_000)
    send_stream(program, path, "item")
    assert client.read_chunk() == b"item"
    assert program.publish(path, http_stream={"action": "close"}) == 1
    assert client.read_chunk() == b""
    assert client.read_reply().status == 200


def test_stream_behind_a_long_body(connect, program, backend, path):
    """More than instructions may have: sent as it comes, then held."""
    half = b"x" * 150_000

    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nGrip-Hold: stream\r\nGrip-Channel: %b\r\n" % path.encode())
        call.send(b"Content-Length: %d\r\n\r\n" % (2 * len(half)) + half)
        assert client.read_head().is_chunked
        received = b""
        while len(received) < len(half):
            received += client.read_chunk()
        call.send(half)
        while len(received) < 2 * len(half):
            received += client.read_chunk()
        assert received == 2 * half

    backend.scripts[path] = script
    client = connect()
    client.request("GET", path)
    backend.wait_for(path).wait_until_answered()
    send_stream(program, path, "item")
    assert client.read_chunk() == b"item"


def test_long_body_that_breaks_off_is_no_hold(connect, program, backend, path):
    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nGrip-Hold: stream\r\nGrip-Channel: %b\r\n" % path.encode())
        call.send(b"Content-Length: 500000\r\n\r\n" + b"x" * 200_000)
        call.close()

    backend.scripts[path] = script
    client = connect()
    client.request("GET", path)
    with pytest.raises(CutShort):
        client.read_reply()
    assert program.publish(path, http_stream={"content": "nobody"}) == 0


def test_long_body_for_head(connect, program, backend, path):
    fields = [("Grip-Hold", "stream"), ("Grip-Channel", path)]
    backend.scripts[path] = lambda call: call.respond(fields=fields, body=b"x" * 200_000)
    client = connect()
    client.request("HEAD", path)
    reply = client.read_reply(to="HEAD")
    assert (reply.status, reply.get("content-length")) == (200, None)  # a stream has none
    client.request("GET", "/after")
    assert client.read_reply().status == 200
    assert program.publish(path, http_stream={"content": "nobody"}) == 0


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (r"one\n; format=cstring; timeout=1", b"one\n"),
        ("b25l; format=base64; timeout=1", b"one"),
        ("one; timeout=1; mode=interval", b"one"),
    ],
)
def test_keep_alive(connect, hold, path, value, content):
    hold("stream", ("Grip-Keep-Alive", value))
    client = connect()
    client.request("GET", path)
    client.read_head()
    assert client.read_chunk() == content
    assert client.read_chunk() == content


# -- long-polls ----------------------------------------------------------------------------------


def test_long_poll(connect, program, hold, path):
    hold("response", ("X-Held", "1"), ("Content-Type", "text/x"), body=b"timeout")
    client = connect()
    for number in range(2):
        client.request("GET", path)
        item = {"code": 202, "headers": {"X-New": "2"}, "body": f"item {number}"}
        program.publish_until_taken(path, http_response=item)
        reply = client.read_reply()
        assert (reply.status, reply.reason) == (202, "Accepted")
        assert (reply.get("x-held"), reply.get("x-new")) == ("1", "2")
        assert reply.body == b"item %d" % number


def test_long_poll_of_several_channels_is_answered_once(connect, program, hold, path):
    hold("response", channels=[f"{path}-a", f"{path}-b"])
    client = connect()
    client.request("GET", path)
    program.publish_until_taken(f"{path}-b", http_response={"body": "b"})
    assert program.publish(f"{path}-a", http_response={"body": "a"}) == 0
    assert client.read_reply().body == b"b"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_head_of_a_long_poll(connect, program, hold, path, version):
    hold("response")
    client = connect()
    client.request("HEAD", path, [("Connection", "keep-alive")], version=version)
    program.publish_until_taken(path, http_response={"body": "seven b"})
    reply = client.read_reply(to="HEAD")
    assert (reply.status, reply.get("content-length")) == (200, "7")
    client.request("GET", "/after", version=version)
    assert client.read_reply().status == 200


def test_long_poll_of_an_old_client(connect, program, hold, path):
    hold("response")
    client = connect()
    client.request("GET", path, version="1.0")
    program.publish_until_taken(path, http_response={"body": "item"})
    assert client.read_reply().body == b"item"
    assert client.wait_for_end() is Ending.CLOSED


def test_requests_behind_a_long_poll(connect, program, hold, backend, path):
    hold("response")
    client = connect()
    behind = encode_request("POST", f"/behind{path}", body=b"body")
    client.send(encode_request("GET", path) + behind * 2)
    program.publish_until_taken(path, http_response={"body": "item"})
    assert [client.read_reply().status for _ in range(3)] == [200] * 3
    assert [call.body for call in backend.calls_to(f"/behind{path}")] == [b"body"] * 2


@pytest.mark.slow
def test_long_poll_that_nothing_answers(connect, program, hold, path):
    hold("response", ("Grip-Timeout", "1"), ("Grip-Status", "204 Nothing"), ("X-Held", "1"))
    client = connect()
    client.request("GET", path)
    reply = client.read_reply()  # after 5 seconds, the least there is
    assert (reply.status, reply.reason, reply.get("x-held")) == (204, "Nothing", "1")
    assert program.publish(path, http_response={"body": "late"}) == 0
    client.request("GET", "/after")
    assert client.read_reply().status == 200


def test_hint_asks_again_with_the_body_and_the_last_id(connect, program, backend, path):
    def script(call):
        call.body  # noqa: B018
        if len(backend.calls_to(path)) == 3:
            call.respond(body=b"now", fields=[("X-Last", "1")])
            return
        fields = [("Grip-Hold", "response"), ("Grip-Channel", f"{path}; prev-id=7")]
        call.respond(fields=[*fields, ("Grip-Channel", f"{path}-other")])

    backend.scripts[path] = script
    client = connect()
    client.request("POST", path, [("Transfer-Encoding", "chunked"), ("X-Mine", "1")])
    client.send_chunk(b"asked")
    client.send_chunk(b"")
    for count in (1, 2):
        program.publish_until_taken(f"{path}-other", http_response={"action": "hint"})
        backend.wait_for(path, count + 1)
    reply = client.read_reply()
    assert (reply.body, reply.get("x-last")) == (b"now", "1")
    first, second, third = backend.calls_to(path)
    assert first.get_all("grip-last") == []
    assert second.get_all("grip-last") == third.get_all("grip-last") == [f"{path}; last-id=7"]
    assert (second.body, second.get("x-mine")) == (b"asked", "1")
    assert (second.get("content-length"), second.get("transfer-encoding")) == ("5", None)
    client.request("GET", "/after")
    assert client.read_reply().status == 200


def test_backend_that_fails_when_asked_again(connect, program, backend, path):
    def script(call):
        if len(backend.calls_to(path)) == 1:
            call.respond(fields=[("Grip-Hold", "response"), ("Grip-Channel", path)])
        else:
            call.send(b"nonsense\r\n\r\n")
            call.close()

    backend.scripts[path] = script
    client = connect()
    client.request("GET", path)
    program.publish_until_taken(path, http_response={"action": "hint"})
    assert client.read_reply().status == 502
    client.request("GET", "/after")
    assert client.read_reply().status == 200


def test_client_that_leaves_while_the_backend_is_asked_again(connect, program, backend, path):
    def script(call):
        if len(backend.calls_to(path)) == 1:
            call.respond(fields=[("Grip-Hold", "response"), ("Grip-Channel", path)])
        else:
            call.hang()

    backend.scripts[path] = script
    client = connect()
    client.request("GET", path)
    program.publish_until_taken(path, http_response={"action": "hint"})
    again = backend.wait_for(path, 2)
    client.close()
    again.wait_until_answered()


# -- clients that leave, are slow, or talk -------------------------------------------------------


@pytest.mark.parametrize("kind", ["stream", "response"])
@pytest.mark.parametrize("leave", ["close", "reset"])
def test_client_that_leaves_is_unsubscribed(connect, program, hold, path, kind, leave):
    hold(kind, channels=[path, f"{path}-2"])
    client = connect()
    client.request("GET", path)
    payload = {"http_stream": {"content": "x"}, "http_response": {"action": "close"}}
    program.publish_until_taken(path, **payload)
    getattr(client, leave)()
    for channel in (path, f"{path}-2"):
        while program.publish(channel, **payload):
            pass


def test_slow_client_is_cut_while_others_are_served(connect, program, hold, path):
    hold("stream")
    slow = connect(receive_buffer_bytes=4096)
    quick = connect()
    for client in (slow, quick):
        client.request("GET", path)
        client.read_head()
    content = "x" * 100_000
    while program.publish(path, http_stream={"content": content}) == 2:
        assert quick.read_chunk() == content.encode()
    program.wait_for_log("client-too-slow")
    with pytest.raises(CutShort):
        slow.read_until(b"\r\n0\r\n\r\n")


@pytest.fixture(scope="module")
def patient(start, backend):
    """A program that lets clients owe much."""
    routes = ROUTES.format(url=backend.url, key=UPSTREAM_KEY)
    return start(routes, server="max_backlog_bytes = 50_000_000")


@pytest.mark.parametrize("sent_early", [10, 1000])
def test_slow_client_gets_everything_it_asks_for(connect, patient, hold, path, sent_early):
    """An answer that a client takes slowly, and the next request it has begun meanwhile."""
    hold("response")
    client = connect(patient.address, receive_buffer_bytes=4096)
    client.request("GET", path)
    body = "x" * 12_000_000  # more than the kernel takes
    patient.publish_until_taken(path, http_response={"body": body})
    request = encode_request("POST", f"/behind{path}", body=b"y" * 2000)
    client.send(request[:sent_early])
    assert client.read_reply().body == body.encode()
    client.send(request[sent_early:])
    assert client.read_reply().status == 200


def test_client_that_talks_during_a_hold_costs_nothing(connect, program, hold, path):
    hold("stream")
    client = connect()
    client.request("GET", path)
    client.read_head()
    client.socket.settimeout(0.5)
    before = program.cpu_seconds
    with contextlib.suppress(TimeoutError):  # nobody reads it
        while True:
            client.send(b"x" * 100_000)
    client.socket.settimeout(DEADLINE_SECONDS)
    send_stream(program, path, "item")
    assert client.read_chunk() == b"item"
    assert program.cpu_seconds - before < 0.25


def test_many_idle_holds_cost_no_time(connect, program, hold, path):
    hold("stream", ("Grip-Keep-Alive", "x; timeout=20"))
    for _ in range(100):
        client = connect()
        client.request("GET", path)
        client.read_head()
    before = program.cpu_seconds
    quiet = connect()
    quiet.socket.settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        quiet.read_exactly(1)
    assert program.cpu_seconds - before < 0.1


# -- who may have instructions -------------------------------------------------------------------


def signature(key=UPSTREAM_KEY, **claims):
    return jwt.encode({"iss": "front", "exp": 4_000_000_000, **claims}, key)


def test_trusted_proxy_gets_the_instructions(connect, program, hold, backend, path):
    hold("stream", body=b"opened")
    client = connect()
    token = signature()
    client.request("GET", path, [("Grip-Sig", token), ("Grip-Feature", "mine"), ("Grip-Last", "x")])
    reply = client.read_reply()
    assert (reply.get("grip-hold"), reply.get("grip-channel")) == ("stream", path)
    assert reply.body == b"opened"
    call = backend.wait_for(path)
    assert call.get_all("grip-sig") == [token]
    assert (call.get("grip-feature"), call.get("grip-last")) == ("mine", "x")
    assert program.publish(path, http_stream={"content": "nobody"}) == 0


@pytest.mark.parametrize(
    "token",
    [
        signature("another key, which is of no use whatever at all"),
        signature(exp=1_000_000_000),
        jwt.encode({"iss": "front"}, UPSTREAM_KEY),
        jwt.encode({"iss": "front", "exp": 4_000_000_000}, None, algorithm="none"),
        "nonsense",
    ],
)
def test_untrusted_client_is_nobody(connect, program, hold, backend, path, token):
    hold("stream", body=b"opened")
    client = connect()
    client.request("GET", path, [("Grip-Sig", token), ("Grip-Last", "x")])
    assert client.read_head().get("grip-hold") is None
    assert client.read_chunk() == b"opened"
    call = backend.wait_for(path)
    (own,) = call.get_all("grip-sig")
    assert own != token
    assert jwt.decode(own, options={"verify_signature": False})["iss"] == "realtime-proxy"
    assert call.get("grip-last") is None
    assert program.publish(path, http_stream={"content": "item"}) == 1


def test_route_without_grip(connect, program, hold, backend, path):
    hold("stream", body=b"opened")
    client = connect()
    client.request("GET", path, [("Grip-Sig", "mine")], host="no.grip")
    reply = client.read_reply()
    assert (reply.get("grip-hold"), reply.body) == ("stream", b"opened")
    call = backend.wait_for(path)
    assert call.get("grip-sig") is call.get("grip-feature") is None
    assert program.publish(path, http_stream={"content": "nobody"}) == 0


def test_prefix_of_the_route_and_channels_of_the_target(connect, program, hold, path):
    hold("stream")
    client = connect()
    client.request("GET", path, host="sub")
    client.read_head()
    assert program.publish(path, http_stream={"content": "never"}) == 0
    assert program.publish(f"p-{path}", http_stream={"content": "one"}) == 1
    assert program.publish("everyone", http_stream={"content": "two"}) == 1
    assert [client.read_chunk() for _ in range(2)] == [b"one", b"two"]


# -- instructions that can't be followed ---------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([("Grip-Hold", "forever")], "Grip-Hold must be set to either 'response' or 'stream'"),
        ([("Grip-Hold", "response"), ("Grip-Timeout", "-1")], "Grip-Timeout has invalid value"),
        (
            [("Grip-Hold", "stream"), ("Grip-Keep-Alive", "x; mode=loud")],
            "no such Grip-Keep-Alive mode 'loud'",
        ),
        (
            [("Grip-Hold", "stream"), ("Grip-Status", "x")],
            "Grip-Status contains invalid status code",
        ),
    ],
)
@pytest.mark.parametrize("host", ["debug", "usual"])
def test_instructions_that_make_no_sense(connect, backend, path, host, fields, why):
    backend.scripts[path] = lambda call: call.respond(fields=fields)
    client = connect()
    for _ in range(2):
        client.request("GET", path, host=host)
        reply = client.read_reply()
        text = f"Failed to parse accept instructions: {why}\n"
        shown = text if host == "debug" else "Error while proxying to origin.\n"
        assert (reply.status, reply.body) == (502, shown.encode())


def test_long_instructions(connect, program, backend, path):
    fields = [("Grip-Hold", "response"), ("Grip-Channel", path)]
    backend.scripts[path] = lambda call: call.respond(fields=fields, body=b"x" * 100_001)
    client = connect()
    client.request("GET", path, host="debug")
    reply = client.read_reply()
    why = f"GRIP instruct response too large from 127.0.0.1:{backend.port}\n"
    assert (reply.status, reply.body) == (502, why.encode())
    assert program.publish(path, http_response={"body": "nobody"}) == 0


@pytest.mark.parametrize(("size", "status"), [(100_000, 200), (100_001, 400)])
def test_large_request_for_a_hold(connect, backend, path, size, status):
    def script(call):
        assert len(call.body) == size
        call.respond(fields=[("Grip-Hold", "stream"), ("Grip-Channel", path)])

    backend.scripts[path] = script
    client = connect()
    client.request("POST", path, body=b"x" * size)
    reply = client.read_head()
    assert reply.status == status
    if status == 400:
        assert client.read_body(reply).body == b"Request too large to accept GRIP instruct.\n"


def test_instructions_as_json(connect, program, backend, path):
    instruct = {
        "hold": {"mode": "stream", "channels": [{"name": path}]},
        "response": {"code": 203, "headers": {"X-Own": "1"}, "body": "opened"},
    }
    fields = [("Content-Type", "application/grip-instruct"), ("X-Not", "1")]
    backend.scripts[path] = lambda call: call.respond(
        fields=fields, body=json.dumps(instruct).encode()
    )
    client = connect()
    client.request("GET", path)
    reply = client.read_head()
    assert (reply.status, reply.get("x-own"), reply.get("x-not")) == (203, "1", None)
    assert client.read_chunk() == b"opened"
    send_stream(program, path, "item")
    assert client.read_chunk() == b"item"


# -- the end of the program ----------------------------------------------------------------------


def test_holds_end_with_the_program(start, backend, hold, path):
    hold("stream")
    program = start(ROUTES.format(url=backend.url, key=UPSTREAM_KEY), server=SERVER)
    with RawClient(program.address) as client:
        client.request("GET", path)
        client.read_head()
        stopper = threading.Thread(target=program.process.terminate)
        stopper.start()
        stopper.join()
        assert client.read_chunk() == b""
        assert client.wait_for_end() is Ending.CLOSED
    assert program.process.wait(DEADLINE_SECONDS) == 0
