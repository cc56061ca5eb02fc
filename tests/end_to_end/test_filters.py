"""Message filters through the real program, those that ask a backend above all."""

import json
import threading

import pytest

from realtime_proxy.testing.events import CONTENT_TYPE, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, Ending
from realtime_proxy.testing.scripted_backend import ScriptedBackend
from realtime_proxy.testing.websocket_client import CLOSE, TEXT

ROUTES = """
[grip]
key = "the key towards backends, which is long enough"

[[route]]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "debug"
debug = true
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
path = "/under"
debug = true
targets = [{{ url = "{url}" }}]

[[route]]
host = "prefix"
channel_prefix = "p-"
debug = true
targets = [{{ url = "{url}" }}]
"""


@pytest.fixture(scope="module")
def program(start, backend):
    return start(ROUTES.format(url=backend.url))


@pytest.fixture(scope="module")
def elsewhere():
    with ScriptedBackend() as backend:
        yield backend


class Filter:
    """A backend that filters ask: `answers` has what it says, in turn, and then 200."""

    def __init__(self, backend, path):
        self.path = path
        self.backend = backend
        self.answers = []
        backend.scripts[path] = self.script

    def script(self, call):
        _ = call.body
        answer = self.answers.pop(0) if self.answers else lambda call: call.respond()
        answer(call)

    def add(self, status=200, fields=(), body=b""):
        self.answers.append(lambda call: call.respond(status, fields, body))

    def add_gate(self, body):
        """An answer that comes once the gate is set."""
        gate = threading.Event()

        def answer(call):
            assert gate.wait(DEADLINE_SECONDS)
            call.respond(body=body)

        self.answers.append(answer)
        return gate


@pytest.fixture
def asked(backend, path):
    return Filter(backend, f"{path}-filter")


@pytest.fixture
def hold(backend, path):
    """Have the backend hold the test's path, with filters on its channel and meta."""

    def order(kind, *filters, fields=(), body=b"opened", **meta):
        channel = "; filter=".join([path, *filters])
        grip = [("Grip-Hold", kind), ("Grip-Channel", channel), *fields]
        grip += [("Grip-Set-Meta", f'{name}="{value}"') for name, value in meta.items()]
        backend.scripts[path] = lambda call: call.respond(200, grip, body)

    return order


@pytest.fixture
def stream(program, connect, path):
    """A client whose stream is open."""

    def open_stream(host="test", target=path, first=b"opened"):
        client = connect()
        client.request("GET", target, host=host)
        assert client.read_head().status == 200
        if first:
            assert client.read_chunk() == first
        return client

    return open_stream


def send_stream(program, channel, content, **meta):
    program.publish_until_taken(
        channel, http_stream={"content": content}, fields={"meta": meta} if meta else None
    )


# -- http-check and http-modify ------------------------------------------------------------------


def test_modify_asks_for_other_content(program, backend, stream, hold, asked, path):
    hold("stream", "http-modify", url=asked.path, name="Bob")
    asked.add(body=b"new content")
    client = stream()
    send_stream(program, path, "old content", sender="x")
    assert client.read_chunk() == b"new content"
    call = backend.wait_for(asked.path)
    assert (call.method, call.body) == ("POST", b"old content")
    assert json.loads(call.get("sub-meta")) == {"url": asked.path, "name": "Bob"}
    assert json.loads(call.get("pub-meta")) == {"sender": "x"}
    assert call.get("host") == "test"
    assert call.get("grip-sig")
    assert "filter:http-modify" in call.get("grip-feature")


@pytest.mark.parametrize("name", ["http-check", "http-modify"])
def test_what_is_dropped_does_not_come(program, stream, hold, asked, path, name):
    hold("stream", name, url=asked.path)
    asked.add(200, [("Action", "drop")], b"not this")
    asked.add(204)
    client = stream()
    send_stream(program, path, "1")
    send_stream(program, path, "2")
    assert client.read_chunk() == b"2"


def test_a_check_leaves_the_content(program, backend, stream, hold, asked, path):
    hold("stream", "http-check", "var-subst", url=asked.path)
    asked.add(200, (), b"not this")
    client = stream()
    send_stream(program, path, "%(url)s")
    assert client.read_chunk() == asked.path.encode()
    assert backend.wait_for(asked.path).body == b""


