import errno
import math
import socket
import ssl
import time

import attrs
import pytest
import trio
import trio.testing

from realtime_proxy.backend import connection as connection_module
from realtime_proxy.backend.connection import connect
from realtime_proxy.backend.origin import Origin, client_context
from realtime_proxy.errors import (
    BackendBlocked,
    BackendMisbehaved,
    BackendTimeout,
    BackendUnreachable,
)
from realtime_proxy.net.tls import RECEIVE_BYTES, TlsCodec

SECONDS = 10
MUCH = bytes(range(256)) * 50_000


async def listen(peer):
    """Read, and say nothing."""
    await peer.ended()


async def stay(_peer):
    """Neither read nor speak nor leave."""
    await trio.sleep_forever()


@pytest.fixture
def dial(backend, wheel, watcher):
    """Connects to the backend; closed at the end of the test."""
    made = []

    async def make(origin=None):
        with trio.fail_after(SECONDS):
            made.append(await connect(origin or backend.origin, wheel, watcher, SECONDS))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


async def receive_all(connection):
    parts = []
    with trio.fail_after(SECONDS):
        while part := await connection.receive():
            parts.append(part)
    return b"".join(parts)


# -- bytes both ways -----------------------------------------------------------------------


async def test_bytes_go_both_ways(backend, dial):
    async def echo(peer):
        left = len(MUCH)
        parts = []
        while left:
            parts.append(await peer.stream.receive_some())
            left -= len(parts[-1])
        await peer.stream.send_all(b"".join(parts))

    backend.scripts = [echo]
    connection = await dial()
    with trio.fail_after(SECONDS):
        await connection.send(b"")
        await connection.send(MUCH)
    assert await receive_all(connection) == MUCH


async def test_a_lost_connection_is_told(backend, dial):
    async def hang_up(peer):
        await peer.reset()

    backend.scripts = [hang_up]
    connection = await dial()
    with trio.fail_after(SECONDS):
        with pytest.raises(BackendMisbehaved, match="connection lost: Connection reset"):
            await connection.receive()
        with pytest.raises(BackendMisbehaved, match="connection lost"):
            await connection.send(MUCH)


# -- connecting ----------------------------------------------------------------------------


async def test_nobody_listens(wheel, watcher):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        trio.fail_after(SECONDS),
        pytest.raises(BackendUnreachable, match=f"127.0.0.1:{port}") as caught,
    ):
        await connect(Origin("127.0.0.1", port), wheel, watcher, SECONDS)
    assert caught.value.status == 502


@pytest.mark.parametrize(
    "host", ["no-such-host.invalid", "a" * 64 + ".example", ".a.example", "\udcff"]
)
async def test_a_name_that_leads_nowhere(wheel, host, watcher):
    with trio.fail_after(SECONDS), pytest.raises(BackendUnreachable):
        await connect(Origin(host, 80), wheel, watcher, SECONDS)


