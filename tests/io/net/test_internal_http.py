import pytest
import structlog
import trio
import trio.testing

from realtime_proxy.config.addresses import TcpAddress
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response, text_response
from realtime_proxy.net.internal_http import InternalHttpServer, InternalLimits, InternalReply
from realtime_proxy.net.listeners import open_listener

SECONDS = 10
LIMITS = InternalLimits(max_header_bytes=300, max_body_bytes=100)


async def repeat(head, body):
    """Say what was asked, and keep the connection after a POST."""
    if head.target == b"/fail":
        raise ZeroDivisionError
    text = b"%b %b [%b]" % (head.method, head.target, body)
    fields = Headers([(b"Content-Type", b"text/plain")])
    return InternalReply(Response(200, fields, text), keep_alive=head.method == b"POST")


@pytest.fixture
async def connect(nursery):
    """Starts a server, and makes connections to it."""
    listener = open_listener(TcpAddress("127.0.0.1", 0))
    host, port = listener.getsockname()
    nursery.start_soon(InternalHttpServer(LIMITS, repeat).run, listener)
    opened = []

    async def make():
        stream = await trio.open_tcp_stream(host, port)
        opened.append(stream)
        return stream

    yield make
    for stream in opened:
        await trio.aclose_forcefully(stream)


async def ask(connect, *parts):
    """Everything that comes until the server closes, for these parts sent one after another."""
    stream = await connect()
    with trio.fail_after(SECONDS):
        for part in parts:
            await stream.send_all(part)
            await trio.testing.wait_all_tasks_blocked()
        await stream.send_eof()
        return await read_to_end(stream)


async def read_to_end(stream):
    data = b""
    async for part in stream:
        data += part
    return bytes(data)


def reply(body, status=b"200 OK", version=b"1.1", connection=b"close"):
    return (
        b"HTTP/%b %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: %b\r\n\r\n%b"
    ) % (version, status, len(body), connection, body)


# -- what is answered ----------------------------------------------------------------------


async def test_one_request_and_its_answer(connect):
    assert await ask(connect, b"GET /a HTTP/1.1\r\n\r\n") == reply(b"GET /a []")


async def test_the_version_is_echoed(connect):
    answer = await ask(connect, b"GET /a HTTP/1.0\r\n\r\n")
    assert answer == reply(b"GET /a []", version=b"1.0")


async def test_a_body_comes_with_its_request_however_it_arrives(connect):
    request = b"POST /a HTTP/1.1\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"
    assert await ask(connect, request) == reply(b"POST /a [abc]")
    assert await ask(connect, request[:10], request[10:-2], request[-2:]) == reply(b"POST /a [abc]")


async def test_requests_one_after_another(connect):
    first = b"POST /1 HTTP/1.1\r\nContent-Length: 1\r\n\r\na"
    second = b"GET /2 HTTP/1.1\r\n\r\n"
    expected = reply(b"POST /1 [a]", connection=b"keep-alive") + reply(b"GET /2 []")
    assert await ask(connect, first + second) == expected
    assert await ask(connect, first, second) == expected


async def test_head_gets_no_body(connect):
    answer = await ask(connect, b"HEAD /a HTTP/1.1\r\n\r\n")
    assert answer == reply(b"HEAD /a []").removesuffix(b"HEAD /a []")


async def test_a_client_that_waits_to_be_asked_for_its_body(connect):
    head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    answer = await ask(connect, head, b"a")
    assert answer == b"HTTP/1.1 100 Continue\r\n\r\n" + reply(
        b"POST / [a]", connection=b"keep-alive"
    )


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
async def test_methods_that_need_no_length(connect, method):
    answer = await ask(connect, b"%b / HTTP/1.1\r\n\r\n" % method)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


# -- what is refused -----------------------------------------------------------------------

HEADER = b"400 Bad Request", b"Failed to parse request header.\n"
TOO_LARGE = b"400 Bad Request", b"Request header too large.\n"
NO_LENGTH = b"411 Length Required", b"Request requires Content-Length.\n"
BAD_LENGTH = b"400 Bad Request", b"Bad Content-Length.\n"
BODY = b"400 Bad Request", b"Request body too large.\n"


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (b"nonsense\r\n\r\n", HEADER),
        (b"GET / HTTP/2.0\r\n\r\n", HEADER),
        (b"GET / HTTP/1.1\r\nA b\r\n\r\n", HEADER),
        (b"\x16\x03\x01", HEADER),
        (b"GET /" + b"a" * 400, TOO_LARGE),
        (b"GET /" + b"a" * 400 + b" HTTP/1.1\r\n\r\n", TOO_LARGE),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 300, TOO_LARGE),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 60 + b"\r\n", TOO_LARGE),
        (b"POST / HTTP/1.1\r\n\r\n", NO_LENGTH),
        (b"PUT / HTTP/1.1\r\n\r\n", NO_LENGTH),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NO_LENGTH),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NO_LENGTH),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", NO_LENGTH),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding:\r\n\r\n", NO_LENGTH),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", BAD_LENGTH),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", BAD_LENGTH),
        (b"POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", BODY),
        (b"POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n" + b"a" * 101, BODY),
    ],
)
async def test_a_refusal_says_why_and_closes(connect, request_, refusal):
    status, text = refusal
    assert await ask(connect, request_) == reply(text, status)


