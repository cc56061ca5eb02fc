"""CORS fields and JSON-P for pages of other origins, through the real program."""

import base64
import json
from urllib.parse import quote

import pytest

from realtime_proxy.testing.raw_client import CutShort

ROUTES = """
[[route]]
host = "open"
cross_origin = true
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
host = "basic"
cross_origin = true
json_p_mode = "basic"
targets = [{{ url = "{url}" }}]

[[route]]
host = "closed"
targets = [{{ url = "{url}" }}]

[[route]]
host = "dead"
cross_origin = true
targets = [{{ url = "http://127.0.0.1:1" }}]

[[route]]
host = "dead-basic"
cross_origin = true
json_p_mode = "basic"
targets = [{{ url = "http://127.0.0.1:1" }}]
"""
ORIGIN = ("Origin", "https://page.example")


@pytest.fixture(scope="module")
def program(start, backend):
    return start(ROUTES.format(url=backend.url))


@pytest.fixture
def ask(connect):
    """Send a GET to a host; the client that waits for the response."""

    def ask_one(host, target, *fields, method="GET", body=None):
        client = connect()
        client.request(method, target, fields, body, host=host)
        return client

    return ask_one


@pytest.fixture
def hold(backend, path):
    """Have the backend hold the test's path."""

    def order(kind, *fields, body=b""):
        grip = [("Grip-Hold", kind), ("Grip-Channel", path)]
        backend.scripts[path] = lambda call: call.respond(200, [*grip, *fields], body)

    return order


def argument(script):
    """What the callback `cb` is called with."""
    text = script.decode("ascii")
    assert text.startswith("/**/cb(")
    assert text.endswith(");\n")
    return json.loads(text.removeprefix("/**/cb(").removesuffix(");\n"))


def in_parts(*parts):
    """A script of a backend: a chunked response, each part after the one before has passed."""

    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n")
        for part in parts:
            call.send(b"%x\r\n%b\r\n" % (len(part), part))
        call.send(b"0\r\n\r\n")

    return script


# -- CORS ----------------------------------------------------------------------------------------


def test_a_response_may_be_read_by_the_page(ask, backend, path):
    backend.scripts[path] = lambda call: call.respond(200, [("X-A", "1"), ("Connection", "X-B")])
    reply = ask("open", path, ORIGIN).read_reply()
    assert reply.get_all("access-control-allow-origin") == [ORIGIN[1]]
    assert reply.get_all("access-control-expose-headers") == ["X-A"]
    assert reply.get_all("vary") == ["Origin"]


def test_a_response_in_parts_may_be_read(ask, backend, path):
    backend.scripts[path] = in_parts(b"one", b"two")
    reply = ask("open", path, ORIGIN).read_reply()
    assert reply.get("access-control-allow-origin") == ORIGIN[1]
    assert (reply.is_chunked, reply.body) == (True, b"onetwo")


def test_preflight_goes_to_the_backend(ask, backend, path):
    backend.scripts[path] = lambda call: call.respond(204)
    asked = [ORIGIN, ("Access-Control-Request-Method", "PATCH")]
    reply = ask("open", path, *asked, method="OPTIONS").read_reply()
    assert reply.status == 204
    assert reply.get("access-control-allow-methods") == "PATCH"
    assert backend.wait_for(path).method == "OPTIONS"


def test_failures_may_be_read(ask, path):
    reply = ask("dead", path, ORIGIN).read_reply()
    assert (reply.status, reply.get("access-control-allow-origin")) == (502, ORIGIN[1])


def test_other_routes_are_closed(ask, backend, path):
    reply = ask("closed", f"{path}?callback=cb", ORIGIN).read_reply()
    assert not [name for name, _ in reply.fields if name.startswith(("access-", "vary"))]
    assert backend.wait_for(path).target == f"{path}?callback=cb"


def test_a_stream_may_be_read(ask, program, hold, path):
    hold("stream", ("X-A", "1"))
    client = ask("open", path, ORIGIN)
    reply = client.read_head()
    assert reply.get("access-control-allow-origin") == ORIGIN[1]
    assert reply.get("access-control-expose-headers") == "X-A"
    program.publish_until_taken(path, http_stream={"content": "item"})
    assert client.read_chunk() == b"item"


