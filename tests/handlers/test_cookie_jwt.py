"""Tokens in cookies: who passes, how others are refused, who loses access, what pages may."""

import json
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from realtime_proxy.config.structure import structure
from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline import (
    CONTINUE,
    Answer,
    Exchange,
    HandlerContext,
    HandlerServices,
    Headers,
    Identity,
    Published,
    RedisUnavailable,
    Refuse,
    Renewal,
    RequestHead,
    ResponseHead,
)
from realtime_proxy.pipeline.catalogue import load_class
from realtime_proxy.pipeline.secret import files_relative_to
from realtime_proxy.testing.tokens import encoded, hs_token

CHECKOUT = Path(__file__).resolve().parents[2]
Handler = load_class(CHECKOUT / "handlers" / "cookie_jwt.py")
SECRET = "0123456789abcdef0123456789abcdef"
LONG = 10_000
token = partial(hs_token, secret=SECRET.encode())
ORIGIN = ("Origin", "https://app.test")
CORS = {"allowed_origins": ["https://app.test"], "allow_credentials": True}


class Client:
    """What coredis would be: keys, and what the configuration says."""

    def __init__(self, flags=b"AK"):
        self.keys, self.flags, self.asked = set(), flags, 0

    async def exists(self, keys):
        self.asked += 1
        return len(self.keys.intersection(keys))

    async def config_get(self, names):
        return {names[0].encode(): self.flags}


class Redis:
    """A connection that is there; `published` is what its listener hears."""

    def __init__(self):
        self.client, self.is_there, self.published, self.subscribed = Client(), True, [], None

    async def ask(self, question):
        if not self.is_there:
            raise RedisUnavailable("gone")
        return await question(self.client)

    async def attend(self, listen, channels, patterns=()):
        async def feed():
            for published in self.published:
                yield published

        self.subscribed = (*channels, *patterns)
        await listen(self.client, feed())


class Connections:
    """Those that are held, by their identities."""

    def __init__(self):
        self.held, self.renewed = [], []

    def revoke(self, loses):
        lost = [identity for identity in self.held if loses(identity)]
        self.held = [identity for identity in self.held if identity not in lost]
        return len(lost)

    async def renew(self, connection_id, handler, credential):
        self.renewed.append((connection_id, handler, credential))
        return Renewal.ACCEPTED


@pytest.fixture
def house():
    """A Redis, and who is held."""
    return SimpleNamespace(redis=Redis(), connections=Connections())


def make(house, name="gate", **settings):
    with files_relative_to(CHECKOUT):
        config = structure({"secret": SECRET, **settings}, Handler.Config)
    services = HandlerServices(None, house.connections, None, redis=lambda _: house.redis)
    return Handler(config, HandlerContext(name, structlog.get_logger(), set(), services))


def new_exchange(cookie, *fields, target="/a", method="GET", **more):
    fields = [*fields, *([("Cookie", f"x=y; token={cookie.decode()}")] if cookie else [])]
    headers = Headers((name.encode(), value.encode()) for name, value in fields)
    return Exchange(RequestHead(method.encode(), target.encode(), headers), "r", "http", "", **more)


async def passes(handler, cookie, *fields, **more):
    exchange = new_exchange(cookie, *fields, **more)
    assert await handler.on_request(exchange) is CONTINUE
    return exchange


async def refused(handler, cookie, *fields, **more):
    exchange = new_exchange(cookie, *fields, **more)
    decision = await handler.on_request(exchange)
    assert isinstance(decision, Refuse)
    assert exchange.identity is None
    return decision.response


def said(response):
    return response.status, json.loads(response.body)["message"]


# -- who passes ----------------------------------------------------------------------------


