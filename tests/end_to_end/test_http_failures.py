"""What is refused, what times out, and what happens when either side leaves in the middle."""

import contextlib
import socket
import time

import pytest

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, CutShort, Ending, encode_request

LIMITS = """
max_header_bytes = 4096
max_target_bytes = 1024
max_body_bytes = 100_000
"""
ROUTES = """
[backend]
max_header_bytes = 8192

[[route]]
targets = [{{ url = "{url}" }}]

[[route]]
host = "debug"
debug = true
targets = [{{ url = "http://127.0.0.1:{dead}" }}]

[[route]]
host = "explained"
id = "the-route"
debug = true
targets = [{{ url = "{url}" }}]

[[route]]
host = "dead"
targets = [{{ url = "http://127.0.0.1:{dead}" }}]

[[route]]
host = "only.http"
protocol = "http"
targets = [{{ url = "{url}" }}]
"""


@pytest.fixture(scope="module")
def dead():
    """A port on which nobody listens, kept from others."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture(scope="module")
def program(start, backend, dead):
    return start(ROUTES.format(url=backend.url, dead=dead), server=LIMITS)


# Only what is to run out is short, so that a machine with other things to do changes nothing.
IMPATIENT_WITH_CLIENTS = """
header_timeout_seconds = 0.5
body_timeout_seconds = 0.5
idle_timeout_seconds = 0.5
"""
IMPATIENT_WITH_BACKENDS = """
[backend]
read_timeout_seconds = 1