def test_later_items_wait(program, backend, stream, hold, asked, path):
    hold("stream", "http-modify", url=asked.path)
    gate = asked.add_gate(b"1, changed")
    asked.add(body=b"2, changed")
    client = stream()
    send_stream(program, path, "1")
    send_stream(program, path, "2")
    program.publish(path, http_stream={"action": "close"})
    backend.wait_for(asked.path)
    assert len(backend.calls_to(asked.path)) == 1
    gate.set()
    assert client.read_chunk() == b"1, changed"
    assert client.read_chunk() == b"2, changed"
    assert client.read_chunk() == b""
    assert [call.body for call in backend.calls_to(asked.path)] == [b"1", b"2", b""]


def test_a_poll_is_answered_with_what_a_filter_made(program, connect, hold, asked, path):
    hold("response", "http-modify", url=asked.path)
    asked.add(200, [("Action", "drop")])
    asked.add(body=b"changed")
    client = connect()
    client.request("GET", path)
    program.publish_until_taken(path, http_response={"body": "1"})
    program.publish(path, http_response={"body": "2", "code": 201, "headers": {"X-Own": "1"}})
    reply = client.read_reply()
    assert (reply.status, reply.body, reply.get("x-own")) == (201, b"changed", "1")


def test_filters_see_the_patched_body(program, backend, connect, hold, asked, path):
    hold("response", "http-modify", url=asked.path, body=b'{"a":1}')
    asked.add(204)
    client = connect()
    client.request("GET", path)
    patch = [{"op": "replace", "path": "/a", "value": 2}]
    program.publish_until_taken(path, http_response={"body-patch": patch})
    assert client.read_reply().body == b'{"a":2}'
    assert backend.wait_for(asked.path).body == b'{"a":2}'


def test_requests_to_elsewhere_are_signed_too(program, elsewhere, stream, hold, path):
    hold("stream", "http-modify", url=f"{elsewhere.url}/f?a=b")
    elsewhere.scripts["/f"] = lambda call: call.respond(body=call.body + b"!")
    client = stream()
    send_stream(program, path, "hello")
    assert client.read_chunk() == b"hello!"
    call = elsewhere.wait_for("/f")
    assert call.target == "/f?a=b"
    assert call.get("host") == f"127.0.0.1:{elsewhere.port}"
    assert call.get("grip-sig")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((500,), "unexpected network request status: code=500"),
        ((302, [("Location", "/")]), "unexpected network request status: code=302"),
        ((200, (), b"x" * 100_001), "network response exceeded 100000 bytes"),
    ],
)
def test_a_bad_answer_skips_the_item(program, stream, hold, asked, path, answer, problem):
    hold("stream", "http-modify", url=asked.path)
    asked.add(*answer)
    asked.add(body=b"good")
    client = stream()
    send_stream(program, path, "1")
    send_stream(program, path, "2")
    assert client.read_chunk() == b"good"
    client.close()
    program.wait_for_no_subscribers(path)
    asked.answers = [lambda call: call.respond(*answer)]
    debugged = stream("debug")
    send_stream(program, path, "3")
    assert debugged.read_chunk() == f"\n\nfilter error: {problem}\n".encode()
    assert debugged.read_chunk() == b""


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "missing url value"),
        ("http://[", "invalid url value"),
        ("ftp://127.0.0.1/", "invalid url value"),
        ("http://127.0.0.1:1/", "network request failed: connection refused"),
    ],
)
def test_a_url_that_leads_nowhere(program, stream, hold, path, url, problem):
    hold("stream", "http-check", url=url)
    client = stream("debug")
    send_stream(program, path, "1")
    assert client.read_chunk() == f"\n\nfilter error: {problem}\n".encode()


def test_a_backend_that_hangs_up(program, stream, hold, asked, path):
    hold("stream", "http-check", url=asked.path)
    asked.answers.append(lambda call: call.close())
    client = stream("debug")
    send_stream(program, path, "1")
    assert client.read_chunk() == b"\n\nfilter error: network request failed: disconnected\n"


