"""Tokens of ours for backends: what they say, who gets one, and what never goes in their place."""

import json
from pathlib import Path

import jwt
import pytest

from realtime_proxy.config.structure import structure
from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline import (
    CONTINUE,
    Answer,
    Exchange,
    HandlerContext,
    Headers,
    Identity,
    RequestHead,
)
from realtime_proxy.pipeline.catalogue import load_class
from realtime_proxy.pipeline.secret import files_relative_to
from realtime_proxy.testing.tokens import private_jwk, private_pem, public_pem

CHECKOUT = Path(__file__).resolve().parents[2]
Handler = load_class(CHECKOUT / "handlers" / "id_token.py")

EC = {"key": private_pem("P-256").decode(), "kid": "ec"}
RSA = {"key": private_pem("RSA").decode(), "kid": "rsa"}
OLD = {"key": public_pem("P-384").decode(), "kid": "old"}
HMAC = {"key": "a secret of thirty-two bytes or more", "kid": "hs", "algorithm": "HS256"}
ALICE = Identity(
    "alice", claims={"email": "a@a.test", "roles": ["x", "y"]}, groups=("staff",), subject="u-1"
)


@pytest.fixture
def make(request):
    """Makes handlers of one name, which no other test uses."""

    def make_one(**settings):
        settings = {"issuer": "https://us.test/", "keys": [EC], **settings}
        with files_relative_to(CHECKOUT):
            config = structure(settings, Handler.Config)
        return Handler(config, HandlerContext(request.node.name, None))

    return make_one


def new_exchange(*fields, identity=ALICE, target=b"/feed/", method=b"GET", scheme="http"):
    return Exchange(RequestHead(method, target, Headers(fields)), "r", scheme, "", identity)


async def told(handler, exchange, *later):
    """The headers that a backend gets; `later` are put in after handlers have seen the request."""
    assert await handler.on_request(exchange) is CONTINUE
    request = RequestHead(b"GET", b"/", Headers([*exchange.request.headers, *later]))
    handler.on_backend_request(exchange, request)
    return request.headers


async def token_of(handler, exchange, *later, name=b"authorization", scheme=b"Bearer "):
    [value] = (await told(handler, exchange, *later)).get_all(name)
    assert value.startswith(scheme)
    return value.removeprefix(scheme)


def read(token, kind="P-256", algorithm="ES256", **checked):
    return jwt.decode(token, public_pem(kind), [algorithm], issuer="https://us.test/", **checked)


async def test_a_backend_learns_who_it_is(make):
    handler = make(
        audience=["api"],
        claims={
            "email": "{claims.email}",
            "roles": "{claims.roles}",
            "groups": "{groups}",
            "via": "{method} {path}",
            "missing": "{claims.missing}",
        },
    )
    claims = read(await token_of(handler, new_exchange()), audience="api")
    assert claims["exp"] - claims["iat"] == 60
    assert claims["nbf"] == claims["iat"]
    for name in ("exp", "iat", "nbf", "jti"):
        del claims[name]
    assert claims == {
        "iss": "https://us.test/",
        "sub": "alice",
        "aud": "api",
        "email": "a@a.test",
        "roles": ["x", "y"],
        "groups": ["staff"],
        "via": "GET /feed/",
    }


async def test_what_may_be_otherwise(make):
    handler = make(
        subject="user:{subject}", audience=["a", "b"], ttl_seconds=900, header_name="X-Id-Token"
    )
    exchange = new_exchange((b"x-id-token", b"forged"), (b"Authorization", b"Basic theirs"))
    assert handler.sets_headers == handler.secret_names == {"x-id-token"}
    token = await token_of(handler, exchange, name=b"x-id-token", scheme=b"")
    claims = read(token, audience="b")
    assert (claims["sub"], claims["aud"]) == ("user:u-1", ["a", "b"])
    assert claims["exp"] - claims["iat"] == 900
    assert exchange.request.headers == [(b"Authorization", b"Basic theirs")]


async def test_no_token_of_the_client_goes_in_its_place(make):
    handler = make()
    assert handler.sets_headers == frozenset()  # other handlers look there
    theirs = (b"authorization", b"Bearer theirs")
    renewed = (b"Authorization", b"Bearer renewed")
    assert read(await token_of(handler, new_exchange(theirs), renewed))["sub"] == "alice"
    for identity in (None, Identity("", anonymous=True)):
        assert await told(handler, new_exchange(theirs, identity=identity), renewed) == []


async def test_the_anonymous_consumer_is_one(make):
    guest = Identity("guest", anonymous=True)
    assert read(await token_of(make(), new_exchange(identity=guest)))["sub"] == "guest"


async def test_a_token_is_for_one_client_until_it_is_due(make, monkeypatch):
    handler = make()
    now = 1_700_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    first = await token_of(handler, new_exchange())
    assert await token_of(handler, new_exchange()) == first
    assert await token_of(handler, new_exchange(identity=Identity("bob"))) != first
    now += 55
    assert await token_of(handler, new_exchange()) != first