[[route]]
targets = [{{ url = "{url}" }}]
"""


@pytest.fixture(scope="module")
def hurried(start, backend):
    """The address of a program that does not wait long for clients."""
    route = f'[[route]]\ntargets = [{{ url = "{backend.url}" }}]\n'
    return start(route, server=IMPATIENT_WITH_CLIENTS).address


@pytest.fixture(scope="module")
def hurrying(start, backend):
    """The address of a program that does not wait long for backends."""
    return start(IMPATIENT_WITH_BACKENDS.format(url=backend.url)).address


def assert_refused(client, status):
    """The answer has the status and an explanation, and the connection ends."""
    reply = client.read_reply()
    assert (reply.status, reply.get("connection")) == (status, "close")
    assert reply.get("content-type") == "text/plain"
    assert reply.body.endswith(b"\n")
    assert client.read_to_end() == b""
    return reply


# -- requests that are not HTTP as we take it ----------------------------------------------------

HOST = b"Host: test\r\n"


@pytest.mark.parametrize(
    ("status", "head"),
    [
        (400, b"GET /x HTTP/1.1\r\n\r\n"),
        (400, b"GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        (400, b"GET /x HTTP/1.1\r\nHost: a b\r\n\r\n"),
        (400, b"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        (400, b"GET /x HTTP/1.1\nHost: test\n\n"),
        (400, b"GET /x HTTP/1.1\r\n" + HOST + b"X-A: 1\n\r\n\r\n"),
        (400, b"GET /x HTTP/1.1\r\n" + HOST + b"X-A: 1\r\n folded\r\n\r\n"),
        (400, b"GET /x HTTP/1.1\r\n" + HOST + b"X-A: 1\x002\r\n\r\n"),
        (400, b"GET /x HTTP/1.1\r\n" + HOST + b"X-A: 1\r2\r\n\r\n"),
        (400, b"GET /x HTTP/1.1\r\n" + HOST + b"X-A : 1\r\n\r\n"),
        (400, b"GET /x HTTP/1.1\r\n" + HOST + b": 1\r\n\r\n"),
        (400, b"GET /x HTTP/1.1\r\n" + HOST + b"no colon\r\n\r\n"),
        (400, b"GET /x\x7f HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"GET  /x HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"GET /x HTTP/1.1 \r\n" + HOST + b"\r\n"),
        (400, b"GET /x http/1.1\r\n" + HOST + b"\r\n"),
        (400, b"G(T /x HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"GET x HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"GET http://user@test/x HTTP/1.1\r\n" + HOST + b"\r\n"),
        (400, b"GET http://test/x HTTP/1.1\r\n\r\n"),
        (400, b"GET http://test/x HTTP/1.1\r\n" + HOST + HOST + b"\r\n"),
        (400, b"GET /x\r\n\r\n"),
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        (505, b"GET /x HTTP/2.0\r\n" + HOST + b"\r\n"),
        (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (501, b"CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n"),
    ],
)
def test_head_that_is_not_a_request(connect, backend, status, head):
    client = connect()
    client.send(head + encode_request("GET", "/behind"))
    assert_refused(client, status)
    assert not backend.calls_to("/x")
    assert not backend.calls_to("/behind")


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (400, b"Content-Length: 4\r\nContent-Length: 4\r\n"),
        (400, b"Content-Length: 4\r\nContent-Length: 40\r\n"),
        (400, b"Content-Length: 4, 4\r\n"),
        (400, b"Content-Length: +4\r\n"),
        (400, b"Content-Length: -4\r\n"),
        (400, b"Content-Length: 4x\r\n"),
        (400, b"Content-Length: 0x4\r\n"),
        (400, b"Content-Length: 99999999999999999999\r\n"),
        (400, b"Content-Length:\r\n"),
        (400, b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
        (400, b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
        (400, b"Transfer-Encoding: chunked, chunked\r\n"),
        (400, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        (400, b"Transfer-Encoding:\r\n"),
        (501, b"Transfer-Encoding: gzip\r\n"),
        (501, b"Transfer-Encoding: gzip, chunked\r\n"),
        (501, b"Transfer-Encoding: xchunked\r\n"),
        (501, b"Transfer-Encoding: identity\r\n"),
    ],
)
def test_body_whose_end_is_not_clear(connect, backend, status, fields):
    client = connect()
    client.send(b"POST /x HTTP/1.1\r\n" + HOST + fields + b"\r\n")
    client.send(b"0\r\n\r\n" + encode_request("GET", "/behind"))
    assert_refused(client, status)
    assert not backend.calls_to("/x")
    assert not backend.calls_to("/behind")


def test_chunked_body_of_an_old_client(connect, backend):
    client = connect()
    client.request("POST", "/x", [("Transfer-Encoding", "chunked")], version="1.0")
    assert_refused(client, 400)
    assert not backend.calls_to("/x")


@pytest.mark.parametrize(
    ("status", "chunks"),
    [
        (400, b"x\r\n\r\n"),
        (400, b"-1\r\n\r\n"),
        (400, b"4 \r\nabcdX\r\n0\r\n\r\n"),
        (400, b"ffffffffffffffffffffff\r\n"),
        (400, b"4\r\nabcdGET /behind HTTP/1.1\r\nHost: test\r\n\r\n"),
        (400, b"0\r\nbad trailer\r\n\r\n"),
        (400, b"0\r\nX-A: " + b"y" * 200_000 + b"\r\n\r\n"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else value,
)
def test_malformed_chunks(connect, backend, path, status, chunks):
    backend.scripts[path] = lambda call: call.respond(body=call.body)
    client = connect()
    client.request("POST", path, [("Transfer-Encoding", "chunked")])
    backend.wait_for(path)
    client.send(chunks)
    assert_refused(client, status)
    assert not backend.calls_to("/behind")


def test_requests_before_a_bad_one_are_served(connect, path):
    client = connect()
    client.send(encode_request("GET", path) + b"nonsense\r\n\r\n")
    assert client.read_reply().status == 200
    assert_refused(client, 400)


def test_what_follows_a_refused_body_is_not_a_request(connect, backend, path):
    """The body of a request that a limit refuses must never be read as the next request."""
    inner = encode_request("GET", "/inner")
    client = connect()
    client.request("POST", path, [("Content-Length", "200000")], inner)
    assert_refused(client, 413)
    assert not backend.calls_to("/inner")


# -- limits --------------------------------------------------------------------------------------


def test_long_target(connect, backend, path):
    client = connect()
    client.request("GET", f"{path}?{'x' * 900}")
    assert client.read_reply().status == 200
    client.request("GET", f"{path}?{'x' * 2000}")
    assert_refused(client, 414)
    assert len(backend.calls_to(path)) == 1


def test_large_head(connect, backend, path):
    client = connect()
    client.request("GET", path, [("X-Large", "x" * 3900)])
    assert client.read_reply().status == 200
    client.request("GET", path, [("X-Large", "x" * 4100)])
    assert_refused(client, 431)
    assert len(backend.calls_to(path)) == 1


def test_large_head_that_never_ends(connect):
    client = connect()
    client.send(b"GET / HTTP/1.1\r\nX-Large: " + b"x" * 5000)
    assert_refused(client, 431)


def test_too_many_fields(connect):
    client = connect()
    client.request("GET", "/", [(f"X-{number}", "") for number in range(200)])
    assert_refused(client, 431)


def test_large_body_by_its_length(connect, backend, path):
    client = connect()
    client.request("POST", path, [("Content-Length", "100001"), ("Expect", "100-continue")])
    assert_refused(client, 413)
    assert not backend.calls_to(path)


def test_large_body_in_chunks(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(body=call.body)
    client = connect()
    client.request("POST", path, [("Transfer-Encoding", "chunked")])
    for _ in range(6):
        client.send_chunk(b"x" * 20_000)
    assert_refused(client, 413)


def test_body_as_large_as_may_be(connect, backend, path):
    backend.scripts[path] = lambda call: call.respond(body=call.body)
    client = connect()
    client.request("POST", path, body=b"x" * 100_000)
    assert len(client.read_reply().body) == 100_000


# -- clients that take their time ----------------------------------------------------------------


def test_slow_head(connect, hurried):
    client = connect(hurried)
    client.send(b"GET / HTT")
    assert_refused(client, 408)


def test_slow_head_that_goes_on_slowly(connect, hurried):
    """The limit is for the whole head: bytes now and then don't prolong it."""
    client = connect(hurried)
    client.socket.settimeout(0.05)
    client.send(b"GET / HTTP/1.1\r\n")
    while not client.buffer:
        with contextlib.suppress(TimeoutError):
            client.read_exactly(1)
            break
        client.send(b"X-A: 1\r\n")
    client.socket.settimeout(DEADLINE_SECONDS)
    assert b"TTP/1.1 408 " in client.read_to_end()


