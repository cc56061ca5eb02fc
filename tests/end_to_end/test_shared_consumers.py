"""Several instances that have their consumers in one Redis.

Without the marker `slow` Redis is a stand-in; with it, a server of its own.
"""

import json
import time
from urllib.parse import urlencode

import pytest

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, RawClient
from realtime_proxy.testing.real_redis import away, start_redis
from realtime_proxy.testing.reserved_ports import reserved_ports

CONFIG = """
[admin]
listen = "127.0.0.1:{admin}"

[consumers]
store = "redis://127.0.0.1:{redis}/0"

[handler.key_auth]
stored = true

[[route]]
handlers = ["key_auth"]
targets = [{{ url = "{url}", over_http = true }}]
"""
STREAM = [("Grip-Hold", "stream"), ("Grip-Channel", "a"), ("Content-Type", "text/event-stream")]
FORM = [("Content-Type", "application/x-www-form-urlencoded")]
KEY = [("apikey", "supersecret")]


@pytest.fixture
def redis(redis_kind, tmp_path):
    redis = start_redis(redis_kind, tmp_path)
    yield redis
    redis.stop()


class Instance:
    def __init__(self, start_own, backend, redis, workers):
        with reserved_ports(1) as [self.admin]:
            config = CONFIG.format(url=backend.url, admin=self.admin, redis=redis.port)
            self.program = start_own(config, server=f"workers = {workers}")

    def call(self, method, path, **fields):
        with RawClient(("127.0.0.1", self.admin)) as client:
            client.request(method, path, FORM, urlencode(fields).encode())
            reply = client.read_reply(to=method)
        return reply.status, json.loads(reply.body) if reply.body else None

    def status(self, path, fields=KEY):
        with RawClient(self.program.address) as client:
            client.request("GET", path, fields)
            return client.read_reply().status

    def wait_for_status(self, path, wanted):
        end = time.monotonic() + DEADLINE_SECONDS
        while (found := self.status(path)) != wanted:
            assert time.monotonic() < end, found
            time.sleep(0.01)


@pytest.fixture
def instances(start_own, backend, redis):
    return [Instance(start_own, backend, redis, workers) for workers in (1, 2)]


def test_what_one_is_told_counts_for_all_and_ends_what_is_held_anywhere(instances, backend, path):
    one, other = instances
    backend.scripts[f"{path}/held"] = lambda call: call.respond(fields=STREAM)
    assert one.call("POST", "/consumers", username="alice")[0] == 201
    assert other.call("POST", "/consumers/alice/key-auth", key="supersecret")[0] == 201
    for instance in instances:
        instance.wait_for_status(path, 200)
    held = [RawClient(instance.program.address) for instance in instances]
    for client in held:
        client.request("GET", f"{path}/held", KEY)
        assert client.read_head().status == 200
    assert one.call("DELETE", "/consumers/alice/keyauth/supersecret") == (204, None)
    for client, instance in zip(held, instances, strict=True):
        assert client.read_until(b"event: revoked\ndata: credential revoked\n\n")
        instance.wait_for_status(path, 401)
        client.close()
        assert "supersecret" not in instance.program.log
        instance.program.stop()


def test_while_redis_is_away_those_count_that_were_known_last(instances, redis, path):
    one, other = instances
    one.call("POST", "/consumers", username="alice")
    one.call("POST", "/consumers/alice/key-auth", key="supersecret")
    other.wait_for_status(path, 200)
    with away(redis):
        for instance in instances:
            instance.program.wait_for_log("Redis is away")
            assert instance.status(path) == 200
            assert instance.status(path, [("apikey", "unknown")]) == 401
            status, told = instance.call("POST", "/consumers", username="bob")
            assert status == 503
            assert "the store of consumers can't be used" in told["message"]
        before = [len(instance.program.log) for instance in instances]
    for instance, seen in zip(instances, before, strict=True):
        instance.program.wait_for_log("Redis is there", after=seen)
        assert instance.call("DELETE", "/consumers/alice")[0] == 204
        instance.wait_for_status(path, 401)
        instance.program.stop()


@pytest.mark.parametrize("workers", [1, 2])
def test_who_starts_without_redis_lets_nobody_pass_until_it_is_there(
    start_own, backend, redis, path, workers
):
    with away(redis):
        instance = Instance(start_own, backend, redis, workers)
        instance.program.wait_for_log("consumers are not known yet")
        assert instance.status(path) == 503
    instance.wait_for_status(path, 401)
    instance.program.stop()
