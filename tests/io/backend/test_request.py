import ssl

import attrs
import pytest
import trio
import trio.testing

from realtime_proxy.backend.origin import Origin, client_context
from realtime_proxy.backend.request import IDEMPOTENT, BackendCaller, OutgoingRequest
from realtime_proxy.errors import (
    BackendMisbehaved,
    BackendTimeout,
    BackendUnreachable,
    ProtocolError,
)

SECONDS = 10
GET = OutgoingRequest(b"GET", b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", repeatable=True)
ONCE = OutgoingRequest(
    b"POST", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", repeatable=False
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def answer_one(peer):
    """Answer one request, then close on the next."""
    await peer.request()
    await peer.send(OK)
    await peer.request()


async def answer_all(peer):
    while True:
        await peer.request()
        await peer.send(OK)


@pytest.fixture
def caller(pool):
    return BackendCaller(pool)


async def exchange(caller, origin, request=GET):
    """One whole exchange; its body."""
    with trio.fail_after(SECONDS):
        response = await caller.call(origin, request)
        body = b""
        while part := await response.read():
            body += part
        response.close()
    return body


async def test_a_request_and_its_response(caller, backend, pool):
    seen = []

    async def look(peer):
        seen.append(await peer.request(2))
        await peer.send(OK)
        await peer.ended()

    backend.scripts = [look]
    with trio.fail_after(SECONDS):
        response = await caller.call(backend.origin, ONCE)
    assert response.head.status == 200
    assert response.source == str(backend.origin)
    assert response.take() == b"ok"
    response.close()
    assert seen == [(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2", b"ab")]
    assert repr(pool) == f"<Pool idle {{{backend.origin}: 1}}>"


async def test_a_connection_is_used_again(caller, backend):
    for _ in range(3):
        assert await exchange(caller, backend.origin) == b"ok"
    assert backend.connections == 1


# -- repeating -----------------------------------------------------------------------------


async def hang_up_unasked(peer):
    """Answer one request, and close as soon as another has come, as if it had crossed."""
    await answer_one(peer)


async def reset_instead(peer):
    await peer.request()
    await peer.send(OK)
    await peer.request()
    await peer.reset()


@pytest.mark.parametrize("ending", [hang_up_unasked, reset_instead])
async def test_a_kept_connection_that_turns_out_to_be_dead_is_replaced(caller, backend, ending):
    backend.scripts = [ending, answer_all]
    await exchange(caller, backend.origin)
    assert await exchange(caller, backend.origin) == b"ok"
    assert backend.connections == 2


@pytest.mark.parametrize("ending", [hang_up_unasked, reset_instead])
async def test_what_must_not_be_sent_twice_is_not(caller, backend, ending):
    backend.scripts = [ending, answer_all]
    await exchange(caller, backend.origin)
    with pytest.raises(BackendMisbehaved):
        await exchange(caller, backend.origin, ONCE)
    assert backend.connections == 1


@pytest.mark.parametrize("said", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_request_that_was_answered_at_all_is_not_repeated(caller, backend, said):
    async def say_something_and_close(peer):
        await peer.request()
        await peer.send(OK)
        await peer.request()
        await peer.send(said)

    backend.scripts = [say_something_and_close, answer_all]
    await exchange(caller, backend.origin)
    with pytest.raises(BackendMisbehaved, match="without a response"):
        await exchange(caller, backend.origin)
    assert backend.connections == 1


async def test_a_request_on_a_fresh_connection_is_not_repeated(caller, backend):
    async def close_at_once(peer):
        await peer.request()

    backend.scripts = [close_at_once, answer_all]
    with pytest.raises(BackendMisbehaved):
        await exchange(caller, backend.origin)
    assert backend.connections == 1


async def test_a_request_is_repeated_once(caller, backend):
    async def close_at_once(peer):
        await peer.request()

    backend.scripts = [answer_one, close_at_once, answer_all]
    await exchange(caller, backend.origin)
    with pytest.raises(BackendMisbehaved):
        await exchange(caller, backend.origin)
    assert backend.connections == 2


async def test_a_connection_closed_while_idle_is_not_even_tried(caller, backend):
    async def close_after_one(peer):
        await peer.request()
        await peer.send(OK)

    backend.scripts = [close_after_one, answer_all]
    await exchange(caller, backend.origin)
    with trio.fail_after(SECONDS):
        await backend.ended.wait()
    assert await exchange(caller, backend.origin, ONCE) == b"ok"
    assert backend.connections == 2


def test_methods_that_may_be_repeated():
    assert {b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"} == IDEMPOTENT


# -- backends that misbehave ---------------------------------------------------------------


async def test_an_unreachable_backend_is_told(caller):
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    origin = Origin("127.0.0.1", listener.socket.getsockname()[1])
    await listener.aclose()
    with pytest.raises(BackendUnreachable):
        await exchange(caller, origin)


async def test_a_silent_backend_is_told(caller, backend, pool):
    async def listen(peer):
        await peer.ended()

    backend.scripts = [listen]
    pool.settings = attrs.evolve(pool.settings, read_timeout_seconds=0.1)
    with pytest.raises(BackendTimeout) as caught:
        await exchange(caller, backend.origin)
    assert caught.value.status == 504
    assert repr(pool) == "<Pool idle {}>"


async def test_a_silent_kept_connection_is_not_a_dead_one(caller, backend, pool):
    """The request has arrived: it must not be sent twice."""

    async def answer_once_then_listen(peer):
        await peer.request()
        await peer.send(OK)
        await peer.ended()

    backend.scripts = [answer_once_then_listen, answer_all]
    pool.settings = attrs.evolve(pool.settings, read_timeout_seconds=0.1)
    await exchange(caller, backend.origin)
    with pytest.raises(BackendTimeout):
        await exchange(caller, backend.origin)
    assert backend.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 100_000,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
async def test_nonsense_is_told(caller, backend, pool, answer):
    async def talk_nonsense(peer):
        await peer.request()
        await peer.send(answer)
        await peer.ended()

    backend.scripts = [talk_nonsense]
    with pytest.raises(BackendMisbehaved):
        await exchange(caller, backend.origin)
    assert repr(pool) == "<Pool idle {}>"
    with trio.fail_after(SECONDS):
        await backend.ended.wait()


async def test_interim_responses_are_skipped(caller, backend):
    async def hint_first(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
        await peer.ended()

    backend.scripts = [hint_first]
    assert await exchange(caller, backend.origin) == b"ok"


MUCH = b"x" * 20_000_000
LARGE = OutgoingRequest(
    b"PUT",
    b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n" + MUCH,
    repeatable=False,
)


async def test_an_answer_that_comes_before_the_request_is_taken(caller, backend, pool):
    """Such as 413: the backend need not read what it refuses."""

    async def refuse_and_close(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")

    backend.scripts = [refuse_and_close]
    assert await exchange(caller, backend.origin, LARGE) == b"no"
    assert repr(pool) == "<Pool idle {}>"


# -- uploads -------------------------------------------------------------------------------

UPLOAD_HEAD = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"


async def answer_early(peer):
    await peer.request()
    await peer.send(OK)
    await peer.ended()


async def test_more_of_the_body_is_sent_once_the_rest_is(caller, backend, pool, nursery):
    seen = []

    async def look(peer):
        seen.append(await peer.request(4))
        await peer.send(OK)
        await peer.ended()

    def upload(connection):
        async def send():
            await connection.send(b"cd")
            connection.owes_body = False

        nursery.start_soon(send)

    backend.scripts = [look]
    request = OutgoingRequest(b"POST", UPLOAD_HEAD + b"ab", repeatable=False, upload=upload)
    assert await exchange(caller, backend.origin, request) == b"ok"
    assert seen[0][1] == b"abcd"
    assert repr(pool) == f"<Pool idle {{{backend.origin}: 1}}>"


async def test_a_connection_that_owes_a_body_carries_no_other_request(caller, backend, pool):
    """What came next would be read as the rest of the body."""
    backend.scripts = [answer_early]
    request = OutgoingRequest(b"POST", UPLOAD_HEAD, repeatable=False, upload=lambda _: None)
    assert await exchange(caller, backend.origin, request) == b"ok"
    assert repr(pool) == "<Pool idle {}>"


async def test_a_used_connection_may_be_kept_after_an_upload_again(caller, backend, nursery):
    async def answer_both(peer):
        await peer.request()
        await peer.send(OK)
        await peer.request(4)
        await peer.send(OK)
        await peer.request()
        await peer.send(OK)
        await peer.ended()

    def upload(connection):
        async def send():
            await connection.send(b"abcd")
            connection.owes_body = False

        nursery.start_soon(send)

    backend.scripts = [answer_both]
    request = OutgoingRequest(b"POST", UPLOAD_HEAD, repeatable=False, upload=upload)
    for each in (GET, request, GET):
        assert await exchange(caller, backend.origin, each) == b"ok"
    assert backend.connections == 1


async def test_an_upload_that_fails_at_once_takes_the_call_along(caller, backend, pool):
    def upload(_connection):
        raise ProtocolError(400, "nonsense")

    backend.scripts = [answer_early]
    request = OutgoingRequest(b"POST", UPLOAD_HEAD, repeatable=False, upload=upload)
    with pytest.raises(ProtocolError):
        await exchange(caller, backend.origin, request)
    assert repr(pool) == "<Pool idle {}>"


# -- giving up -----------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [GET, LARGE])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_call_that_is_given_up_leaves_nothing_open(caller, backend, pool, request_, said):
    arrived = trio.Event()

    async def keep_waiting(peer):
        if said:
            await peer.send(said)
        arrived.set()
        with trio.move_on_after(SECONDS):
            await peer.ended()

    backend.scripts = [keep_waiting]
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.call, backend.origin, request_)
            await arrived.wait()
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await backend.ended.wait()
    assert repr(pool) == "<Pool idle {}>"


# -- TLS -----------------------------------------------------------------------------------


@pytest.fixture
def secure(backend, authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    backend.tls = context
    trusting = client_context()
    authority.configure_trust(trusting)
    return Origin("localhost", backend.origin.port, trusting, "localhost")


async def test_a_verified_backend(caller, backend, secure):
    for _ in range(3):
        assert await exchange(caller, secure) == b"ok"
    assert backend.connections == 1


async def test_a_backend_whose_certificate_is_for_another_name(caller, secure):
    other = attrs.evolve(secure, server_name="127.0.0.1")
    with pytest.raises(BackendUnreachable, match="certificate"):
        await exchange(caller, other)


async def test_a_backend_that_nobody_vouches_for(caller, secure):
    with pytest.raises(BackendUnreachable, match="certificate"):
        await exchange(caller, attrs.evolve(secure, tls=client_context()))


async def test_an_insecure_backend_need_not_be_vouched_for(caller, secure):
    insecure = attrs.evolve(secure, tls=client_context(insecure=True))
    assert await exchange(caller, insecure) == b"ok"
    with pytest.raises(BackendUnreachable):  # its connections are not for others
        await exchange(caller, attrs.evolve(secure, tls=client_context()))