async def test_one_who_never_says_hello(wheel, watcher):
    """The time to connect includes the TLS handshake."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = Origin(*listener.getsockname(), tls=client_context(), server_name="a")
        with (
            trio.fail_after(SECONDS),
            pytest.raises(BackendUnreachable, match=r"in 0\.1 s") as caught,
        ):
            await connect(origin, wheel, watcher, 0.1)
    assert caught.value.status == 504


async def test_connecting_can_be_given_up(wheel, watcher):
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    origin = Origin(*listener.socket.getsockname(), tls=client_context(), server_name="a")
    with trio.fail_after(SECONDS):
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(connect, origin, wheel, watcher, SECONDS)
            stream = await listener.accept()
            greeting = await stream.receive_some()
            nursery.cancel_scope.cancel()
        assert greeting
        async with stream:
            assert await stream.receive_some() == b""


# -- silence -------------------------------------------------------------------------------


@pytest.fixture
def outcome(nursery):
    """Has work done by a task of its own; tells how it ended once it has."""

    def begin(work, *arguments):
        ended = []

        async def watch():
            try:
                ended.append(await work(*arguments))
            except BackendTimeout as error:
                ended.append(error.status)

        nursery.start_soon(watch)
        return ended

    return begin


async def turn(wheel, seconds):
    await trio.testing.wait_all_tasks_blocked()
    wheel.turn(seconds)
    await trio.testing.wait_all_tasks_blocked()


async def test_silence_is_not_endured_for_ever(backend, dial, wheel, outcome):
    backend.scripts = [listen]
    connection = await dial()
    connection.limit_silence(10)
    with trio.fail_after(SECONDS):
        ended = outcome(connection.receive)
        await turn(wheel, 9.9)
        assert ended == []
        await turn(wheel, 0.2)
        assert ended == [504]


async def test_a_backend_that_takes_nothing_is_not_endured_for_ever(backend, dial, wheel, outcome):
    backend.scripts = [stay]
    connection = await dial()
    connection.limit_silence(10)
    with trio.fail_after(SECONDS):
        ended = outcome(connection.send, MUCH)
        await turn(wheel, 9.9)
        assert ended == []
        await turn(wheel, 0.2)
        assert ended == [504]


async def test_without_a_limit_silence_is_endured(backend, dial, wheel, outcome):
    backend.scripts = [listen]
    connection = await dial()
    connection.limit_silence(10)
    connection.unlimit_silence()
    with trio.fail_after(SECONDS):
        ended = outcome(connection.receive)
        await turn(wheel, 11)
        assert ended == []
    assert wheel.due == []


async def test_the_next_request_has_its_time_from_when_it_waits(backend, dial, wheel, outcome):
    """One timer serves all requests of a connection that come soon enough."""
    backend.scripts = [listen]
    connection = await dial()
    connection.limit_silence(10)
    [first] = wheel.due
    connection.unlimit_silence()
    wheel.turn(6)
    connection.limit_silence(10)
    assert wheel.due == [first]
    with trio.fail_after(SECONDS):
        ended = outcome(connection.receive)
        await turn(wheel, 9.9)
        assert ended == []
        await turn(wheel, 0.2)
        assert ended == [504]


async def test_another_limit_counts_at_once(backend, dial, wheel, outcome):
    backend.scripts = [listen]
    connection = await dial()
    connection.limit_silence(100)
    connection.unlimit_silence()
    connection.limit_silence(10)
    with trio.fail_after(SECONDS):
        ended = outcome(connection.receive)
        await turn(wheel, 11)
        assert ended == [504]


async def test_only_waiting_counts_as_silence(dial, wheel):
    """Who has not been asked for anything owes nothing."""
    connection = await dial()
    with trio.fail_after(SECONDS):
        connection.limit_silence(10)
        for _ in range(5):
            wheel.turn(9)
        await connection.send(b"GET / HTTP/1.1\r\n\r\n")
        assert (await connection.receive()).startswith(b"HTTP/1.1 200")
        for _ in range(5):
            wheel.turn(9)
    assert not connection.is_stale(wheel.now())
    connection.close()
    assert wheel.due == []


async def test_an_upload_that_moves_is_not_silence(backend, dial, wheel, outcome):
    """As long as the backend takes something, it may keep its answer back."""
    peers = []

    async def keep(peer):
        peers.append(peer)
        await trio.sleep_forever()

    backend.scripts = [keep]
    connection = await dial()
    connection._raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    with trio.fail_after(SECONDS):
        connection.limit_silence(10)
        received = outcome(connection.receive)
        sent = outcome(connection.send, MUCH * 2)
        for _ in range(4):
            await turn(wheel, 9)
            while connection._blocked_since < wheel.time:  # until the kernel takes more of it
                assert await peers[0].stream.receive_some(500_000)
                await trio.testing.wait_all_tasks_blocked()
        await turn(wheel, 9)
        assert (received, sent) == ([], [])
        while not sent:  # what was read last may still make room
            await turn(wheel, 11)
        assert (received, sent) == ([504], [504])


async def test_what_is_sent_meanwhile_puts_silence_off(backend, dial, wheel, outcome):
    backend.scripts = [listen]
    connection = await dial()
    with trio.fail_after(SECONDS):
        connection.limit_silence(10)
        received = outcome(connection.receive)
        for _ in range(4):
            await turn(wheel, 9)
            await connection.send(b"x")
        await turn(wheel, 9)
        assert received == []
        await turn(wheel, 2)
        assert received == [504]


async def test_what_was_sent_in_the_end_is_not_waited_for(backend, dial, wheel):
    backend.scripts = [listen]
    connection = await dial()
    with trio.fail_after(SECONDS):
        connection.limit_silence(10)
        await connection.send(MUCH)
        for _ in range(4):
            wheel.turn(9)
    assert not connection.is_stale(wheel.now())


# -- idle connections ----------------------------------------------------------------------


async def test_an_idle_connection_is_not_stale(dial, wheel):
    connection = await dial()
    assert not connection.is_stale(wheel.now())


@pytest.mark.parametrize("how", ["closed", "reset", "spoke"])
async def test_an_idle_connection_whose_backend_did_something_is_stale(backend, dial, how, wheel):
    async def act(peer):
        if how == "reset":
            await peer.reset()
        elif how == "spoke":
            await peer.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")

    backend.scripts = [act]
    connection = await dial()
    with trio.fail_after(SECONDS):
        await trio.testing.wait_all_tasks_blocked()
    assert connection.is_stale(wheel.now())


async def test_one_that_was_quiet_is_looked_at_before_the_watcher_tells(dial, wheel, watcher):
    connection = await dial()
    connection._watcher.change(connection._raw.fileno(), 0)
    connection._raw.shutdown(socket.SHUT_RD)
    assert not connection.is_stale(wheel.now())
    wheel.turn(1)
    watcher._looked_at = time.monotonic() + SECONDS  # just now, for as long as the test takes
    assert not connection.is_stale(wheel.now())
    watcher._looked_at = -math.inf
    assert connection.is_stale(wheel.now())


async def test_an_answer_as_large_as_one_receive_leaves_nothing_behind(backend, dial, wheel):
    """There may be more after so much; if there is not, the connection is as good as ever."""

    async def act(peer):
        await peer.stream.send_all(bytes(RECEIVE_BYTES))
        await trio.sleep_forever()

    backend.scripts = [act]
    connection = await dial()
    received = 0
    with trio.fail_after(SECONDS):
        while received < RECEIVE_BYTES:
            received += len(await connection.receive())
    assert not connection.is_stale(wheel.now())


# -- TLS -----------------------------------------------------------------------------------


@pytest.fixture
async def secure(nursery, backend, authority):
    """The backend's certificate is for localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    backend.tls = context
    trusting = client_context()
    authority.configure_trust(trusting)
    return attrs.evolve(backend.origin, tls=trusting, server_name="localhost")