def test_slow_head_behind_a_request(connect, hurried, path):
    client = connect(hurried)
    client.send(encode_request("GET", path) + b"GET / HTT")
    assert client.read_reply().status == 200
    assert_refused(client, 408)


def test_slow_body(connect, hurried, backend, path):
    backend.scripts[path] = lambda call: call.respond(body=call.body)
    client = connect(hurried)
    client.request("POST", path, [("Content-Length", "10")], b"half")
    assert_refused(client, 408)


def test_slow_body_behind_a_request(connect, hurried, backend, path):
    backend.scripts[path] = lambda call: call.respond(body=call.body)
    client = connect(hurried)
    post = encode_request("POST", path, [("Content-Length", "10")], b"half")
    client.send(encode_request("GET", path) + post)
    assert client.read_reply().status == 200
    assert_refused(client, 408)


def test_slow_line_of_a_chunk(connect, hurried, path):
    """Without its carriage returns it is never a whole one."""
    client = connect(hurried)
    client.request("POST", path, [("Transfer-Encoding", "chunked")])
    client.send(b"4\nabcd\n0\n\n")
    assert_refused(client, 408)


def test_silence_between_requests(connect, hurried, path):
    client = connect(hurried)
    client.request("GET", path)
    assert client.read_reply().status == 200
    assert client.wait_for_end() is Ending.CLOSED


def test_slow_head_after_a_request(connect, hurried, path):
    client = connect(hurried)
    client.request("GET", path)
    assert client.read_reply().status == 200
    client.send(b"GET / HTT")
    assert_refused(client, 408)


def test_waiting_for_an_answer_is_no_silence(connect, hurried, backend, path):
    def answer_late(call):
        time.sleep(0.8)
        call.respond()

    client = connect(hurried)
    client.request("GET", path)
    assert client.read_reply().status == 200
    backend.scripts[path] = answer_late
    for _ in range(2):
        client.request("GET", path)
        assert client.read_reply().status == 200
    assert client.wait_for_end() is Ending.CLOSED


def test_silence_before_the_first_request(connect, hurried):
    assert connect(hurried).wait_for_end() is Ending.CLOSED


def test_slow_heads_delay_nobody(connect, hurried, path):
    slow = []
    for _ in range(100):
        slow.append(connect(hurried))
        slow[-1].send(b"GET / HTTP/1.1\r\nX-A:")
    client = connect(hurried)
    client.request("GET", path)
    assert client.read_reply().status == 200
    for client in slow:
        assert client.read_reply().status == 408


# -- backends that fail --------------------------------------------------------------------------

BROKEN = [
    b"",
    b"nonsense\r\n\r\n",
    b"HTTP/1.1 OK\r\n\r\n",
    b"HTTP/1.1 99 X\r\n\r\n",
    b"HTTP/2 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Le",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 2000,
]


@pytest.mark.parametrize("answer", BROKEN)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_usable_response(connect, backend, path, method, answer):
    def script(call):
        assert call.body is not None
        call.send(answer)
        call.close()

    backend.scripts[path] = script
    client = connect()
    for _ in range(2):  # the connection of the client stays
        client.request(method, path, body=b"body" if method == "POST" else None)
        reply = client.read_reply()
        assert (reply.status, reply.body) == (502, b"Error while proxying to origin.\n")


