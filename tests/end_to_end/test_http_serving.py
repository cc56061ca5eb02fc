"""Plain proxying: connections that stay, bodies in every framing, both ways."""

import pytest

from realtime_proxy.testing.raw_client import encode_request

ROUTES = """
[[route]]
targets = [{{ url = "{url}" }}]

[[route]]
host = "secret"
handlers = ["keys"]
targets = [{{ url = "{url}" }}]

[handler.keys]
use = "key_auth"

[[handler.keys.consumers]]
username = "anna"
keys = ["sesame"]
"""


@pytest.fixture(scope="module")
def program(start, backend):
    return start(ROUTES.format(url=backend.url))


# -- connections ---------------------------------------------------------------------------------


def test_connection_stays(connect, backend, path):
    client = connect()
    for _ in range(3):
        client.request("GET", path)
        reply = client.read_reply()
        assert (reply.status, reply.get("connection")) == (200, None)
    assert len(backend.calls_to(path)) == 3


def test_connection_close_of_the_client(connect, path):
    client = connect()
    client.request("GET", path, [("Connection", "close")])
    assert client.read_reply().get("connection") == "close"
    assert client.read_to_end() == b""


def test_connection_close_of_the_backend_is_its_own(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(fields=[("Connection", "close")])
    client = connect()
    for _ in range(2):
        client.request("GET", path)
        assert client.read_reply().get("connection") is None


def test_pipelined_requests_are_answered_in_order(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(body=call.target.encode() + b" " + call.body)
    client = connect()
    client.send(
        encode_request("GET", f"{path}?1")
        + encode_request("POST", f"{path}?2", body=b"two")
        + encode_request("POST", f"{path}?3", [("Transfer-Encoding", "chunked")])
        + b"5\r\nthree\r\n0\r\n\r\n"
        + encode_request("GET", f"{path}?4", [("Connection", "close")])
        + encode_request("GET", f"{path}?5")
    )
    bodies = [client.read_reply().body.decode() for _ in range(4)]
    assert bodies == [f"{path}?1 ", f"{path}?2 two", f"{path}?3 three", f"{path}?4 "]
    assert client.read_to_end() == b""
    assert len(backend.calls_to(path)) == 4


def test_request_in_single_bytes(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(body=call.body)
    client = connect()
    for byte in encode_request("POST", path, body=b"hello"):
        client.send(bytes((byte,)))
    assert client.read_reply().body == b"hello"


@pytest.mark.parametrize("empty_lines", [1, 3])
def test_empty_lines_before_a_request(connect, path, empty_lines):
    client = connect()
    client.send(b"\r\n" * empty_lines + encode_request("GET", path))
    assert client.read_reply().status == 200


# -- HTTP/1.0 ------------------------------------------------------------------------------------


def test_old_client_is_closed(connect, path):
    client = connect()
    client.request("GET", path, version="1.0")
    reply = client.read_reply()
    assert (reply.version, reply.get("connection")) == ("HTTP/1.1", "close")
    assert client.read_to_end() == b""


def test_old_client_that_asks_for_it_stays(connect, path):
    client = connect()
    for _ in range(2):
        client.request("GET", path, [("Connection", "keep-alive")], version="1.0")
        assert client.read_reply().get("connection") == "keep-alive"


@pytest.mark.parametrize("connection", [[], [("Connection", "keep-alive")]])
def test_old_client_gets_no_chunks(connect, backend, path, connection):
    def answer(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        call.send(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")

    backend.scripts[path] = answer
    client = connect()
    client.request("GET", path, connection, version="1.0")
    reply = client.read_reply()
    assert reply.get("transfer-encoding") is reply.get("content-length") is None
    assert reply.get("connection") == "close"
    assert reply.body == b"onetwo"


def test_old_client_without_a_host(connect, backend, path):
    client = connect()
    client.request("GET", path, host=None, version="1.0")
    assert client.read_reply().status == 200
    assert backend.wait_for(path).version == "HTTP/1.1"


# -- bodies of requests --------------------------------------------------------------------------


def test_whole_uri_as_the_target(connect, backend, path):
    client = connect()
    client.request("GET", f"http://other:80{path}?a=b", host="test")
    assert client.read_reply().status == 200
    call = backend.wait_for(path)
    assert (call.target, call.get_all("host")) == (f"{path}?a=b", ["other:80"])


def test_request_with_a_length(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(body=call.body)
    client = connect()
    client.request("POST", path, body=b"x" * 100_000)
    assert client.read_reply().body == b"x" * 100_000
    call = backend.wait_for(path)
    assert (call.get("content-length"), call.get("transfer-encoding")) == ("100000", None)


def test_chunked_request_with_trailers(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(body=call.body)
    client = connect()
    client.request("POST", path, [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")])
    client.send(b"5;note=1\r\nhello\r\n006\r\n world\r\n0\r\nX-Sum: 7\r\n\r\n")
    assert client.read_reply().body == b"hello world"
    call = backend.wait_for(path)
    assert (call.get("content-length"), call.get("transfer-encoding")) == (None, "chunked")
    assert [trailer.lower() for trailer in call.trailers] == ["x-sum: 7"]


def test_request_body_goes_up_as_it_comes(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(body=b"|".join(iter(call.read_some, b"")))
    client = connect()
    client.request("POST", path, [("Transfer-Encoding", "chunked")])
    client.send_chunk(b"first")
    backend.wait_for(path)
    client.send_chunk(b"second")
    client.send_chunk(b"")
    assert client.read_reply().body.replace(b"|", b"") == b"firstsecond"


def test_get_with_a_body(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(body=call.body)
    client = connect()
    for _ in range(2):
        client.request("GET", path, body=b"asked")
        assert client.read_reply().body == b"asked"


@pytest.mark.parametrize("length", [None, "0"])
def test_post_without_a_body(connect, backend, path, length):
    fields = [] if length is None else [("Content-Length", length)]
    client = connect()
    client.request("POST", path, fields)
    assert client.read_reply().status == 200
    assert backend.wait_for(path).get("content-length") == length


# -- Expect: 100-continue ------------------------------------------------------------------------

PROXYS_OWN = ("x-forwarded-for", "127.0.0.1")
EXPECT = [("Expect", "100-continue"), ("Content-Length", "5")]


def test_expect_is_answered_when_the_body_is_wanted(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(body=call.body)
    client = connect()
    client.request("POST", path, EXPECT)
    assert client.read_head().status == 100
    client.send(b"hello")
    assert client.read_reply().body == b"hello"
    assert backend.wait_for(path).get("expect") is None


def test_expect_is_not_answered_when_the_body_is_here(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(body=call.body)
    client = connect()
    client.request("POST", path, EXPECT, b"hello")
    assert client.read_head().status == 200


def test_expect_is_not_answered_without_a_body(connect, path):
    client = connect()
    client.request("GET", path, [("Expect", "100-continue")])
    assert client.read_head().status == 200


def test_expect_is_not_answered_by_who_refuses(connect, backend, path):
    client = connect()
    client.request("POST", path, EXPECT, host="secret")
    reply = client.read_head()
    assert (reply.status, reply.get("connection")) == (401, "close")
    assert not backend.calls_to(path)


def test_expect_of_an_old_client_is_ignored(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(body=call.body)
    client = connect()
    client.request("POST", path, EXPECT, version="1.0")
    backend.wait_for(path)
    client.send(b"hello")
    assert client.read_head().status == 200


# -- bodies of responses -------------------------------------------------------------------------


def test_response_with_a_length(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(body=b"x" * 300_000)
    client = connect()
    client.request("GET", path)
    reply = client.read_reply()
    assert (reply.get("content-length"), reply.is_chunked) == ("300000", False)
    assert reply.body == b"x" * 300_000


def test_chunked_response_with_trailers(connect, backend, path):
    def answer(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
        call.send(b"5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n")

    backend.scripts[path] = answer
    client = connect()
    for _ in range(2):
        client.request("GET", path)
        reply = client.read_reply()
        assert (reply.is_chunked, reply.body) == (True, b"hello")
        assert reply.trailers == [("x-sum", "7")]


def test_response_in_single_bytes(connect, backend, path):
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"

    def answer(call):
        for byte in whole:
            call.send(bytes((byte,)))

    backend.scripts[path] = answer
    client = connect()
    client.request("GET", path)
    assert client.read_reply().body == b"hello"


def test_response_streams_through(connect, backend, path):
    client = connect()

    def answer_in_steps(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        assert client.read_head().status == 200
        assert client.read_chunk() == b"one"
        call.send(b"3\r\ntwo\r\n")
        assert client.read_chunk() == b"two"
        call.send(b"0\r\n\r\n")

    backend.scripts[path] = answer_in_steps
    client.request("GET", path)
    backend.wait_for(path).wait_until_answered()
    assert client.read_chunk() == b""


def test_response_that_ends_with_its_connection(connect, backend, path):
    def answer(call):
        call.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        call.close()

    backend.scripts[path] = answer
    client = connect()
    for _ in range(2):
        client.request("GET", path)
        reply = client.read_reply()
        assert (reply.is_chunked, reply.body) == (True, b"all of it")


def test_old_response(connect, backend, path):
    def answer(call):
        call.send(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold")
        call.close()

    backend.scripts[path] = answer
    client = connect()
    for _ in range(2):
        client.request("GET", path)
        reply = client.read_reply()
        assert (reply.version, reply.body) == ("HTTP/1.1", b"old")


# -- responses without a body --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("framing", "shown"),
    [
        (b"Content-Length: 9\r\n", "9"),
        (b"Transfer-Encoding: chunked\r\n", None),
        (b"", None),
    ],
)
def test_head_keeps_the_length_and_has_no_body(connect, backend, path, framing, shown):
    backend.scripts[path] = lambda call: call.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
    client = connect()
    for _ in range(2):
        client.request("HEAD", path)
        assert client.read_reply(to="HEAD").get("content-length") == shown
    client.request("GET", "/after")
    assert client.read_reply().status == 200


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_a_body(connect, backend, path, status):
    length = b"Content-Length: 9\r\n" if status == 304 else b""
    backend.scripts[path] = lambda call: call.send(
        b"HTTP/1.1 %d X\r\n%bETag: a\r\n\r\n" % (status, length)
    )
    client = connect()
    for _ in range(2):
        client.request("GET", path)
        reply = client.read_reply()
        assert (reply.status, reply.is_chunked, reply.get("etag")) == (status, False, "a")
        assert reply.get("content-length") == ("9" if status == 304 else None)


def test_interim_responses_of_the_backend_are_not_the_response(connect, backend, path):
    backend.scripts[path] = lambda call: call.send(
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    )
    client = connect()
    client.request("GET", path)
    assert client.read_reply().body == b"ok"


def test_switch_of_protocols_that_nobody_asked_for(connect, backend, path):
    def answer(call):
        call.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
        call.send(b"no longer HTTP")
        call.hang()

    backend.scripts[path] = answer
    client = connect()
    client.request("GET", path)
    assert client.read_head().status == 502


# -- early responses -----------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [[], [("Grip-Hold", "stream"), ("Grip-Channel", "early")]])
@pytest.mark.parametrize(
    "framing", [("Content-Length", "100000"), ("Transfer-Encoding", "chunked")]
)
def test_early_response_leaves_no_half_request_behind(connect, backend, path, framing, fields):
    """The next request must not become the rest of one whose body never came whole."""
    backend.scripts[path] = lambda call: call.respond(403, fields)
    uploading = connect()
    uploading.request("POST", path, [framing])
    backend.wait_for(path).wait_until_answered()
    for number in range(3):
        client = connect()
        client.request("GET", f"/next{path}")
        assert client.read_reply().status == 200
        assert backend.wait_for(f"/next{path}", number + 1).method == "GET"


# -- header fields -------------------------------------------------------------------------------


def test_order_case_and_repetition_are_kept(connect, backend, path):
    fields = [("X-B", "1"), ("x-a", "2"), ("X-B", "3"), ("X-Empty", "")]
    backend.scripts[path] = lambda call: call.send(
        b"HTTP/1.1 299 So so\r\nX-B: 1\r\nx-a: 2\r\nX-B: 3\r\nContent-Length: 0\r\n\r\n"
    )
    client = connect()
    client.request("GET", path, fields)
    head = client.read_until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 299 So so\r\nX-B: 1\r\nx-a: 2\r\nX-B: 3\r\n")
    seen = [field for field in backend.wait_for(path).fields if field[0].startswith("x-")]
    assert seen == [*((name.lower(), value) for name, value in fields), PROXYS_OWN]


def test_hop_by_hop_fields_stay_on_their_hop(connect, backend, path):
    hop = [
        ("Connection", "X-Custom, keep-alive"),
        ("X-Custom", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
        ("Trailer", "X"),
        ("Upgrade", "h2c"),
    ]
    kept = ("X-Kept", "2")
    backend.scripts[path] = lambda call: call.respond(fields=[*hop, kept])
    client = connect()
    client.request("GET", path, [*hop, kept])
    reply = client.read_reply()
    names = {name.lower() for name, _ in hop}
    assert not names & {name for name, _ in reply.fields}
    assert not names & {name for name, _ in backend.wait_for(path).fields}
    assert reply.get("x-kept") == backend.wait_for(path).get("x-kept") == "2"


@pytest.mark.parametrize("named", ["content-length", "Content-Length, close", "host"])
def test_connection_cannot_take_away_what_a_message_needs(connect, backend, path, named):
    backend.scripts[path] = lambda call: call.respond(body=call.body)
    client = connect()
    client.request("POST", path, [("Connection", named)], b"GET /inner HTTP/1.1\r\n\r\n")
    assert client.read_reply().body == b"GET /inner HTTP/1.1\r\n\r\n"
    call = backend.wait_for(path)
    assert (call.get("host"), call.get("content-length")) == ("test", "23")
    assert not backend.calls_to("/inner")


def test_connection_cannot_take_away_who_a_client_is(connect, backend, path):
    client = connect()
    fields = [("apikey", "sesame"), ("X-Consumer-Username", "root")]
    fields.append(("Connection", "x-consumer-username"))
    client.request("GET", path, fields, host="secret")
    assert client.read_reply().status == 200
    assert backend.wait_for(path).get_all("x-consumer-username") == ["anna"]


def test_connection_of_a_backend_cannot_take_away_the_length(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(
        fields=[("Connection", "content-length, transfer-encoding")], body=b"whole"
    )
    client = connect()
    for _ in range(2):
        client.request("GET", path)
        assert client.read_reply().body == b"whole"


def test_content_encoding_is_kept_both_ways(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(
        fields=[("Content-Encoding", "gzip")], body=call.body
    )
    client = connect()
    client.request("POST", path, [("Content-Encoding", "br")], b"squeezed")
    assert client.read_reply().get("content-encoding") == "gzip"
    assert backend.wait_for(path).get("content-encoding") == "br"


# -- clients that leave --------------------------------------------------------------------------

REQUESTS = {
    "get": encode_request("GET", "{path}"),
    "post": encode_request("POST", "{path}", body=b"whole"),
    "chunked": encode_request("POST", "{path}", [("Transfer-Encoding", "chunked")])
    + b"5\r\nwhole\r\n0\r\n\r\n",
    "slow post": encode_request("POST", "{path}", [("Content-Length", "9")], b"half"),
}


@pytest.mark.parametrize("leave", ["close", "reset"])
@pytest.mark.parametrize("request_", REQUESTS)
def test_client_that_leaves_cancels_the_backend_request(connect, backend, path, request_, leave):
    backend.scripts[path] = lambda call: call.hang()
    client = connect()
    client.send(REQUESTS[request_].replace(b"{path}", path.encode()))
    call = backend.wait_for(path)
    getattr(client, leave)()
    call.wait_until_answered()


@pytest.mark.parametrize("request_", ["get", "post", "chunked"])
def test_client_that_leaves_within_the_response(connect, backend, path, request_):
    def script(call):
        assert call.body is not None
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        client.read_until(b"half\r\n")
        client.reset()
        call.hang()

    backend.scripts[path] = script
    client = connect()
    client.send(REQUESTS[request_].replace(b"{path}", path.encode()))
    backend.wait_for(path).wait_until_answered()