async def test_bytes_go_both_ways_over_tls(backend, secure, dial):
    async def echo(peer):
        left = len(MUCH)
        parts = []
        while left:
            parts.append(await peer.stream.receive_some())
            left -= len(parts[-1])
        await peer.stream.send_all(b"".join(parts))
        await peer.stream.aclose()

    backend.scripts = [echo]
    connection = await dial(secure)
    with trio.fail_after(SECONDS):
        await connection.send(MUCH)
    assert await receive_all(connection) == MUCH
    with trio.fail_after(SECONDS), pytest.raises(BackendMisbehaved):
        await connection.send(MUCH)


async def test_the_end_of_tls_is_one_though_the_connection_stays(backend, secure, dial, wheel):
    async def say_goodbye(peer):
        codec = TlsCodec(backend_tls, None)
        while not codec.handshake(await peer.stream.receive_some()):
            await peer.stream.send_all(codec.output())
        await peer.stream.send_all(codec.output() + codec.seal(b"all") + codec.goodbye())
        await trio.sleep_forever()

    backend_tls, backend.tls = backend.tls, None
    backend.scripts = [say_goodbye]
    connection = await dial(secure)
    assert await receive_all(connection) == b"all"
    assert connection.is_stale(wheel.now())


@pytest.mark.parametrize("name", ["localhost.example", "127.0.0.1", "a..b", "é", ""])
async def test_a_certificate_for_another_name_is_refused(secure, wheel, name, watcher):
    origin = attrs.evolve(secure, server_name=name)
    with trio.fail_after(SECONDS), pytest.raises(BackendUnreachable):
        await connect(origin, wheel, watcher, SECONDS)


async def test_a_certificate_of_nobody_we_know_is_refused(secure, wheel, watcher):
    origin = attrs.evolve(secure, tls=client_context())
    with trio.fail_after(SECONDS), pytest.raises(BackendUnreachable, match="certificate"):
        await connect(origin, wheel, watcher, SECONDS)


async def test_a_backend_without_tls_is_refused(backend, wheel, watcher):
    async def speak_plainly(peer):
        await peer.stream.receive_some()
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    backend.scripts = [speak_plainly]
    origin = attrs.evolve(backend.origin, tls=client_context(), server_name="localhost")
    with trio.fail_after(SECONDS), pytest.raises(BackendUnreachable, match="SSL"):
        await connect(origin, wheel, watcher, SECONDS)