def test_a_client_does_not_choose_whom_we_connect_to(program, backend, elsewhere, connect):
    grip = [
        ("Grip-Hold", "stream"),
        ("Grip-Channel", "under; filter=http-check"),
        ("Grip-Set-Meta", 'url="/off-the-route"'),
    ]
    backend.scripts["/under"] = lambda call: call.respond(200, grip, b"opened")
    client = connect()
    client.request("GET", "/under", host=f"127.0.0.1:{elsewhere.port}")
    assert client.read_head().status == 200
    assert client.read_chunk() == b"opened"
    before = len(elsewhere.calls)
    send_stream(program, "under", "1")
    assert client.read_chunk() == b"\n\nfilter error: network request failed: connection refused\n"
    assert len(elsewhere.calls) == before


def test_the_request_ends_with_its_client(program, backend, stream, hold, asked, path):
    hold("stream", "http-check", url=asked.path)
    gone = threading.Event()

    def answer(call):
        call.hang()
        gone.set()

    asked.answers.append(answer)
    client = stream()
    send_stream(program, path, "1")
    backend.wait_for(asked.path)
    client.close()
    assert gone.wait(DEADLINE_SECONDS / 2)
    program.wait_for_no_subscribers(path)


def test_the_request_ends_with_a_poll_that_times_out(program, backend, connect, hold, asked, path):
    hold("response", "http-check", fields=[("Grip-Timeout", "5")], url=asked.path)
    asked.answers.append(lambda call: call.hang())
    client = connect()
    client.request("GET", path)
    program.publish_until_taken(path, http_response={"body": "1"})
    backend.wait_for(asked.path)
    assert client.read_reply().body == b"opened"
    client.request("GET", f"{path}-next")
    assert client.read_reply().status == 200


# -- other filters, where parity tests do not look -------------------------------------------------


def test_a_failed_filter_skips_the_item(program, stream, hold, path):
    hold("stream", "var-subst", name="Bob")
    client = stream()
    send_stream(program, path, "hi %(nobody)s")
    send_stream(program, path, "hi %(name)s")
    assert client.read_chunk() == b"hi Bob"


def test_a_failed_filter_of_a_poll(program, connect, hold, path):
    hold("response", "var-subst", name="Bob")
    client, debugged = connect(), connect()
    client.request("GET", path)
    program.publish_until_taken(path, http_response={"body": "%(nobody)s"})
    program.publish(path, http_response={"body": "%(name)s"})
    assert client.read_reply().body == b"Bob"
    debugged.request("GET", path, host="debug")
    program.publish_until_taken(path, http_response={"body": "%(nobody)s"})
    reply = debugged.read_reply()
    assert reply.status == 502
    assert reply.body == b"filter error: No such variable 'nobody' at position 9\n"


@pytest.mark.parametrize(
    ("filters", "bad"),
    [
        ("; filter=var-subst", {"content": "%(nobody)s"}),
        ("", {"content": "x", "content-filters": ["var-subst"]}),
    ],
)
def test_what_was_skipped_is_asked_for(program, backend, stream, path, filters, bad):
    link = ("Grip-Link", f"<{path}-next>; rel=next")

    def hold(last_id, body):
        channel = f"{path}; prev-id={last_id}{filters}"
        return [("Grip-Hold", "stream"), ("Grip-Channel", channel), link], body

    backend.scripts[path] = lambda call: call.respond(200, *hold("0", b"opened"))
    backend.scripts[f"{path}-next"] = lambda call: call.respond(200, *hold("3", b"2 and 3"))
    client = stream()
    fields = [{"id": f"{number}", "prev-id": f"{number - 1}"} for number in range(1, 5)]
    program.publish_until_taken(path, fields=fields[0], http_stream={"content": "1"})
    program.publish(path, fields=fields[1], http_stream=bad)
    program.publish(path, fields=fields[2], http_stream={"content": "3"})
    assert client.read_chunk() == b"1"
    assert client.read_chunk() == b"2 and 3"
    call = backend.wait_for(f"{path}-next")
    assert call.get("grip-last") == f"{path}; last-id=1"
    program.publish_until_taken(path, fields=fields[3], http_stream={"content": "4"})
    assert client.read_chunk() == b"4"


def test_items_for_others_with_filters_are_skipped(program, stream, hold, path):
    hold("stream")
    client = stream()
    program.publish_until_taken(
        path, http_stream={"content": "1", "content-filters": ["var-subst"]}
    )
    program.publish(path, http_stream={"content": "2", "content-filters": []})
    assert client.read_chunk() == b"2"