async def test_the_backend_is_told_who_it_is(house):
    handler, ends_at = make(house), int(time.time()) + LONG
    exchange = await passes(handler, token({"id": "u1", "exp": ends_at}), ("auth_id", "root"))
    assert exchange.request.headers.get_all(b"auth_id") == [b"u1"]
    assert exchange.request.headers.has(b"cookie")
    identity = exchange.identity
    assert (identity.consumer, identity.expires_at) == ("u1", ends_at)
    assert handler.sets_headers == {"auth_id"}
    assert "token" in handler.secret_names


async def test_other_names(house):
    handler = make(house, cookie_name="session", id_claim="sub", header_name="X-User")
    cookie = ("Cookie", f"session={token({'sub': 'u1'}).decode()}")
    exchange = await passes(handler, None, cookie)
    assert exchange.request.headers.get_all(b"x-user") == [b"u1"]
    assert exchange.identity.expires_at is None


WRONG = {
    "no-token": (b"a.b", UNREADABLE := "Unable to parse token"),
    "empty": (b'""', UNREADABLE),
    "expired": (token({"id": "u", "exp": 1}), "Invalid or expired token"),
    "early": (token({"id": "u", "nbf": time.time() + LONG}), "Invalid or expired token"),
    "signature": (hs_token({"id": "u"}, b"x" * 32), "Invalid token signature"),
    "algorithm": (token({"id": "u"}, algorithm="HS512"), "Invalid token signature"),
    "none": (
        encoded({"alg": "none"}) + b"." + encoded({"id": "u"}) + b".",
        "Invalid token signature",
    ),
    "no-id": (token({"exp": time.time() + LONG}), UNREADABLE),
    "empty-id": (token({"id": ""}), UNREADABLE),
    "number": (token({"id": 5}), UNREADABLE),
    "line": (token({"id": "u\r\nX: y"}), UNREADABLE),
}


@pytest.mark.parametrize("name", WRONG)
async def test_tokens_that_do_not_count(house, name):
    cookie, text = WRONG[name]
    response = await refused(make(house), cookie)
    assert said(response) == (401, text)
    assert response.headers.get(b"content-type") == b"application/json"
    assert response.headers.get(b"www-authenticate") == b'Cookie cookie-name="token"'
    classic = await refused(make(house, profile="classic"), cookie)
    assert classic.body == b'{"message":"Unable to parse token"}'
    assert (classic.status, [*classic.headers]) == (
        400,
        [(b"Content-Type", b"text/plain; charset=utf-8")],
    )
    assert house.redis.client.asked == 0


@pytest.mark.parametrize(("profile", "status"), [("modern", 401), ("classic", 400)])
async def test_no_cookie_and_several(house, profile, status):
    handler = make(house, profile=profile)
    assert said(await refused(handler, None)) == (401, "No token cookie")
    second = ("Cookie", f"token={token({'id': 'b'}).decode()}")
    response = await refused(handler, token({"id": "a"}), second)
    assert said(response) == (status, "Unable to get token cookie")
    await passes(handler, token({"id": "b"}), second)


@pytest.mark.parametrize("profile", ["modern", "classic"])
async def test_who_is_suspended(house, profile):
    handler = make(house, profile=profile)
    house.redis.client.keys.add("u")
    assert said(await refused(handler, token({"id": "u"}))) == (401, "User has been suspended")
    await passes(handler, token({"id": "v"}))


@pytest.mark.parametrize("profile", ["modern", "classic"])
async def test_nobody_passes_without_redis(house, profile):
    handler = make(house, profile=profile)
    house.redis.is_there = False
    response = await refused(handler, token({"id": "u"}))
    assert said(response) == (500, "Failed to check user authorisation")


async def test_groups(house):
    handler = make(house, allowed_groups=["staff", "admin"])
    for group in ("staff", ["x", "admin"]):
        exchange = await passes(handler, token({"id": "u", "userGroup": group}))
    assert exchange.identity.groups == ("x", "admin")
    for claims in ({}, {"userGroup": "user"}, {"userGroup": ["x"]}, {"userGroup": 5}):
        response = await refused(handler, token({"id": "u", **claims}))
        assert said(response) == (403, "User is not authorised to access this resource")


