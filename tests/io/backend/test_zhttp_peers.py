"""Addresses for ZHTTP requests, with handlers played by REP sockets."""

import contextlib

import pytest
import tnetstring
import trio
import trio.testing
import zmq

from realtime_proxy.backend.zhttp_peers import ZhttpAddress, ZhttpPeers
from realtime_proxy.errors import BackendMisbehaved, BackendTimeout, BackendUnreachable, ConfigError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead

SECONDS = 10
HEAD = RequestHead(b"GET", b"/", Headers([(b"Host", b"a.test")]))


@pytest.fixture
def address(tmp_path):
    return ZhttpAddress(f"ipc://{tmp_path}/handlers")


@pytest.fixture
async def peers(nursery):
    peers = ZhttpPeers()
    nursery.start_soon(peers.run)
    yield peers
    nursery.cancel_scope.cancel()
    await trio.lowlevel.cancel_shielded_checkpoint()


@pytest.fixture
def handler():
    """Connects REP sockets."""
    with contextlib.ExitStack() as stack:
        context = stack.enter_context(zmq.Context())

        def connect(address):
            socket = stack.enter_context(context.socket(zmq.REP))
            socket.linger = 0
            socket.connect(address.endpoint)
            return socket

        yield connect


async def until_reachable(peers, address):
    with trio.fail_after(SECONDS):
        while True:
            with contextlib.suppress(BackendUnreachable):
                return peers.require(address)
            await trio.sleep(0.01)


def ready(peers, *addresses):
    known = dict.fromkeys(addresses, "key")
    peers.open(known)
    peers.keep(known)


async def take(socket):
    """A request, as its dictionary."""
    data = await trio.to_thread.run_sync(socket.recv)
    return tnetstring.loads(data[1:])


async def answer(socket, **members):
    request = await take(socket)
    packet = {b"id": request[b"id"], b"code": 200, b"body": request[b"uri"]}
    packet |= {name.encode(): value for name, value in members.items()}
    socket.send(b"T" + tnetstring.dumps(packet))


async def test_a_request_and_its_reply(peers, handler, address, nursery):
    ready(peers, address)
    socket = handler(address)
    await until_reachable(peers, address)
    nursery.start_soon(answer, socket)
    with trio.fail_after(SECONDS):
        response = await peers.ask(address, "http", HEAD, b"", SECONDS)
    assert response.body == b"http://a.test/"


async def test_nobody_is_there(peers, address):
    with pytest.raises(BackendUnreachable):
        await peers.ask(address, "http", HEAD, b"", SECONDS)
    ready(peers, address)
    with pytest.raises(BackendUnreachable, match="zhttp service for route is unreachable"):
        await peers.ask(address, "http", HEAD, b"", SECONDS)


async def test_nobody_answers_in_time(peers, handler, address, nursery):
    ready(peers, address)
    socket = handler(address)
    await until_reachable(peers, address)
    with trio.fail_after(SECONDS), pytest.raises(BackendTimeout):
        await peers.ask(address, "http", HEAD, b"", 0.05)
    await answer(socket)  # too late, and nobody minds
    nursery.start_soon(answer, socket)
    with trio.fail_after(SECONDS):
        assert (await peers.ask(address, "http", HEAD, b"", SECONDS)).status == 200


async def test_nonsense_is_no_reply(peers, handler, address, nursery):
    ready(peers, address)
    socket = handler(address)
    await until_reachable(peers, address)

    async def nonsense():
        await take(socket)
        socket.send(b"nonsense")

    nursery.start_soon(nonsense)
    with trio.fail_after(SECONDS), pytest.raises(BackendTimeout):
        await peers.ask(address, "http", HEAD, b"", 0.2)


async def test_addresses_come_and_go(peers, handler, address, tmp_path, nursery):
    other = ZhttpAddress(f"ipc://{tmp_path}/others")
    ready(peers, address)
    socket = handler(address)
    await until_reachable(peers, address)
    ready(peers, address, other)
    nursery.start_soon(answer, socket)
    with trio.fail_after(SECONDS):
        await peers.ask(address, "http", HEAD, b"", SECONDS)

        async def ask_in_vain():
            with pytest.raises(BackendMisbehaved, match="no longer configured"):
                await peers.ask(address, "http", HEAD, b"", SECONDS)

        async with trio.open_nursery() as inner:
            inner.start_soon(ask_in_vain)
            await trio.testing.wait_all_tasks_blocked()
            ready(peers, other)
    with pytest.raises(BackendUnreachable):
        peers.require(address)
    ready(peers, address)


async def test_a_handler_may_be_who_waits(peers, tmp_path):
    address = ZhttpAddress(f"ipc://{tmp_path}/waits", connect=True)
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        socket.linger = 0
        ready(peers, address)
        with pytest.raises(BackendUnreachable):
            peers.require(address)
        socket.bind(address.endpoint)
        await until_reachable(peers, address)
        async with trio.open_nursery() as inner:
            inner.start_soon(answer, socket)
            with trio.fail_after(SECONDS):
                await peers.ask(address, "http", HEAD, b"", SECONDS)


def test_addresses_that_can_not_be_had_are_all_told():
    peers = ZhttpPeers()
    wrong = {ZhttpAddress(f"ipc:///no/such/folder/{name}"): name for name in "ab"}
    with pytest.raises(ConfigError) as caught:
        peers.open(wrong)
    assert [problem.key_path for problem in caught.value.problems] == ["a", "b"]


def test_permissions(tmp_path):
    peers = ZhttpPeers()
    peers.open({ZhttpAddress(f"ipc://{tmp_path}/a", ipc_mode=0o660): "key"})
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o660
    peers.close()
