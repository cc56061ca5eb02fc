"""Redis as handlers have it: there, away and there again, slow, and what is published."""

import anyio
import pytest
import structlog
import trio

from realtime_proxy.backend import redis_connection
from realtime_proxy.backend.redis_connection import KeptRedisConnection
from realtime_proxy.pipeline import RedisSettings, RedisUnavailable, Secret
from realtime_proxy.testing.redis_server import RedisServer
from realtime_proxy.testing.reserved_ports import reserved_ports

ENOUGH_SECONDS = 30


@pytest.fixture
def server():
    server = RedisServer().start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def soon_again(monkeypatch):
    monkeypatch.setattr(redis_connection, "RETRY_SECONDS", 0.01)


def settings(port, password=None, timeout_seconds=ENOUGH_SECONDS):
    return RedisSettings(
        port=Secret(str(port).encode()),
        password=password and Secret(password.encode()),
        timeout_seconds=timeout_seconds,
    )


class Listener:
    """Keeps what it hears."""

    def __init__(self):
        self.send, self.receive = trio.open_memory_channel(100)

    async def __call__(self, client, feed):
        self.send.send_nowait("connected")
        async for published in feed:
            self.send.send_nowait((published.channel, published.content))

    async def next(self):
        with trio.fail_after(ENOUGH_SECONDS):
            return await self.receive.receive()


@pytest.fixture
async def attended(server, nursery):
    redis, listener = KeptRedisConnection(settings(server.port)), Listener()
    nursery.start_soon(redis.attend, listener, ("a",), ("__keyspace@0__:*",))
    assert await listener.next() == "connected"
    return redis, listener


def exists(name):
    return lambda client: client.exists([name])


async def test_asking_and_listening(server, attended):
    redis, listener = attended
    assert redis.is_there
    assert await redis.ask(exists("k")) == 0
    server.set("k")
    assert await redis.ask(exists("k")) == 1
    assert await listener.next() == (b"__keyspace@0__:k", b"set")
    server.publish("b", "not asked for")
    server.publish("a", "\x00é")
    assert await listener.next() == (b"a", "\x00é".encode())


async def test_it_goes_and_comes_again(server, attended):
    redis, listener = attended
    with structlog.testing.capture_logs() as logs:
        server.stop()
        with trio.fail_after(ENOUGH_SECONDS):
            while redis.is_there or not logs:  # noqa: ASYNC110  what it waits for has no event
                await trio.sleep(0.01)
        with pytest.raises(RedisUnavailable, match="there is no connection to Redis"):
            await redis.ask(exists("k"))
        server.start()
        assert await listener.next() == "connected"
    assert await redis.ask(exists("k")) == 0
    # However often it has been tried meanwhile.
    assert [log["event"] for log in logs] == ["Redis is away", "Redis is there"]


async def test_an_error_of_the_listener_is_not_one_of_redis(server):
    async def listen(client, feed):
        raise ZeroDivisionError

    redis = KeptRedisConnection(settings(server.port))
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        await redis.attend(listen, ("a",))
    assert not redis.is_there


@pytest.mark.parametrize("closed", [anyio.ClosedResourceError, anyio.BrokenResourceError])
async def test_a_connection_that_closes_under_a_question(attended, closed):
    """As coredis says it between the loss of a connection and the next one."""

    async def question(client):
        raise closed

    with pytest.raises(RedisUnavailable, match=closed.__name__):
        await attended[0].ask(question)


async def test_what_fails_is_told_without_what_was_said(attended):
    """Keys of consumers are in commands."""

    async def question(client):
        async with client.pipeline(transaction=False) as pipe:
            pipe.zadd("k", {"hunter2 (of all)": 1})

    with pytest.raises(RedisUnavailable) as refused:
        await attended[0].ask(question)
    assert str(refused.value).lower() == "unknown command 'zadd'"


async def test_who_asks_at_the_start_waits(server, nursery):
    redis, listener = KeptRedisConnection(settings(server.port)), Listener()
    answers = []

    async def ask():
        answers.append(await redis.ask(exists("k")))

    async with trio.open_nursery() as asking:
        asking.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert not answers
        nursery.start_soon(redis.attend, listener, ("a",))
    assert answers == [0]


async def test_nobody_is_there(nursery):
    with reserved_ports(1) as (port,):
        redis = KeptRedisConnection(settings(port))
        with structlog.testing.capture_logs() as logs:
            nursery.start_soon(redis.attend, Listener(), ("a",))
            with pytest.raises(RedisUnavailable):
                await redis.ask(exists("k"))
    assert "127.0.0.1" in logs[0]["problem"]


async def test_silence_is_bounded(server, nursery):
    redis, listener = KeptRedisConnection(settings(server.port, timeout_seconds=0.5)), Listener()
    nursery.start_soon(redis.attend, listener, ("a",))
    assert await listener.next() == "connected"
    server.is_silent = True
    with trio.fail_after(ENOUGH_SECONDS):
        with pytest.raises(RedisUnavailable, match=r"in time|out|no connection"):
            await redis.ask(exists("k"))


async def test_the_password(server, nursery):
    server.password = "secret"
    wrong, listener = KeptRedisConnection(settings(server.port, "hunter2")), Listener()
    with structlog.testing.capture_logs() as logs:
        nursery.start_soon(wrong.attend, Listener(), ("a",))
        with pytest.raises(RedisUnavailable):
            await wrong.ask(exists("k"))
    assert "WRONGPASS" in logs[0]["problem"] or "password" in logs[0]["problem"]
    assert "hunter2" not in str(logs)
    right = KeptRedisConnection(settings(server.port, "secret"))
    nursery.start_soon(right.attend, listener, ("a",))
    assert await listener.next() == "connected"


async def test_several_answers_at_once(attended):
    redis, _ = attended

    async def ask(name):
        assert await redis.ask(exists(name)) == 0

    async with trio.open_nursery() as asking:
        for i in range(50):
            asking.start_soon(ask, f"k{i}")