async def test_a_connection_has_a_fresh_token_long_after_it_was_opened(make, monkeypatch):
    handler, exchange = make(), new_exchange(scheme="ws")
    now = 1_700_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    before = await token_of(handler, exchange)
    now += 3600
    request = RequestHead(b"POST", b"/", Headers())
    handler.on_backend_request(exchange, request)
    after = request.headers.get(b"authorization").removeprefix(b"Bearer ")
    ends = [
        read(t, options={"verify_exp": False, "verify_nbf": False, "verify_iat": False})["exp"]
        for t in (before, after)
    ]
    assert ends == [1_700_000_060, 1_700_003_660]


async def test_it_ends_with_the_credential(make, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)
    exchange = new_exchange(identity=Identity("alice", expires_at=1_700_000_020.0))
    token = await token_of(make(), exchange)
    assert jwt.decode(token, options={"verify_signature": False})["exp"] == 1_700_000_020


# -- keys ----------------------------------------------------------------------------------


async def answer(handler, **request):
    decision = await handler.on_request(new_exchange(identity=None, **request))
    assert isinstance(decision, Answer)
    return decision.response


async def test_public_keys_are_there_for_everybody(make):
    handler = make(keys=[HMAC, EC, OLD, RSA])
    response = await answer(handler, target=b"/.well-known/jwks.json?a=b")
    assert response.status == 200
    assert response.headers == [
        (b"Content-Type", b"application/json"),
        (b"Cache-Control", b"public, max-age=300"),
    ]
    keys = json.loads(response.body)["keys"]
    assert [(key["kid"], key["alg"]) for key in keys] == [
        ("ec", "ES256"),
        ("old", "ES384"),
        ("rsa", "RS256"),
    ]
    assert "thirty-two" not in response.body.decode()
    assert all(key.keys().isdisjoint({"d", "p", "q", "k"}) for key in keys)
    token = await token_of(handler, new_exchange())
    assert jwt.decode(token, HMAC["key"], ["HS256"])["sub"] == "alice"
    assert (await answer(handler, target=b"/.well-known/jwks.json", method=b"HEAD")).status == 200


@pytest.mark.parametrize(
    "request_",
    [
        {"target": b"/.well-known/jwks.json", "method": b"POST"},
        {"target": b"/.well-known/jwks.json", "scheme": "ws"},
        {"target": b"/.well-known/jwks.json/"},
        {"target": b"/x/.well-known/jwks.json"},
    ],
)
async def test_other_requests_are_the_backends(make, request_):
    assert await make().on_request(new_exchange(**request_)) is CONTINUE
    nowhere = make(jwks_path="")
    assert await nowhere.on_request(new_exchange(target=b"/.well-known/jwks.json")) is CONTINUE


async def test_keys_may_be_a_key_set(make):
    keys = [private_jwk("P-256", kid="set")]
    handler = make(keys=[], jwks=json.dumps({"keys": keys}), jwks_path="/keys")
    assert json.loads((await answer(handler, target=b"/keys")).body)["keys"][0]["kid"] == "set"
    assert read(await token_of(handler, new_exchange()))["sub"] == "alice"


async def test_who_is_connected_gets_tokens_of_the_keys_of_now(make):
    before = make()
    await before.run()
    await make(keys=[RSA]).run()
    assert read(await token_of(before, new_exchange()), "RSA", "RS256")["sub"] == "alice"
    keys = json.loads((await answer(before, target=b"/.well-known/jwks.json")).body)["keys"]
    assert [key["kid"] for key in keys] == ["rsa"]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"keys": []}, "keys: give these or `jwks`"),
        ({"jwks": "{}"}, "keys: give these or `jwks`"),
        ({"keys": [], "jwks": "{}"}, "jwks: has no list"),
        ({"keys": [OLD]}, "keys: has no private key"),
        ({"keys": [EC, EC]}, "two keys with the name"),
        ({"keys": [EC, {"key": "a"}]}, r"keys\[1\].key: is no PEM"),
        ({"keys": [{**HMAC, "key": "short"}]}, r"keys\[0\].key: is too short"),
        ({"keys": [{**EC, "algorithm": "none"}]}, "is not accepted"),
        ({"issuer": ""}, "issuer: is empty"),
        ({"jwks_path": "keys"}, "jwks_path: must begin"),
        ({"header_name": "Host"}, "header_name"),
        ({"subject": "{a}"}, "subject: .*can't be filled in"),
        ({"claims": {"a": "{"}}, "claims.a: a brace"),
        ({"claims": {"exp": "1", "sub": "a"}}, "(?s)claims.exp: is said.*claims.sub: is said"),
    ],
)
def test_settings_that_can_not_be(make, settings, problem):
    with pytest.raises(ConfigError, match=problem):
        make(**settings)
