"""Services told of deleted users: each of them, once, and again until it has heard it."""

import json
from pathlib import Path

import pytest
import structlog
import trio

from realtime_proxy.backend.redis_connection import KeptRedisConnection
from realtime_proxy.config.structure import structure
from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline import (
    HandlerContext,
    HandlerServices,
    Headers,
    HttpCallError,
    Response,
)
from realtime_proxy.pipeline.catalogue import load_class
from realtime_proxy.pipeline.secret import files_relative_to
from realtime_proxy.testing.redis_server import RedisServer

CHECKOUT = Path(__file__).resolve().parents[2]
Handler = load_class(CHECKOUT / "handlers" / "user_delete.py")
A, B = "http://a.test/user-delete", "http://b.test/user-delete"
PENDING = "realtime-proxy:gate:pending"
ENOUGH_SECONDS = 30


class Services:
    """Answer as told, by their URLs; the last answer again and again."""

    def __init__(self):
        self.answers = {}
        self.asked = []

    async def ask(self, method, url, headers, **options):
        self.asked.append((method, url, headers.get(b"id")))
        answers = self.answers.get(url, [200])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Response(answer, Headers())


@pytest.fixture
def server():
    server = RedisServer().start()
    yield server
    server.stop()


@pytest.fixture
def services():
    return Services()


@pytest.fixture
def run(server, services, nursery, monkeypatch):
    """Runs a handler: another worker each time."""
    monkeypatch.setitem(Handler.run.__globals__, "_POLL_SECONDS", 0.01)

    async def run(**settings):
        before = subscribers(server)
        handler = make(services, server.port, **settings)
        nursery.start_soon(handler.run)
        await until(lambda: subscribers(server) > before)

    return run


def make(services, port=6379, **settings):
    written = {"urls": [A, B], "redis": {"port": str(port)}, **settings}
    with files_relative_to(CHECKOUT):
        config = structure(written, Handler.Config)
    held = HandlerServices(services, None, None, redis=KeptRedisConnection)
    return Handler(config, HandlerContext("gate", structlog.get_logger(), set(), held))


def subscribers(server):
    return sum(bool(connection.channels) for connection in list(server.connections))


async def until(is_so):
    with trio.fail_after(ENOUGH_SECONDS):
        while not is_so():  # noqa: ASYNC110  what it waits for has no event
            await trio.sleep(0.01)


def is_done(server, *users):
    """True once all have been told of these."""
    turns = {f"{PENDING}:{json.dumps([url, user])}".encode() for user in users for url in (A, B)}
    told = {key for key in turns if server.seconds.get(key) == 60}
    return told == turns and not server.hashes[PENDING.encode()]


async def test_every_service_is_told(run, server, services):
    await run()
    assert server.publish("user-delete", "u1") == 1
    await until(lambda: is_done(server, "u1"))
    assert sorted(services.asked) == [("DELETE", A, b"u1"), ("DELETE", B, b"u1")]


async def test_by_one_worker(run, server, services):
    await run()
    await run()
    await run()
    assert server.publish("user-delete", "ü") == 3
    await until(lambda: is_done(server, "ü"))
    server.publish("user-delete", "v")
    await until(lambda: is_done(server, "v"))
    assert len(services.asked) == 4
    assert services.asked[0][2] == "ü".encode()


async def test_a_worker_that_hears_of_it_while_another_is_done_with_it(
    run, server, services, monkeypatch
):
    turns = {f"{PENDING}:{json.dumps([url, 'u'])}".encode() for url in (A, B)}
    answer = server.answer

    def done_meanwhile(connection, command):
        if command[0] == b"HSETNX" and not turns & server.texts.keys():
            for turn in turns:
                answer(None, [b"SET", turn, b"done", b"EX", b"60"])
        return answer(connection, command)

    monkeypatch.setattr(server, "answer", done_meanwhile)
    await run()
    server.publish("user-delete", "u")
    server.publish("user-delete", "v")
    await until(lambda: is_done(server, "v"))
    assert [user for _, _, user in services.asked] == [b"v", b"v"]


@pytest.mark.parametrize("answer", [500, 401, 302, HttpCallError("refused")])
async def test_again_and_less_often(run, server, services, answer):
    services.answers[A] = [answer, answer, 204]
    await run(timeout_seconds=5)
    server.publish("user-delete", "u")
    turn = f"{PENDING}:{json.dumps([A, 'u'])}".encode()
    for pause in (1, 2):
        await until(lambda pause=pause: server.seconds.get(turn) == 5 + pause)
        await until(lambda pause=pause: pending(server).get(json.dumps([A, "u"])) == pause)
        server.expire(turn.decode())
    await until(lambda: is_done(server, "u"))
    assert asked(services, A) == 3
    assert asked(services, B) == 1


def asked(services, url):
    return sum(one[1] == url for one in services.asked)


def pending(server):
    with server.lock:
        known = dict(server.hashes.get(PENDING.encode(), {}))
    return {entry.decode(): int(attempts) for entry, attempts in known.items()}


@pytest.mark.parametrize("status", [404, 410])
async def test_who_knows_no_such_user_has_heard_it(run, server, services, status):
    services.answers[A] = [status]
    await run()
    server.publish("user-delete", "u")
    await until(lambda: is_done(server, "u"))


async def test_not_for_ever(run, server, services):
    services.answers[A] = [500]
    with structlog.testing.capture_logs() as logs:
        await run(urls=[A], attempts=2)
        server.publish("user-delete", "u")
        await until(lambda: pending(server).get(json.dumps([A, "u"])) == 1)
        server.expire(PENDING)
        await until(lambda: any(log["log_level"] == "error" for log in logs))
        await until(lambda: not pending(server))
    assert asked(services, A) == 2


async def test_what_an_ended_worker_has_left(run, server, services):
    left = {json.dumps([A, "u"]): b"3", json.dumps(["http://other.test", "u"]): b"0"}
    server.hashes[PENDING.encode()] = {entry.encode(): number for entry, number in left.items()}
    await run()
    await until(lambda: len(pending(server)) == 1)
    assert services.asked == [("DELETE", A, b"u")]


async def test_a_redis_that_goes_and_comes(run, server, services):
    await run()
    server.stop()
    server.start()
    await until(lambda: server.publish("user-delete", "u") == 1)
    await until(lambda: is_done(server, "u"))


@pytest.mark.parametrize("user", ["", "a\r\nX: y", "\x00"])
async def test_ids_that_are_none(run, server, services, user):
    await run()
    server.publish("user-delete", user)
    server.publish("user-delete", "v")
    await until(lambda: is_done(server, "v"))
    assert len(services.asked) == 2


async def test_slow_services_do_not_stop_the_others(run, server, services):
    async def ask(method, url, headers, **options):
        if url == A:
            await trio.sleep_forever()
        services.asked.append((method, url, headers.get(b"id")))
        return Response(200, Headers())

    services.ask = ask
    await run()
    for count, user in enumerate("uvw", 1):
        server.publish("user-delete", user)
        await until(lambda count=count: asked(services, B) == count)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"urls": ["http://a", "a.test"]}, "urls[1]"),
        ({"urls": ["http://u:p@a"]}, "urls[0]"),
        ({"header_name": "a b"}, "header_name"),
        ({"redis": {"port": "0"}}, "redis.port"),
    ],
)
def test_settings_that_make_no_sense(settings, key):
    with pytest.raises(ConfigError) as caught:
        make(None, **settings)
    assert caught.value.problems[0].key_path == key
