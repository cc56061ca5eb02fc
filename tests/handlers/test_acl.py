"""Access by consumer, group and claim: what is denied, what is allowed, what is told."""

import json
from pathlib import Path

import pytest

from realtime_proxy.config.structure import structure
from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline import (
    CONTINUE,
    IDENTITY_HEADER_NAMES,
    BaseHandler,
    Exchange,
    HandlerContext,
    Headers,
    Identity,
    Refuse,
    RequestHead,
    SoleCredential,
    pass_as,
)
from realtime_proxy.pipeline.catalogue import load_class
from realtime_proxy.pipeline.chain import Chain

CHECKOUT = Path(__file__).resolve().parents[2]
Handler = load_class(CHECKOUT / "handlers" / "acl.py")

ALICE = Identity(
    "alice",
    {
        "agency": "north",
        "roles": ["editor", 7],
        "scope": "read write",
        "level": 3,
        "ok": True,
        "realm": {"roles": ["admin"]},
        "https://x/y": "z",
    },
    groups=("staff", "night"),
)


def make(**settings):
    return Handler(structure(settings, Handler.Config), HandlerContext("acl", None))


async def decide(handler, identity=ALICE):
    claimed = Headers([(b"x-consumer-groups", b"root"), (b"A", b"b")])
    exchange = Exchange(RequestHead(b"GET", b"/", claimed), "r", "http", "", identity=identity)
    decision = await handler.on_request(exchange)
    if isinstance(decision, Refuse):
        return decision.response.status, json.loads(decision.response.body)["message"]
    assert decision is CONTINUE
    return exchange.request.headers


@pytest.mark.parametrize(
    "settings",
    [
        {"allow": ["staff"]},
        {"allow": ["other", "night"]},
        {"allow_consumers": ["alice"]},
        {"allow": ["other"], "allow_consumers": ["alice"]},
        {"deny": ["other"]},
        {"deny_consumers": ["bob"]},
        {"allow_claims": ["agency equals north"]},
        {"allow_claims": ["agency in south, north"]},
        {"allow_claims": ["roles contains editor"]},
        {"allow_claims": ["roles contains 7"]},
        {"allow_claims": ["scope contains write"]},
        {"allow_claims": ["level equals 3"]},
        {"allow_claims": ["ok equals true"]},
        {"allow_claims": ["realm.roles contains admin"]},
        {"allow_claims": ["https://x/y equals z"]},
        {"allow_claims": ["agency equals south", " agency  equals north "]},
        {"deny_claims": ["agency equals south"]},
    ],
)
async def test_who_may_pass(settings):
    headers = await decide(make(**settings))
    assert headers.get_all(b"x-consumer-groups") == [b"staff, night"]


@pytest.mark.parametrize(
    "settings",
    [
        {"allow": ["other"]},
        {"deny": ["staff"]},
        {"allow": ["staff"], "deny": ["night"]},
        {"allow": ["staff"], "deny_consumers": ["alice"]},
        {"allow_consumers": ["bob"]},
        {"allow_claims": ["agency equals south"]},
        {"allow_claims": ["agency equals nor"]},
        {"allow_claims": ["agency in south, west"]},
        {"allow_claims": ["roles equals editor"]},
        {"allow_claims": ["roles contains edit"]},
        {"allow_claims": ["scope contains rea"]},
        {"allow_claims": ["missing contains a"]},
        {"allow_claims": ["missing equals null"]},
        {"allow_claims": ["realm contains roles"]},
        {"allow_claims": ["ok equals True"]},
        {"allow": ["staff"], "deny_claims": ["level equals 3"]},
    ],
)
async def test_who_may_not(settings):
    assert await decide(make(**settings)) == (403, "You cannot consume this service")


async def test_nobody_is_let_in():
    for settings in ({"allow": ["staff"]}, {"deny": ["staff"]}):
        assert await decide(make(**settings), None) == (401, "Unauthorized")


async def test_what_the_backend_is_told():
    assert not (await decide(make(deny=["x"], hide_groups_header=True))).has(b"x-consumer-groups")
    nobodys = Identity("bob", groups=("a\r\nb",))
    assert not (await decide(make(deny=["x"]), nobodys)).has(b"x-consumer-groups")
    assert Handler.sets_headers == {"x-consumer-groups"}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "allow: say who may pass"),
        ({"allow_claims": ["agency"]}, r"allow_claims\[0\]: 'agency' says nothing"),
        ({"allow_claims": ["a equals b"], "deny_claims": ["a", "b like c"]}, r"deny_claims\[1\]"),
        ({"deny_claims": ["__import__('os')"]}, r"deny_claims\[0\]"),
    ],
)
def test_settings_that_can_not_be(settings, problem):
    with pytest.raises(ConfigError, match=problem):
        make(**settings)


async def test_who_is_known_by_a_credential_is_so_with_their_groups():
    class Keys(BaseHandler):
        sets_headers = IDENTITY_HEADER_NAMES
        sole_credential = SoleCredential("key")
        times = 0

        async def on_request(self, exchange):
            self.times += 1
            groups = tuple(value.decode() for value in exchange.request.headers.get_all(b"key"))
            pass_as(exchange, Identity("a", groups=groups), Headers())
            return CONTINUE

    keys = Keys(None, HandlerContext("keys", None))
    chain = Chain([keys, make(allow=["staff"])])
    for _ in range(2):
        for group, passes in ((b"staff", True), (b"others", False)):
            head = RequestHead(b"GET", b"/", Headers([(b"Key", group)]))
            decision = await chain.request(Exchange(head, "r", "http", ""))
            assert (decision is None) == passes
            assert head.headers.get_all(b"x-consumer-groups") == [group] * passes
    assert keys.times == 3  # who is refused is asked about again
