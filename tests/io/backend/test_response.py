import ssl

import attrs
import pytest
import trio
import trio.testing

from realtime_proxy.backend.origin import client_context
from realtime_proxy.backend.request import BackendCaller, OutgoingRequest
from realtime_proxy.backend.response import LocalResponse
from realtime_proxy.errors import BackendMisbehaved, BackendTimeout
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.tally import Tally, TallyRules
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response

SECONDS = 10
HEAD = b"HTTP/1.1 200 OK\r\n"
LARGE = bytes(range(256)) * 2_500


@pytest.fixture
def respond(backend, pool):
    """Has the backend send these parts, then close if asked to; gives the response."""

    async def make(*parts, method=b"GET", closes=False):
        async def script(peer):
            await peer.request()
            await peer.send(*parts)
            if not closes:
                await peer.ended()

        backend.scripts = [script]
        request = OutgoingRequest(method, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", repeatable=True)
        with trio.fail_after(SECONDS):
            return await BackendCaller(pool).call(backend.origin, request)

    return make


async def read_all(response):
    data = b""
    with trio.fail_after(SECONDS):
        while part := await response.read():
            data += part
    return data


def kept(pool):
    """How many connections wait in the pool."""
    return sum(len(waiting) for waiting in pool._idle.values())


# -- bodies --------------------------------------------------------------------------------


async def test_a_body_by_length(respond, pool):
    response = await respond(HEAD + b"Content-Length: 6\r\n\r\nab", b"cd", b"ef")
    assert response.length == 6
    assert await read_all(response) == b"abcdef"
    assert response.complete
    response.close()
    assert kept(pool) == 1


async def test_bodies_are_counted_as_they_are_given_out(respond):
    tally = Tally(TallyRules(), Counters(), lambda: None)
    response = await respond(HEAD + b"Content-Length: 6\r\n\r\nab", b"cdef")
    response.tally = tally.routes["r"]
    assert await response.read() == b"ab"
    assert tally.take().traffic["r"].server_content_bytes_received == 2
    assert await read_all(response) == b"cdef"
    response.close()
    made = LocalResponse(Response(200, Headers(), b"12345"), "somewhere")
    made.tally = tally.routes["r"]
    assert made.take() == b"12345"
    assert tally.take().traffic["r"].server_content_bytes_received == 4 + 5


async def test_a_chunked_body_with_trailers(respond, pool):
    parts = (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r", b"\nabc\r\n0\r\nA: ", b"b\r\n\r\n")
    response = await respond(*parts)
    assert response.length is None
    assert await read_all(response) == b"abc"
    assert response.trailers == [(b"a", b"b")]
    response.close()
    assert kept(pool) == 1


async def test_a_body_that_the_close_ends(respond, pool):
    response = await respond(HEAD + b"\r\nab", b"cd", closes=True)
    assert await read_all(response) == b"abcd"
    assert response.complete
    response.close()
    assert kept(pool) == 0


@pytest.mark.parametrize(
    ("head", "method"),
    [
        (HEAD + b"Content-Length: 0\r\n\r\n", b"GET"),
        (HEAD + b"Content-Length: 9\r\n\r\n", b"HEAD"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"GET"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"GET"),
    ],
)
async def test_a_response_without_a_body_is_complete(respond, pool, head, method):
    response = await respond(head, method=method)
    assert response.complete
    assert await read_all(response) == b""
    response.close()
    assert kept(pool) == 1


async def test_what_is_here_is_taken_without_waiting(respond):
    response = await respond(HEAD + b"Content-Length: 4\r\n\r\nab")
    assert response.take() == b"ab"
    assert response.take() == b""
    assert not response.complete
    response.close()


# -- cut short, or nonsense ----------------------------------------------------------------


@pytest.mark.parametrize(
    "fields", [b"Content-Length: 6\r\n\r\nab", b"Transfer-Encoding: chunked\r\n\r\n6\r\nab"]
)
async def test_a_body_that_is_cut_short_is_told(respond, pool, fields):
    response = await respond(HEAD + fields, closes=True)
    with pytest.raises(BackendMisbehaved, match="within the response"):
        await read_all(response)
    assert not response.complete
    response.close()
    assert kept(pool) == 0


@pytest.mark.parametrize("says_so", [True, False])
async def test_over_tls_only_a_goodbye_is_an_end(backend, pool, authority, says_so):
    async def script(peer):
        await peer.request()
        await peer.send(HEAD + b"\r\n", b"ab")
        if says_so:
            await peer.stream.aclose()

    backend.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(backend.tls)
    backend.scripts = [script]
    trusting = client_context(insecure=True)
    origin = attrs.evolve(backend.origin, tls=trusting, server_name="localhost")
    request = OutgoingRequest(b"GET", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", repeatable=False)
    with trio.fail_after(SECONDS):
        response = await BackendCaller(pool).call(origin, request)
    if says_so:
        assert await read_all(response) == b"ab"
    else:
        with pytest.raises(BackendMisbehaved, match="within the response"):
            await read_all(response)
    assert response.complete == says_so
    response.close()


async def test_malformed_chunks_are_told(respond, pool):
    response = await respond(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"nonsense\r\n")
    with pytest.raises(BackendMisbehaved, match="chunked body"):
        await read_all(response)
    response.close()
    assert kept(pool) == 0


async def test_malformed_chunks_that_nobody_reads_only_end_the_connection(respond, pool):
    response = await respond(HEAD + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n")
    response.close()
    assert kept(pool) == 0


async def test_silence_within_a_body_is_told(respond, pool):
    pool.settings = attrs.evolve(pool.settings, read_timeout_seconds=0.1)
    response = await respond(HEAD + b"Content-Length: 4\r\n\r\nab")
    with pytest.raises(BackendTimeout):
        await read_all(response)
    response.close()
    assert kept(pool) == 0


# -- bodies that pass ----------------------------------------------------------------------


async def pass_all(response):
    """The body as its parts are at the moment when they are given."""
    data = b""
    with trio.fail_after(SECONDS):
        while not response.complete:
            data += bytes(await response.read_passing())
    return data


@pytest.mark.parametrize(
    ("fields", "parts", "body"),
    [
        (b"Content-Length: 1280000", [LARGE, LARGE[::-1]], LARGE + LARGE[::-1]),
        (b"Content-Length: 3", [b"abc"], b"abc"),
        (b"Content-Length: 0", [], b""),
        (
            b"Transfer-Encoding: chunked",
            [b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n"],
            b"abcde",
        ),
    ],
)
async def test_what_passes_is_what_is_read(respond, pool, fields, parts, body):
    response = await respond(HEAD + fields + b"\r\n\r\n", *parts)
    response.tally = Tally(TallyRules(), Counters(), lambda: None).routes[""]
    assert await pass_all(response) == body
    response.close()
    assert kept(pool) == 1
    assert response.tally.counts().server_content_bytes_received == len(body)


async def test_no_more_passes_than_belongs_to_the_body(respond, backend, pool):
    """What follows may look like the next response: nobody may get it for theirs."""
    response = await respond(HEAD + b"Content-Length: 4\r\n\r\n", b"abcdHTTP/1.1 200 OK\r\n")
    assert await pass_all(response) == b"abcd"
    response.close()
    with trio.fail_after(SECONDS):
        await trio.testing.wait_all_tasks_blocked()
    assert pool.take_idle(backend.origin) is None


async def test_a_passing_body_that_is_cut_short_is_told(respond, pool):
    response = await respond(HEAD + b"Content-Length: 600000\r\n\r\n", b"ab", closes=True)
    with pytest.raises(BackendMisbehaved, match="within the response"):
        await pass_all(response)
    response.close()
    assert kept(pool) == 0


async def test_silence_within_a_passing_body_is_told(respond, pool):
    pool.settings = attrs.evolve(pool.settings, read_timeout_seconds=0.1)
    response = await respond(HEAD + b"Content-Length: 600000\r\n\r\n", b"ab")
    with pytest.raises(BackendTimeout):
        await pass_all(response)
    response.close()
    assert kept(pool) == 0


# -- what becomes of the connection --------------------------------------------------------


async def test_an_unread_end_that_is_here_is_skipped(respond, pool):
    response = await respond(HEAD + b"Content-Length: 4\r\n\r\nabcd")
    response.close()
    assert kept(pool) == 1


async def test_an_unread_end_that_is_not_here_is_not_waited_for(respond, pool):
    response = await respond(HEAD + b"Content-Length: 4\r\n\r\nab")
    response.close()
    assert kept(pool) == 0


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Content-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n",
        HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\nab",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab",
    ],
)
async def test_a_connection_that_can_not_carry_another_request_is_closed(respond, pool, data):
    response = await respond(data)
    assert await read_all(response) == b"ab"
    response.close()
    assert kept(pool) == 0


async def test_closing_twice_gives_back_once(respond, pool):
    response = await respond(HEAD + b"Content-Length: 2\r\n\r\nab")
    response.close()
    response.close()
    assert kept(pool) == 1


async def test_a_closed_response_has_no_more(respond):
    response = await respond(HEAD + b"Content-Length: 4\r\n\r\nab")
    response.close()
    assert await read_all(response) == b""
    assert not response.complete


async def test_reading_that_is_given_up_leaves_nothing_open(respond, backend, pool):
    response = await respond(HEAD + b"Content-Length: 4\r\n\r\nab")
    response.take()
    with trio.move_on_after(0.05) as scope:
        await response.read()
    assert scope.cancelled_caught
    response.close()
    assert kept(pool) == 0
    with trio.fail_after(SECONDS):
        await backend.ended.wait()


# -- made here -----------------------------------------------------------------------------


async def test_a_local_response_is_here_at_once():
    response = LocalResponse(Response(404, Headers([(b"A", b"b")]), b"abc"), "demo")
    assert (response.head.status, response.head.reason) == (404, b"Not Found")
    assert (response.length, response.source, response.trailers) == (3, "demo", [])
    assert not response.complete
    assert await response.read() == b"abc"
    assert response.complete
    assert response.take() == await response.read() == b""
    response.close()


# -- other protocols -----------------------------------------------------------------------


async def test_the_connection_of_a_101_is_taken_over(backend, pool):
    received = []

    async def script(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nearly")
        received.append(await peer.stream.receive_some())

    backend.scripts = [script]
    data = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    request = OutgoingRequest(b"GET", data, repeatable=True, upgrades=True)
    with trio.fail_after(SECONDS):
        response = await BackendCaller(pool).call(backend.origin, request)
    connection, early = response.take_over()
    response.close()
    assert (early, kept(pool)) == (b"early", 0)
    with pytest.raises(ValueError, match="given back"):
        response.take_over()
    raw, tls = connection.leave()
    connection.close()  # not its socket any more
    assert tls is None
    raw.send(b"still open")
    with trio.fail_after(SECONDS):
        while not received:
            await trio.testing.wait_all_tasks_blocked()
    assert received == [b"still open"]
    raw.close()


async def test_a_101_that_nobody_takes_over_is_not_kept(backend, pool):
    async def script(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\n\r\n")
        await peer.ended()

    backend.scripts = [script]
    data = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    request = OutgoingRequest(b"GET", data, repeatable=True, upgrades=True)
    with trio.fail_after(SECONDS):
        (await BackendCaller(pool).call(backend.origin, request)).close()
    assert kept(pool) == 0