# -- its own paths -------------------------------------------------------------------------


async def answered(handler, cookie, *fields, **more):
    decision = await handler.on_request(new_exchange(cookie, *fields, **more))
    assert isinstance(decision, Answer)
    return decision.response


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE"])
async def test_is_auth(house, method):
    handler = make(house)
    response = await answered(handler, token({"id": "u"}), target="/isAuth?a", method=method)
    assert (response.status, response.body) == (200, b"")
    assert response.headers.get(b"auth_id") == b"u"
    assert (await refused(handler, None, target="/isAuth", method=method)).status == 401
    await passes(handler, token({"id": "u"}), target="/isAuth/x")
    await passes(make(house, is_auth_path=""), token({"id": "u"}), target="/isAuth")


async def test_is_alive_and_ready(house):
    handler = make(house)
    assert (await answered(handler, None, target="/isReady")).status == 200
    house.redis.is_there = False
    assert (await answered(handler, None, target="/isAlive")).status == 200
    assert (await answered(handler, None, target="/isReady")).status == 503


async def test_held_clients_are_renewed_by_a_request(house):
    handler = make(house, renewal_path="/renew")
    exchange = await passes(handler, token({"id": "u", "exp": time.time() + LONG}))
    assert exchange.connection_id
    target = f"/renew?connection-id={exchange.connection_id}"
    newer = token({"id": "u", "exp": time.time() + 2 * LONG})
    assert (await answered(handler, newer, target=target, method="POST")).status == 204
    name = handler.context.name
    assert house.connections.renewed == [(exchange.connection_id, name, newer)]
    found = await handler.renewed(newer)
    renewed = (await passes(handler, newer)).identity
    assert found.identity == renewed
    assert await handler.renewed(token({"id": "u", "exp": 1})) is None
    # Asked about again, it still has the cookie that it came with.
    asked = await passes(handler, token({"id": "u", "exp": 1}), notes=found.notes)
    assert asked.identity.expires_at == renewed.expires_at
    assert exchange.identity.is_renewed_by(renewed)
    other = (await passes(handler, token({"id": "u", "userGroup": "x"}))).identity
    assert not exchange.identity.is_renewed_by(other)
    assert not (await passes(make(house), newer)).connection_id


async def test_who_is_asked_about_again_gets_no_answer_of_its_own(house):
    handler = make(house, renewal_path="/renew")
    exchange = await passes(handler, token({"id": "u"}), target="/isAuth", is_recheck=True)
    assert not exchange.connection_id


# -- who loses access ----------------------------------------------------------------------


def event(user, what):
    return Published(f"__keyspace@0__:{user}".encode(), what.encode())


@pytest.mark.parametrize(
    "published",
    [event("u:1", "set"), Published(b"user-suspend", b"u:1"), Published(b"user-delete", b"u:1")],
)
async def test_open_connections_are_closed(house, published):
    handler = make(house)
    mine = (await passes(handler, token({"id": "u:1"}))).identity
    others = [
        (await passes(handler, token({"id": "v"}))).identity,
        (await passes(make(house, name="other"), token({"id": "u:1"}))).identity,
        Identity("u:1"),
    ]
    house.connections.held = [mine, *others]
    house.redis.published = [published]
    await handler.run()
    assert house.connections.held == others
    assert mine.has_lapsed
    assert not any(identity.has_lapsed for identity in others)
    assert house.redis.subscribed == ("user-suspend", "user-delete", "__keyspace@0__:*")
    # Who comes later has been looked for in Redis.
    assert not (await passes(handler, token({"id": "u:1"}))).identity.has_lapsed


@pytest.mark.parametrize("what", ["del", "expired", "evicted"])
async def test_keys_that_go_suspend_nobody(house, what):
    handler = make(house)
    house.connections.held = held = [(await passes(handler, token({"id": "u"}))).identity]
    house.redis.published = [event("u", what)]
    await handler.run()
    assert house.connections.held == held