def test_channels_are_known_by_the_names_backends_have_for_them(program, stream, hold, path):
    hold("stream", "require-sub", fields=[("Grip-Channel", "b")])
    client = stream("prefix")
    channel = f"p-{path}"
    send_stream(program, channel, "1", require_sub="p-b")
    send_stream(program, channel, "2", require_sub="b")
    assert client.read_chunk() == b"2"


def test_a_keep_alive_is_due_though_items_come_that_are_dropped(program, stream, hold, path):
    keep_alive = ("Grip-Keep-Alive", "alive; timeout=1")
    hold("stream", "skip-self", fields=[keep_alive], user="me")
    client = stream()
    client.socket.settimeout(0.05)
    for _ in range(200):
        send_stream(program, path, "mine", sender="me")
        try:
            assert client.read_chunk() == b"alive"
        except TimeoutError:
            continue
        return
    raise AssertionError("no keep-alive came")


@pytest.mark.parametrize(("host", "text"), [("test", b""), ("debug", b"\n\nfilter error: {}\n")])
def test_a_first_body_that_can_not_be_filtered_ends_the_stream(stream, hold, host, text):
    hold("stream", "build-id", body=b"%I", id_format="x")
    client = stream(host, first=None)
    error = "build-id: No ID specified and no default ID in context at position 1"
    assert client.read_chunk() == text.replace(b"{}", error.encode())
    if text:
        assert client.read_chunk() == b""


def test_a_response_without_hold_that_can_not_be_filtered(connect, backend, path):
    fields = [("Grip-Channel", "a; filter=build-id"), ("Grip-Set-Meta", "id_format=x")]
    backend.scripts[path] = lambda call: call.respond(200, fields, b"%I")
    client = connect()
    client.request("GET", path)
    assert client.read_reply().status == 502
    client.request("GET", path, host="debug")
    assert b"filter error: build-id: No ID specified" in client.read_reply().body


def test_ids_in_a_response_without_hold(connect, backend, path):
    fields = [("Grip-Channel", "a; filter=build-id"), ("Grip-Set-Meta", "id_format=x")]
    backend.scripts[path] = lambda call: call.respond(200, fields, b"%(5)I 100%%")
    client = connect()
    client.request("GET", path)
    assert client.read_reply().body == b"5 100%"


# -- WebSockets ------------------------------------------------------------------------------------


def control(**message):
    return ("TEXT", b"c:" + json.dumps(message).encode())


@pytest.fixture
def open_socket(websocket, backend, path):
    """A WebSocket that is open, whose backend says all this at once; then only what is asked."""

    def open_one(*events, host="test", answers=()):
        waiting = [list(answer) for answer in answers]

        def script(call):
            fields = [("Content-Type", CONTENT_TYPE), ("Sec-WebSocket-Extensions", "grip")]
            opening = b"OPEN" in call.body
            said = ["OPEN", *events] if opening else waiting.pop(0) if waiting else []
            call.respond(200, fields, write_events(*said))

        backend.scripts[path] = script
        socket = websocket()
        socket.open(path, host=host)
        return socket

    return open_one


def send_message(program, channel, content, **meta):
    program.publish_until_taken(
        channel, ws_message={"content": content}, fields={"meta": meta} if meta else None
    )


def test_a_websocket_is_asked_for_on_its_own_route(program, backend, open_socket, asked, path):
    name = asked.path.rpartition("/")[2]
    socket = open_socket(
        control(type="set-meta", name="url", value=name),
        control(type="subscribe", channel=path, filters=["http-modify"]),
    )
    asked.add(body="ä".encode())
    send_message(program, path, "old", sender="x")
    assert socket.read().content == "ä".encode()
    call = backend.wait_for(asked.path)
    assert (call.body, json.loads(call.get("pub-meta"))) == (b"old", {"sender": "x"})
    assert json.loads(call.get("sub-meta")) == {"url": name}
    assert call.get("grip-last") is None