def test_backend_that_takes_too_long(connect, hurrying, backend, path):
    backend.scripts[path] = lambda call: call.hang()
    client = connect(hurrying)
    client.request("GET", path)
    assert client.read_reply().status == 504
    backend.wait_for(path).wait_until_answered()


def test_backend_that_stops_within_the_head(connect, hurrying, backend, path):
    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-")
        call.hang()

    backend.scripts[path] = script
    client = connect(hurrying)
    client.request("GET", path)
    assert client.read_reply().status == 504


def test_nobody_listens(connect):
    client = connect()
    for _ in range(2):
        client.request("GET", "/", host="dead")
        reply = client.read_reply()
        assert (reply.status, reply.body) == (502, b"Error while proxying to origin.\n")


def test_nobody_listens_for_an_upload(connect):
    client = connect()
    client.request("POST", "/", [("Transfer-Encoding", "chunked")], host="dead")
    assert_refused(client, 502)


def test_debug_says_why(connect, dead):
    client = connect()
    client.request("GET", "/", host="debug")
    text = f"Unable to connect to any targets. Tried: 127.0.0.1:{dead}\n"
    reply = client.read_reply()
    assert (reply.body, reply.get("x-debug-route")) == (text.encode(), "debug,*,*,*")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "connection closed without a response"),
        (b"nonsense\r\n\r\n", "response is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "Content-Length must be a number"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "chunked body"),
        (b"HTTP/1.1 200 OK\r\nGrip-Hold: x\r\nContent-Length: 0\r\n\r\n", "Grip-Hold must be set"),
    ],
)
@pytest.mark.parametrize("host", ["explained", "test"])
def test_debug_says_why_where_and_who(connect, backend, path, host, answer, problem):
    def script(call):
        call.send(answer)
        call.close()

    backend.scripts[path] = script
    client = connect()
    client.request("POST", path, host=host)
    reply = client.read_reply()
    assert reply.status == 502
    if host == "explained":
        assert problem in reply.body.decode()
        assert reply.get("x-debug-route") == "the-route"
        assert reply.get("x-debug-target") == f"127.0.0.1:{backend.port}"
    else:
        assert reply.body == b"Error while proxying to origin.\n"
        assert not [name for name, _ in reply.fields if name.startswith("x-debug")]


def test_debug_says_why_a_body_breaks_off(connect, backend, path):
    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        call.cut()

    backend.scripts[path] = script
    client = connect()
    client.request("GET", path, host="explained")
    client.read_head()
    assert client.read_chunk() == b"abc"
    assert client.read_chunk().startswith(b"\n\nconnection ")
    with pytest.raises(CutShort):
        client.read_chunk()


def test_debug_ends_a_body_that_the_client_itself_broke_off(connect, backend, path):
    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        call.hang()

    backend.scripts[path] = script
    client = connect()
    client.request("POST", path, [("Transfer-Encoding", "chunked")], host="explained")
    client.read_head()
    assert client.read_chunk() == b"abc"
    client.send(b"nonsense\r\n")
    assert client.read_chunk().startswith(b"\n\n")
    assert client.read_chunk() == b""
    assert client.wait_for_end() is Ending.CLOSED


def test_debug_says_why_a_body_of_an_old_client_breaks_off(connect, backend, path):
    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        call.cut()

    backend.scripts[path] = script
    client = connect()
    client.request("GET", path, host="explained", version="1.0")
    client.read_head()
    with pytest.raises(CutShort) as caught:
        client.read_to_end()
    assert caught.value.ending is Ending.RESET


def test_debug_says_nothing_within_a_length(connect, backend, path):
    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        call.close()

    backend.scripts[path] = script
    client = connect()
    client.request("GET", path, host="explained")
    with pytest.raises(CutShort) as caught:
        client.read_reply()
    assert caught.value.received == b"abc"


DEFECT = """
from realtime_proxy.pipeline import BaseHandler

class Handler(BaseHandler):
    def on_response_head(self, exchange, response):
        response.headers = None
"""


def test_a_defect_is_answered(connect, start_own, backend, path):
    """What no rule foresees, here headers that are none, ends one exchange and nothing else."""
    routes = '[[route]]\nhandlers = ["defect"]\ntargets = [{{ url = "{}" }}]\n'
    own = start_own(routes.format(backend.url), handlers=[("defect", DEFECT)])
    for _ in range(2):
        client = connect(own.address)
        client.request("GET", path)
        assert assert_refused(client, 500).body == b"Failed to process request.\n"
    assert "Traceback" in own.log