def test_a_long_poll_may_be_read(ask, program, hold, path):
    hold("response", ("X-A", "1"))
    client = ask("open", path, ORIGIN)
    headers = {"X-Item": "2", "Access-Control-Max-Age": "5"}
    program.publish_until_taken(path, http_response={"body": "new", "headers": headers})
    reply = client.read_reply()
    assert (reply.body, reply.get_all("access-control-max-age")) == (b"new", ["5"])
    assert reply.get("access-control-allow-origin") == ORIGIN[1]
    assert reply.get("access-control-expose-headers") == "X-A, X-Item"


def test_a_long_poll_that_is_repeated_may_be_read(ask, program, backend, hold, path):
    hold("response")
    client = ask("open", f"{path}?callback=cb&_method=PUT&_body=1", ORIGIN)
    other = ask("open", path, ORIGIN)
    program.wait_for_subscriptions(path, 2)
    backend.scripts[path] = lambda call: call.respond(200, [], b"again")
    assert program.publish(path, http_response={"action": "hint"}) == 2
    assert argument(client.read_reply().body)["body"] == "again"
    reply = other.read_reply()
    assert (reply.body, reply.get("access-control-allow-origin")) == (b"again", ORIGIN[1])
    repeated = [call for call in backend.calls_to(path) if call.method == "PUT"]
    assert [call.body for call in repeated] == [b"1", b"1"]


def test_a_refused_websocket_stays_as_it_is(ask, backend, path):
    backend.scripts[path] = lambda call: call.respond(401, [("X-A", "1")], b"no")
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    reply = ask("open", f"{path}?callback=cb", *fields, ORIGIN).read_reply()
    assert (reply.status, reply.body) == (401, b"no")
    assert not [name for name, _ in reply.fields if name.startswith("access-")]


# -- JSON-P --------------------------------------------------------------------------------------


def test_a_response_as_a_script(ask, backend, path):
    backend.scripts[path] = lambda call: call.respond(404, [("X-A", "1")], b"none</script>")
    reply = ask("open", f"{path}?callback=cb&a=1").read_reply()
    assert (reply.status, reply.get("content-type")) == (200, "application/javascript")
    assert reply.get("x-content-type-options") == "nosniff"
    assert not reply.get("access-control-allow-origin")
    told = argument(reply.body)
    assert (told["code"], told["body"]) == (404, "none</script>")
    assert told["headers"]["X-A"] == "1"
    assert backend.wait_for(path).target == f"{path}?a=1"


def test_the_request_described_is_the_one_made(ask, backend, path):
    fields = quote(json.dumps({"X-Own": "1", "Grip-Sig": "forged", "Cookie": "a=b"}))
    target = f"{path}?callback=cb&_method=PUT&_headers={fields}&_body=text"
    ask("open", target, ("Cookie", "own=1")).read_reply()
    call = backend.wait_for(path)
    assert (call.method, call.body, call.get("x-own")) == ("PUT", b"text", "1")
    assert (call.get_all("cookie"), call.get("grip-sig")) == (["own=1"], None)


def test_events_of_websockets_are_not_let_in_by_a_script(ask, backend, path):
    for content_type in ("application/websocket-events", "Application/WebSocket-Events; a=b"):
        fields = quote(json.dumps({"Content-Type": content_type}))
        target = f"{path}?callback=cb&_method=POST&_headers={fields}&_body=OPEN%0D%0A"
        told = argument(ask("open", target).read_reply().body)
        assert told["code"] == 403
    assert not backend.calls_to(path)


def test_the_connection_stays_in_step(ask, backend, path):
    backend.scripts[path] = lambda call: call.respond(200, [], b"x" + call.body)
    client = ask("open", f"{path}?callback=cb&_method=POST&_body=1")
    assert argument(client.read_reply().body)["body"] == "x1"
    client.request("GET", f"{path}?callback=cb", [], b"a body", host="open")
    assert client.read_reply().body == b"xa body"
    client.request("GET", f"{path}?callback=cb", host="open")
    assert argument(client.read_reply().body)["body"] == "x"


def test_a_response_in_parts_as_a_script(ask, backend, path):
    whole = "a—ä" * 50_000
    data = whole.encode()
    parts = [data[start : start + 997] for start in range(0, len(data), 997)]
    backend.scripts[path] = in_parts(*parts)
    reply = ask("open", f"{path}?callback=cb").read_reply()
    assert argument(reply.body)["body"] == whole