def test_nothing_follows_a_close_though_a_filter_answers(program, backend, open_socket, path):
    asked = Filter(backend, f"{path}-filter")
    socket = open_socket(
        control(type="set-meta", name="url", value=asked.path),
        control(type="subscribe", channel=path, filters=["http-modify"]),
        control(type="subscribe", channel=f"{path}-2"),
        answers=[[("CLOSE", b"\x03\xe8")]],
    )
    gate = asked.add_gate(b"late")
    send_message(program, path, "1")
    backend.wait_for(asked.path)
    socket.send(TEXT, b"go")
    frame = socket.read()
    assert (frame.opcode, frame.close_code) == (CLOSE, 1000)
    gate.set()
    socket.send_close(1000)
    assert (socket.client.read_to_end(), socket.client.ending) == (b"", Ending.CLOSED)


def test_filters_can_be_changed(program, open_socket, path):
    socket = open_socket(
        control(type="set-meta", name="user", value="me"),
        control(type="subscribe", channel=path, filters=["skip-self"]),
        control(type="subscribe", channel=f"{path}-2"),
        answers=[
            [control(type="subscribe", channel=path, filters=["var-subst"]), ("TEXT", b"m:done")],
            [control(type="set-meta", name="user", value="you"), ("TEXT", b"m:done")],
            [control(type="subscribe", channel=path), ("TEXT", b"m:done")],
        ],
    )
    send_message(program, path, "1", sender="me")
    send_message(program, f"{path}-2", "2", sender="me")
    assert socket.read().content == b"2"
    for content in (b"me", b"you", b"%(user)s"):
        socket.send(TEXT, b"go")
        assert socket.read().content == b"done"
        send_message(program, path, "%(user)s", sender="me")
        assert socket.read().content == content


def test_filters_go_with_their_channel(program, open_socket, path):
    socket = open_socket(
        control(type="set-meta", name="user", value="me"),
        control(type="subscribe", channel=path, filters=["skip-self"]),
        answers=[
            [
                control(type="unsubscribe", channel=path),
                control(type="subscribe", channel=path),
                ("TEXT", b"m:done"),
            ]
        ],
    )
    socket.send(TEXT, b"go")
    assert socket.read().content == b"done"
    send_message(program, path, "1", sender="me")
    assert socket.read().content == b"1"


def test_filters_that_are_added_hold_for_channels_from_before(program, backend, open_socket, path):
    asked = Filter(backend, f"{path}-filter")
    socket = open_socket(
        control(type="subscribe", channel=f"{path}-2"),
        control(type="set-meta", name="url", value=asked.path),
        control(type="subscribe", channel=path, filters=["http-modify"]),
    )
    gate = asked.add_gate(b"1")
    send_message(program, path, "old")
    send_message(program, f"{path}-2", "2")
    gate.set()
    assert [socket.read().content for _ in range(2)] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("content", "filters", "problem"),
    [
        ("%", None, "filter error: Expected directive after '%' at position 0"),
        ("x", ["build-id"], "content filter mismatch: subscription=var-subst message=build-id"),
    ],
)
def test_a_failed_filter_of_a_websocket(program, open_socket, path, content, filters, problem):
    subscribe = control(type="subscribe", channel=path, filters=["var-subst"])
    message = {"content": content}
    if filters is not None:
        message["content-filters"] = filters
    socket, debugged = open_socket(subscribe), open_socket(subscribe, host="debug")
    program.wait_for_subscriptions(path, 2)
    program.publish(path, ws_message=message)
    program.publish(path, ws_message={"content": "next"})
    assert socket.read().content == b"next"
    frame = debugged.read()
    assert (frame.opcode, frame.close_code, frame.close_reason) == (CLOSE, 1011, problem)


@pytest.mark.parametrize("host", ["test", "debug"])
def test_too_many_filters_close_a_websocket(open_socket, path, host):
    subscribe = control(type="subscribe", channel=path, filters=["skip-self"] * 6)
    socket = open_socket(("TEXT", b"m:before"), subscribe, ("TEXT", b"m:after"), host=host)
    assert socket.read().content == b"before"
    frame = socket.read()
    reason = f"too many filters for channel '{path}'" if host == "debug" else ""
    assert (frame.opcode, frame.close_code, frame.close_reason) == (CLOSE, 1011, reason)
    socket.send_close(1011)
    assert (socket.client.read_to_end(), socket.client.ending) == (b"", Ending.CLOSED)