async def test_garbage_for_records_is_told(backend, secure, dial):
    async def speak_plainly(peer):
        await peer.stream.do_handshake()
        await peer.stream.transport_stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        await peer.ended()

    backend.scripts = [speak_plainly]
    connection = await dial(secure)
    with trio.fail_after(SECONDS), pytest.raises(BackendMisbehaved, match="connection lost"):
        await connection.receive()


# -- backends that are not trusted ---------------------------------------------------------


class Names(trio.abc.HostnameResolver):
    """Leads names to addresses: to the next list at each lookup."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002
        found = self.answers.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (to, port)) for to in found]

    async def getnameinfo(self, sockaddr, flags):
        raise NotImplementedError


@pytest.fixture
async def names():
    """Sets what names lead to."""

    def lead(*answers):
        resolver = Names(*answers)
        trio.socket.set_custom_hostname_resolver(resolver)
        return resolver

    yield lead
    trio.socket.set_custom_hostname_resolver(None)


@pytest.fixture
def here_is_public(monkeypatch):
    """This machine counts as public at one of its addresses."""
    monkeypatch.setattr(connection_module, "is_private", lambda host: host != "127.0.0.1")


def untrusted(backend, host="some.example"):
    return attrs.evolve(backend.origin, host=host, untrusted=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "2130706433", "0x7f.1"])
async def test_an_untrusted_backend_may_not_be_here(backend, wheel, host, watcher):
    with trio.fail_after(SECONDS), pytest.raises(BackendBlocked):
        await connect(untrusted(backend, host), wheel, watcher, SECONDS)
    assert backend.connections == 0


@pytest.mark.parametrize("found", [["10.0.0.1"], ["1.1.1.1", "192.168.0.1"]])
async def test_an_untrusted_name_may_not_lead_into_private_networks(
    backend, wheel, names, found, watcher
):
    names(found)
    with trio.fail_after(SECONDS), pytest.raises(BackendBlocked, match=r"Origin host/IP blocked\."):
        await connect(untrusted(backend), wheel, watcher, SECONDS)


@pytest.mark.usefixtures("here_is_public")
async def test_what_was_looked_up_is_what_is_connected_to(backend, dial, names):
    """A name that leads elsewhere at the next lookup gains nothing."""
    resolver = names(["127.0.0.1"], ["127.0.0.2"])
    connection = await dial(untrusted(backend))
    assert connection._raw.getpeername() == ("127.0.0.1", backend.origin.port)
    assert resolver.answers == [["127.0.0.2"]]


async def test_addresses_of_an_untrusted_name_are_tried_in_turn(backend, dial, names, monkeypatch):
    monkeypatch.setattr(connection_module, "is_private", lambda _: False)
    names(["127.0.0.2", "127.0.0.1"])
    connection = await dial(untrusted(backend))
    assert connection._raw.getpeername()[0] == "127.0.0.1"


@pytest.mark.usefixtures("here_is_public")
async def test_an_untrusted_backend_that_is_not_there(wheel, names, watcher):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = Origin("some.example", listener.getsockname()[1], untrusted=True)
    names(["127.0.0.1"])
    with trio.fail_after(SECONDS), pytest.raises(BackendUnreachable, match="refused"):
        await connect(origin, wheel, watcher, SECONDS)


def out_of_files():
    return OSError(errno.EMFILE, "Too many open files")


def all_attempts_failed():
    """As trio tells that no address of a name could be connected to."""
    error = OSError("all attempts to connect failed")
    error.__cause__ = ExceptionGroup("", [OSError(errno.ECONNREFUSED, "no"), out_of_files()])
    return error


@pytest.mark.parametrize(
    ("failure", "is_ours"),
    [
        (out_of_files(), True),
        (all_attempts_failed(), True),
        (OSError(errno.ECONNREFUSED, "Connection refused"), False),
    ],
)
async def test_that_there_was_no_open_file_is_no_fault_of_the_backend(
    wheel, watcher, monkeypatch, failure, is_ours
):
    async def refuse(_origin):
        raise failure

    monkeypatch.setattr(connection_module, "_open", refuse)
    with pytest.raises(BackendUnreachable) as caught:
        await connect(Origin("127.0.0.1", 1), wheel, watcher, SECONDS)
    assert caught.value.is_out_of_files == is_ours
