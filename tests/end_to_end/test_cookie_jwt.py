"""The simple gateway: who may pass by a cookie, who loses it while connected, and who hears of it.

Without the marker `slow` Redis is a stand-in; with it, a server of its own.
"""

import time
from contextlib import contextmanager

import pytest

from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, RawClient
from realtime_proxy.testing.real_redis import start_redis
from realtime_proxy.testing.redis_server import RedisServer
from realtime_proxy.testing.reserved_ports import reserved_ports
from realtime_proxy.testing.scripted_backend import ScriptedBackend
from realtime_proxy.testing.tokens import hs_token
from realtime_proxy.testing.websocket_client import CLOSE

SECRET = "0123456789abcdef0123456789abcdef"
CONFIG = """
[handler.gate]
use = "cookie_jwt"
secret = "{secret}"
profile = "classic"
redis.port = "{redis}"

[handler.deleted]
use = "user_delete"
urls = ["{url}/user-delete"]
redis.port = "{redis}"

[[route]]
path = "/open/"
targets = [{{ url = "{url}" }}]

[[route]]
path = "/ws"
handlers = ["gate", "deleted"]
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
path = "/a/"
path_replace = "/v1/"
handlers = ["gate"]
targets = [{{ url = "{url}" }}]

[[route]]
path = "/is"
handlers = ["gate"]
targets = [{{ url = "{url}" }}]
"""
STREAM = [("Grip-Hold", "stream"), ("Grip-Channel", "a"), ("Content-Type", "text/event-stream")]


@contextmanager
def running(kind, folder):
    redis = start_redis(kind, folder, "--notify-keyspace-events", "K$g")
    try:
        yield redis
    finally:
        redis.stop()


@pytest.fixture(scope="module")
def redis(redis_kind, tmp_path_factory):
    with running(redis_kind, tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture(scope="module")
def program(start, backend, redis):
    config = CONFIG.format(url=backend.url, redis=redis.port, secret=SECRET)
    program = start(config)
    for _ in range(2):
        program.wait_for_log("Redis is there")
    return program


def cookie(user, **claims):
    token = hs_token({"id": user, "exp": int(time.time()) + 1_000, **claims}, SECRET.encode())
    return [("Cookie", f"token={token.decode()}")]


def get(connect, target, fields=(), method="GET"):
    client = connect()
    client.request(method, target, fields)
    return client.read_reply()


def over_http(call):
    told = {"OPEN", "TEXT", "CLOSE"}
    events = [event for event in read_events(call.body) if event[0] in told]
    body = write_events(*(event if event[0] == "TEXT" else event[0] for event in events))
    call.respond(fields=[("Content-Type", CONTENT_TYPE)], body=body)


def open_stream(connect, backend, path, fields):
    backend.scripts[f"/v1{path}"] = lambda call: call.respond(fields=STREAM, body=b"data: 1\n\n")
    client = connect()
    client.request("GET", f"/a{path}", fields)
    assert client.read_head().status == 200
    assert client.read_chunk() == b"data: 1\n\n"
    return client


def test_the_backend_is_told_who_it_is(connect, backend, path):
    fields = [*cookie("u1"), ("auth_id", "root"), ("Auth-Id", "root")]
    assert get(connect, f"/a{path}?b=c", fields).status == 200
    [call] = backend.calls_to(f"/v1{path}")
    assert (call.get_all("auth_id"), call.get_all("auth-id")) == (["u1"], [])


def test_nobody_says_it_elsewhere(connect, backend, path):
    fields = [("auth_id", "root"), ("Auth-Id", "root"), ("Auth.Id", "root")]
    assert get(connect, f"/open{path}", fields).status == 200
    [call] = backend.calls_to(f"/open{path}")
    assert not any(call.get(name) for name, _ in fields)


def test_refusals_and_own_paths(connect):
    reply = get(connect, "/a/x")
    assert (reply.status, reply.body) == (401, b'{"message":"No token cookie"}')
    reply = get(connect, "/isAuth", cookie("u", exp=1))
    assert (reply.status, reply.body) == (400, b'{"message":"Unable to parse token"}')
    reply = get(connect, "/isAuth", cookie("u"), "DELETE")
    assert (reply.status, reply.body) == (200, b"")
    assert get(connect, "/isAlive").status == 200
    assert get(connect, "/isReady").status == 200


def test_a_websocket_is_never_opened_by_the_decision(websocket):
    client = websocket()
    client.ask("/isAuth", cookie("u"))
    assert client.client.read_reply().status == 200


def test_suspended_users_have_to_leave(connect, websocket, backend, path, redis):
    backend.scripts["/ws"] = over_http
    user, other = cookie(f"u:{path}"), cookie(f"v:{path}")
    stays = open_stream(connect, backend, path, other)
    leaves = open_stream(connect, backend, path, user)
    client = websocket()
    client.open("/ws", user)
    redis.set(f"u:{path}")
    close = client.read()
    assert (close.opcode, close.close_code) == (CLOSE, 4401)
    leaves.read_until(b"event: revoked")
    reply = get(connect, "/a/x", user)
    assert (reply.status, reply.body) == (401, b'{"message":"User has been suspended"}')
    redis.delete(f"u:{path}")
    assert get(connect, "/a/x", user).status == 200
    redis.publish("user-suspend", f"v:{path}")
    stays.read_until(b"event: revoked")


def test_deleted_users_have_to_leave_and_services_hear_of_them(
    connect, websocket, backend, path, redis
):
    backend.scripts["/ws"] = over_http
    client = websocket()
    client.open("/ws", cookie(path))
    assert redis.publish("user-delete", path) == 2
    assert client.read().close_code == 4401
    ends_at = time.monotonic() + DEADLINE_SECONDS
    while not (calls := [c for c in backend.calls_to("/user-delete") if c.get("id") == path]):
        assert time.monotonic() < ends_at
        time.sleep(0.01)
    assert [call.method for call in calls] == ["DELETE"]


def test_redis_comes_late_and_goes(start_own):
    with ScriptedBackend() as backend, reserved_ports(1) as (port,):
        config = CONFIG.format(url=backend.url, redis=port, secret=SECRET)
        program = start_own(config)
        program.wait_for_log("Redis is away")

        def status(target):
            with RawClient(program.address) as client:
                client.request("GET", target, cookie("u"))
                return client.read_reply().status

        assert (status("/isAlive"), status("/isReady"), status("/a/x")) == (200, 503, 500)
        redis = RedisServer(port).start()
        for _ in range(2):
            program.wait_for_log("Redis is there")
        ends_at = time.monotonic() + DEADLINE_SECONDS
        while status("/isReady") != 200:
            assert time.monotonic() < ends_at
        assert status("/a/x") == 200
        redis.stop()
        while status("/isReady") != 503:
            assert time.monotonic() < ends_at
        assert status("/a/x") == 500
        program.stop()