async def test_what_happened_while_redis_was_away(house):
    handler = make(house)
    held = [(await passes(handler, token({"id": f"u{i}"}))).identity for i in range(500)]
    house.connections.held = [*held, Identity("u7")]
    house.redis.client.keys |= {"u7", "u499"}
    before = house.redis.client.asked
    await handler.run()
    assert {identity.consumer for identity in held} - {
        identity.consumer for identity in house.connections.held if identity.credential
    } == {"u7", "u499"}
    assert house.redis.client.asked - before < 320


async def test_losses_that_are_remembered_are_bounded(house):
    handler = make(house, name="bounded")
    first = (await passes(handler, token({"id": "u0"}))).identity
    house.redis.published = [event(f"u{i}", "set") for i in range(10_001)]
    await handler.run()
    last = (await passes(handler, token({"id": "u9"}))).identity
    assert not first.has_lapsed
    assert not last.has_lapsed


@pytest.mark.parametrize(
    ("flags", "warns"),
    [(b"AK", False), (b"K$gx", False), (b"", True), (b"AE", True), (b"Kgx", True)],
)
async def test_a_redis_that_tells_nothing(house, flags, warns):
    house.redis.client.flags = flags
    with structlog.testing.capture_logs() as logs:
        await make(house).run()
    assert [log["log_level"] for log in logs] == ["warning"] * warns


# -- pages of other origins ----------------------------------------------------------------


async def test_preflights_need_no_cookie(house):
    preflight = {"method": "OPTIONS"}
    asked = ("Access-Control-Request-Method", "PUT")
    response = await answered(make(house, cors=CORS), None, ORIGIN, asked, **preflight)
    assert response.status == 204
    assert response.headers.get(b"access-control-allow-origin") == b"https://app.test"
    assert response.headers.get(b"access-control-allow-credentials") == b"true"
    assert b"PUT" in response.headers.get(b"access-control-allow-methods")
    assert (await refused(make(house, cors=CORS), None, ORIGIN, **preflight)).status == 401
    assert (await refused(make(house), None, ORIGIN, asked, **preflight)).status == 401


async def test_pages_may_read_refusals_and_answers(house):
    handler = make(house, cors=CORS)
    for response in (
        await refused(handler, None, ORIGIN),
        await answered(handler, None, ORIGIN, target="/isAlive"),
    ):
        assert response.headers.get(b"access-control-allow-origin") == b"https://app.test"
        assert response.headers.get(b"vary") == b"Origin"
    elsewhere = await refused(handler, None, ("Origin", "https://evil.test"))
    assert not elsewhere.headers.has(b"access-control-allow-origin")


async def test_responses_of_backends(house):
    handler = make(house, cors=CORS)
    exchange = new_exchange(None, ORIGIN)
    response = ResponseHead(200, b"OK", Headers())
    handler.on_response_head(exchange, response)
    assert response.headers.get_all(b"access-control-allow-origin") == [b"https://app.test"]
    handler.on_response_head(exchange, response)
    assert response.headers.get_all(b"access-control-allow-origin") == [b"https://app.test"]
    assert "on_response_head" in make(house).unused_moments


# -- settings ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"secret": "-----BEGIN PUBLIC KEY-----"}, "secret"),
        ({"cookie_name": "a;b"}, "cookie_name"),
        ({"header_name": "a b"}, "header_name"),
        ({"is_auth_path": "isAuth"}, "is_auth_path"),
        ({"redis": {"port": "x"}}, "redis.port"),
        ({"cors": {"allowed_origins": ["*"], "allow_credentials": True}}, "cors"),
    ],
)
def test_settings_that_make_no_sense(house, settings, key):
    with pytest.raises(ConfigError) as caught:
        make(house, **settings)
    assert caught.value.problems[0].key_path.startswith(key)