def test_a_response_that_is_cut_is_no_whole_script(ask, backend, path):
    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        call.close()

    backend.scripts[path] = script
    client = ask("open", f"{path}?callback=cb")
    with pytest.raises(CutShort):
        client.read_reply()


@pytest.mark.parametrize("host", ["open", "basic"])
def test_what_can_not_be_a_script_is_said_plainly(ask, backend, path, host):
    backend.scripts[path] = in_parts(b"\xff" * 100)
    reply = ask(host, f"{path}?callback=cb").read_reply()
    assert (reply.status, reply.get("content-type")) == (500, "text/plain")
    assert reply.body == b"Upstream response could not be JSON-P encoded.\n"


def test_a_callback_is_no_more_than_a_name(ask, backend, path):
    reply = ask("open", f"{path}?callback=alert(1)//").read_reply()
    assert (reply.status, reply.body) == (400, b"Invalid callback parameter.\n")
    assert not backend.calls_to(path)


def test_failures_are_told_to_the_callback(ask, path):
    told = argument(ask("dead", f"{path}?callback=cb").read_reply().body)
    assert (told["code"], told["body"]) == (502, "Error while proxying to origin.\n")


def test_failures_in_basic_mode_keep_their_status(ask, path):
    reply = ask("dead-basic", f"{path}?callback=cb").read_reply()
    assert (reply.status, reply.body) == (502, b"Error while proxying to origin.\n")


def test_basic_in_parts(ask, backend, path):
    backend.scripts[path] = in_parts(b'{"a": ', b"1}", b"\n")
    reply = ask("basic", f"{path}?callback=cb").read_reply()
    assert reply.body == b'/**/cb({"a": 1});\n'
    assert backend.wait_for(path).method == "POST"


def test_basic_has_a_limit(ask, backend, path):
    backend.scripts[path] = in_parts(*[b"1" * 100_000] * 11)
    reply = ask("basic", f"{path}?callback=cb").read_reply()
    assert reply.status == 500


def test_a_long_poll_as_a_script(ask, program, hold, path):
    hold("response", ("Cache-Control", "no-store"))
    extended = ask("open", f"{path}?callback=cb")
    basic = ask("basic", f"{path}?callback=cb")
    program.wait_for_subscriptions(path, 2)
    assert program.publish(path, http_response={"code": 201, "body": "[1]\n"}) == 2
    reply = extended.read_reply()
    assert (reply.status, reply.get("cache-control")) == (200, "no-store")
    told = argument(reply.body)
    assert (told["code"], told["reason"], told["body"]) == (201, "Created", "[1]\n")
    assert basic.read_reply().body == b"/**/cb([1]);\n"


def test_a_stream_as_a_script_runs_when_it_is_closed(ask, program, hold, path):
    hold("stream", ("Grip-Keep-Alive", "never"), body="ö".encode()[:1])
    client = ask("open", f"{path}?callback=cb")
    reply = client.read_head()
    assert (reply.status, reply.get("content-type")) == (200, "application/javascript")
    script = client.read_chunk()
    rest = base64.b64encode("ö".encode()[1:] + b"</script>").decode()
    content = {"content-bin": rest}
    program.publish_until_taken(path, http_stream=content)
    program.publish_until_taken(path, http_stream={"action": "close"})
    while chunk := client.read_chunk():
        script += chunk
    assert argument(script)["body"] == "ö</script>"


def test_a_stream_that_is_no_text_is_cut(ask, program, hold, path):
    hold("stream")
    client = ask("open", f"{path}?callback=cb")
    client.read_head()
    program.publish_until_taken(path, http_stream={"content-bin": "/w=="})
    with pytest.raises(CutShort):
        list(iter(client.read_chunk, b""))
    program.wait_for_no_subscribers(path)


def test_a_large_first_body_of_a_stream_as_a_script(ask, program, hold, path):
    hold("stream", body=b"x" * 150_000)
    client = ask("open", f"{path}?callback=cb")
    client.read_head()
    program.publish_until_taken(path, http_stream={"content": "end"})
    program.publish_until_taken(path, http_stream={"action": "close"})
    script = b"".join(iter(client.read_chunk, b""))
    assert argument(script)["body"] == "x" * 150_000 + "end"


def test_basic_can_not_be_a_stream(ask, hold, path):
    hold("stream")
    assert ask("basic", f"{path}?callback=cb").read_reply().status == 500