def test_no_route(connect):
    client = connect()
    client.request("GET", "/", [("Upgrade", "websocket")], host="only.http")
    assert client.read_reply().status in (400, 502)


# -- responses that break off --------------------------------------------------------------------

CUTS = {
    "length": (b"Content-Length: 10\r\n\r\nhalf", b""),
    "no last chunk": (b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b""),
    "half a chunk": (b"Transfer-Encoding: chunked\r\n\r\n8\r\nhalf", b""),
    "no chunk": (b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"x\r\n"),
    "half a last chunk": (b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"0\r\n"),
}
LEAVE = {
    "close": lambda call: call.close(),
    "reset": lambda call: call.cut(),
}


def assert_cut_short(client, cut, version):
    """With no frame of its own, a body that is cut short ends in a reset."""
    if version == "1.0" and cut != "length":
        assert client.wait_for_end() is Ending.RESET
    else:
        with pytest.raises(CutShort):
            client.read_until(b"0\r\n\r\n")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("leave", LEAVE)
@pytest.mark.parametrize("cut", CUTS)
def test_response_cut_short_never_looks_complete(connect, backend, path, version, leave, cut):
    client = connect()
    framing, rest = CUTS[cut]

    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\n" + framing)
        client.read_until(b"half")  # has reached the client before the connection breaks
        call.send(rest)
        LEAVE[leave](call)

    backend.scripts[path] = script
    client.request("GET", path, version=version)
    backend.wait_for(path).wait_until_answered()
    assert_cut_short(client, cut, version)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_response_that_stops_never_looks_complete(connect, hurrying, backend, path, version):
    clients = {cut: connect(hurrying) for cut in CUTS}

    def script(call):
        cut = call.get("cut")
        framing, rest = CUTS[cut]
        call.send(b"HTTP/1.1 200 OK\r\n" + framing)
        clients[cut].read_until(b"half")
        call.send(rest)
        call.hang()

    backend.scripts[path] = script
    for cut, client in clients.items():
        client.request("GET", path, [("Cut", cut)], version=version)
    for number in range(len(CUTS)):
        backend.wait_for(path, number + 1).wait_until_answered()
    for cut, client in clients.items():
        assert_cut_short(client, cut, version)


def test_reset_of_a_backend_without_a_length_is_no_end(connect, backend, path):
    client = connect()

    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        client.read_until(b"half")
        call.cut()

    backend.scripts[path] = script
    client.request("GET", path)
    backend.wait_for(path).wait_until_answered()
    with pytest.raises(CutShort):
        client.read_until(b"0\r\n\r\n")


# -- early responses -----------------------------------------------------------------------------


def test_response_before_the_upload_is_complete(connect, backend, path):
    """A client that goes on sending for a while still gets the whole response."""
    backend.scripts[path] = lambda call: call.respond(403, body=b"no" * 10_000)
    client = connect()
    client.request("POST", path, [("Content-Length", "100000")], b"x" * 50_000)
    reply = client.read_head()
    assert (reply.status, reply.get("connection")) == (403, "close")
    client.send(b"x" * 50_000)
    assert client.read_body(reply).body == b"no" * 10_000
    assert client.wait_for_end() is Ending.CLOSED


def test_early_response_that_closes_the_backend(connect, backend, path):
    def script(call):
        call.respond(403, [("Connection", "close")], b"no")
        call.finish()

    backend.scripts[path] = script
    client = connect()
    client.request("POST", path, [("Content-Length", "100000")], b"x" * 50_000)
    reply = client.read_reply()
    assert (reply.status, reply.body) == (403, b"no")


def test_response_while_the_upload_goes_on(connect, backend, path):
    """Both directions at once: each part comes back before the next is sent."""

    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while part := call.read_some():
            call.send(b"%x\r\n%b\r\n" % (len(part), part))
        call.send(b"0\r\n\r\n")

    backend.scripts[path] = script
    client = connect()
    client.request("POST", path, [("Transfer-Encoding", "chunked")])
    assert client.read_head().status == 200
    for part in (b"one", b"two", b"three"):
        client.send_chunk(part)
        assert client.read_chunk() == part
    client.send_chunk(b"")
    assert client.read_chunk() == b""


def test_refusal_without_reading_asks_for_no_body(connect):
    """A backend that can't be reached has no use for the body, so no 100 is sent."""
    client = connect()
    fields = [("Expect", "100-continue"), ("Content-Length", "5")]
    client.request("POST", "/", fields, host="dead")
    assert client.read_head().status == 502