async def test_an_old_client_without_a_length_is_refused_in_its_version(connect):
    answer = await ask(connect, b"POST / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert answer == reply(NO_LENGTH[1], NO_LENGTH[0], version=b"1.0")


async def test_a_body_that_just_fits(connect):
    request = b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n" + b"a" * 100
    assert b"[" + b"a" * 100 + b"]" in await ask(connect, request)


async def test_a_defect_is_answered_and_the_next_client_served(connect):
    with structlog.testing.capture_logs() as logs:
        answer = await ask(connect, b"GET /fail HTTP/1.1\r\n\r\n")
    assert answer == reply(b"Internal Server Error\n", b"500 Internal Server Error")
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert await ask(connect, b"GET /a HTTP/1.1\r\n\r\n") == reply(b"GET /a []")


# -- clients that leave --------------------------------------------------------------------


@pytest.mark.parametrize(
    "part", [b"", b"GET /", b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n", b"\r\n"]
)
async def test_a_client_that_leaves_gets_nothing_and_disturbs_nobody(connect, part):
    assert await ask(connect, part) == b""
    assert await ask(connect, b"GET /a HTTP/1.1\r\n\r\n") == reply(b"GET /a []")


async def test_a_client_that_resets_disturbs_nobody(connect):
    stream = await connect()
    with trio.fail_after(SECONDS):
        await stream.send_all(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n")
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stream.aclose()
    assert await ask(connect, b"GET /a HTTP/1.1\r\n\r\n") == reply(b"GET /a []")


async def test_the_listener_is_closed_at_the_end():
    listener = open_listener(TcpAddress("127.0.0.1", 0))
    server = InternalHttpServer(LIMITS, repeat)
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run, listener)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert listener.fileno() == -1


@pytest.mark.parametrize("sent", [b"", b"GET /", b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na"])
async def test_a_client_that_says_nothing_more_is_given_up(autojump_clock, sent):
    """No bytes are on their way while time jumps: all that is sent has been read."""
    answers = []

    async def keep(head, body):
        answers.append((head, body))
        return InternalReply(text_response(200, "never"))

    ours, theirs = trio.socket.socketpair()
    await theirs.send(sent or b"\r\n")
    server = InternalHttpServer(LIMITS, keep)
    await server._serve(trio.SocketStream(ours))
    assert await theirs.recv(100) == b""
    theirs.close()
    assert not answers


async def test_other_limits_count_from_the_next_connection_on(nursery):
    listener = open_listener(TcpAddress("127.0.0.1", 0))
    limits = InternalLimits(1_000, 1_000)
    nursery.start_soon(InternalHttpServer(limits, repeat).run, listener)

    async def status():
        async with await trio.open_tcp_stream(*listener.getsockname()) as stream:
            await stream.send_all(b"POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody")
            with trio.fail_after(SECONDS):
                return (await stream.receive_some())[9:12]

    assert await status() == b"200"
    limits.max_body_bytes = 3
    assert await status() == b"400"
    nursery.cancel_scope.cancel()


async def test_at_the_end_who_is_connected_gets_one_more_answer():
    """A server beside it takes the new ones: the listening socket stays open until then."""
    listener = open_listener(TcpAddress("127.0.0.1", 0))
    address = listener.getsockname()
    other = listener.dup()  # that of the process that takes over
    server = InternalHttpServer(LIMITS, repeat)
    request = b"POST /1 HTTP/1.1\r\nContent-Length: 1\r\n\r\na"
    with other, trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run, listener)
            stream = await trio.open_tcp_stream(*address)
            await stream.send_all(request)
            assert await stream.receive_some() == reply(b"POST /1 [a]", connection=b"keep-alive")
            server.end()
            late = await trio.open_tcp_stream(*address)
            await trio.testing.wait_all_tasks_blocked()
            other.setblocking(True)
            other.settimeout(SECONDS)
            taken, _ = other.accept()
            assert taken.getpeername() == late.socket.getsockname()
            taken.close()
            await late.aclose()
            await stream.send_all(request)
            assert await read_to_end(stream) == reply(b"POST /1 [a]")
            await stream.aclose()
        # `run` has come back by itself, and what it listened at is closed.
        assert listener.fileno() == -1
