"""Tokens: whose count, what refusals look like, what the backend gets to know."""

import json
import time
from pathlib import Path

import pytest

from realtime_proxy.config.structure import structure
from realtime_proxy.errors import ConfigError
from realtime_proxy.model.consumer_record import ConsumerRecord, GroupRecord, JwtRecord
from realtime_proxy.pipeline import (
    CONTINUE,
    Exchange,
    HandlerContext,
    HandlerServices,
    Headers,
    JwtToken,
    KeySet,
    KeysUnavailable,
    Refuse,
    RequestHead,
    ResponseHead,
    StoredConsumers,
)
from realtime_proxy.pipeline.catalogue import load_class
from realtime_proxy.pipeline.chain import Chain
from realtime_proxy.pipeline.secret import files_relative_to
from realtime_proxy.testing.tokens import hs_token, jwk, public_pem, signed

CHECKOUT = Path(__file__).resolve().parents[2]
Handler = load_class(CHECKOUT / "handlers" / "jwt_auth.py")

PRINTED = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJhZG9rZXkiLCJuYW1lIjoiYWRvIn0"
    ".t86wrSIeBCBSRsJhsR6qRNPoiZo_dE5D_ZDMazL-o6M"
)
ADO = {
    "username": "Ado",
    "custom_id": "ado",
    "groups": ["staff"],
    "jwt": [{"key": "adokey", "secret": "supersecret"}],
}
GUEST = {"username": "guest", "id": "99"}
PROVIDER = "https://idp.example/"
ISSUER = {"issuer": PROVIDER, "audience": ["api"], "public_key": public_pem().decode()}


class KeySets:
    """The key set that a test publishes."""

    def __init__(self, *keys):
        self.publish(*keys)
        self.asked = 0

    def publish(self, *keys):
        self.key_set = (
            KeySet.parse(json.dumps({"keys": keys}).encode(), ["RS256"]) if keys else None
        )

    def at_hand(self, _source):
        return self.key_set

    async def for_token(self, _source, _token):
        self.asked += 1
        if self.key_set is None:
            raise KeysUnavailable("refused")
        return self.key_set


def make(key_sets=None, **settings):
    settings = {"consumers": [ADO, GUEST], **settings}
    with files_relative_to(CHECKOUT):
        config = structure(settings, Handler.Config)
    services = HandlerServices(None, None, key_sets, StoredConsumers())
    return Handler(config, HandlerContext("jwt_auth", None, services=services))


def new_exchange(*headers, target="/events/", method="GET", token=None):
    pairs = [(b"Host", b"a"), *((name.encode(), value.encode()) for name, value in headers)]
    if token is not None:
        text = token if isinstance(token, str) else token.decode()
        pairs.append((b"Authorization", f"Bearer {text}".encode()))
    request = RequestHead(method.encode(), target.encode(), Headers(pairs))
    is_websocket = request.headers.has(b"sec-websocket-protocol")
    return Exchange(request, "r", "ws" if is_websocket else "http", "")


def ado(**claims):
    return hs_token({"iss": "adokey", **claims})


def provided(kid=None, **claims):
    now = int(time.time())
    return signed(
        {"iss": PROVIDER, "aud": "api", "sub": "u-1", "exp": now + 3600, **claims}, kid=kid
    )


async def passes(handler, exchange):
    assert await handler.on_request(exchange) is CONTINUE
    return exchange.identity


async def refused(handler, exchange):
    decision = await handler.on_request(exchange)
    assert isinstance(decision, Refuse)
    assert exchange.identity is None
    response = decision.response
    return response.status, json.loads(response.body), response.headers.get(b"www-authenticate")


# -- where tokens are ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "exchange",
    [
        new_exchange(token=ado()),
        new_exchange(("authorization", f"bearer  {ado().decode()} ")),
        new_exchange(target=f"/?a=b&jwt={ado().decode()}"),
        new_exchange(("Cookie", f"a=b; token={ado().decode()}")),
        new_exchange(("Sec-WebSocket-Protocol", f"bearer, {ado().decode()}, chat")),
        new_exchange(("Authorization", "Basic YTpi"), target=f"/?jwt={ado().decode()}"),
        new_exchange(target=f"/?jwt={ado().decode()}", token=ado()),
    ],
)
async def test_a_token_counts_wherever_it_is(exchange):
    identity = await passes(make(cookie_names=["token"]), exchange)
    assert identity.consumer == "Ado"
    headers = exchange.request.headers
    assert headers.get(b"x-consumer-username") == b"Ado"
    assert headers.get(b"x-consumer-custom-id") == b"ado"
    assert headers.get(b"x-credential-identifier") == b"adokey"


async def test_two_tokens_are_not_guessed_among():
    exchange = new_exchange(target=f"/?jwt={ado().decode()}", token=ado(a=1))
    told = {"message": "Multiple tokens provided"}
    assert (await refused(make(), exchange))[:2] == (401, told)
    assert (await refused(make(profile="rfc6750"), exchange))[0] == 400


@pytest.mark.parametrize(
    ("settings", "exchange"),
    [
        ({}, new_exchange(("Cookie", f"token={ado().decode()}"))),
        ({"uri_param_names": []}, new_exchange(target=f"/?jwt={ado().decode()}")),
        ({"header_names": []}, new_exchange(token=ado())),
        (
            {"subprotocol": ""},
            new_exchange(("Sec-WebSocket-Protocol", f"bearer, {ado().decode()}")),
        ),
        ({}, new_exchange(("Authorization", ado().decode()))),
        ({}, new_exchange(target="/?jwt=")),
    ],
)
async def test_a_place_that_is_off_counts_for_nothing(settings, exchange):
    status, told, challenge = await refused(make(**settings), exchange)
    assert (status, told, challenge) == (401, {"message": "Unauthorized"}, b"Bearer")


async def test_the_backend_sees_tokens_as_they_came_unless_they_are_hidden():
    text = ado().decode()
    exchange = new_exchange(target=f"/?a=b&jwt={text}", token=text)
    await passes(make(), exchange)
    assert exchange.request.target == f"/?a=b&jwt={text}".encode()
    assert exchange.request.headers.has(b"authorization")
    await passes(make(hide_credentials=True), exchange)
    assert exchange.request.target == b"/?a=b"
    assert not exchange.request.headers.has(b"authorization")


async def test_a_subprotocol_is_answered_and_its_token_stays_here():
    handler = make()
    exchange = new_exchange(("Sec-WebSocket-Protocol", f"bearer, {ado().decode()}, chat"))
    await passes(handler, exchange)
    assert exchange.request.headers.get(b"sec-websocket-protocol") == b"chat"
    plain, chosen = (ResponseHead(101, b"", Headers()) for _ in range(2))
    handler.on_response_head(exchange, plain)
    assert plain.headers == [(b"Sec-WebSocket-Protocol", b"bearer")]
    chosen.headers.append((b"sec-websocket-protocol", b"chat"))
    handler.on_response_head(exchange, chosen)
    assert chosen.headers == [(b"sec-websocket-protocol", b"chat")]
    other = ResponseHead(101, b"", Headers())
    handler.on_response_head(new_exchange(token=ado()), other)
    assert other.headers == []


async def test_a_subprotocol_is_shown_to_backends_that_ask_for_it():
    offered = f"bearer, {ado().decode()}"
    exchange = new_exchange(("Sec-WebSocket-Protocol", offered))
    await passes(make(forward_subprotocol=True), exchange)
    assert exchange.request.headers.get(b"sec-websocket-protocol") == offered.encode()


# -- consumers' tokens ---------------------------------------------------------------------


async def test_the_printed_token_needs_a_secret_in_base64():
    exchange = new_exchange(target=f"/?jwt={PRINTED}")
    classic = make(profile="classic")
    assert (await refused(classic, exchange))[:2] == (403, {"message": "Invalid signature"})
    assert (
        await passes(make(profile="classic", secret_is_base64=True), exchange)
    ).consumer == "Ado"


@pytest.mark.parametrize(
    ("token", "classic", "body"),
    [
        ("a.b", 401, {"message": "Bad token; not three parts"}),
        (hs_token({"iss": "adokey"}, algorithm="none"), 401, {"message": "Bad token; invalid alg"}),
        (hs_token({"a": 1}), 401, {"message": "No mandatory 'iss' in claims"}),
        (hs_token({"iss": "x"}), 403, {"message": "No credentials found for given 'iss'"}),
        (hs_token({"iss": "adokey"}, algorithm="HS512"), 403, {"message": "Invalid algorithm"}),
        (hs_token({"iss": "adokey"}, b"wrong"), 403, {"message": "Invalid signature"}),
        (ado(exp=1), 403, {"exp": "token expired"}),
        (ado(nbf=99999999999), 403, {"nbf": "token not valid yet"}),
        (ado(exp="soon"), 403, {"exp": "must be a number"}),
    ],
)
async def test_refusals(token, classic, body):
    status, told, challenge = await refused(make(), new_exchange(token=token))
    assert (status, told) == (401, body)
    assert challenge == b'Bearer error="invalid_token"'
    old = await refused(make(profile="classic"), new_exchange(token=token))
    assert old == (classic, body, None)


async def test_claims_that_must_be_there():
    handler = make(claims_to_verify=["exp"])
    assert (await refused(handler, new_exchange(token=ado())))[1] == {"exp": "must be a number"}
    await passes(handler, new_exchange(token=ado(exp=time.time() + 60)))
    long = new_exchange(token=ado(exp=time.time() + 90))
    assert (await refused(make(maximum_expiration=60), long))[0] == 401


async def test_another_claim_may_name_the_credential():
    handler = make(key_claim_name="kid")
    await passes(handler, new_exchange(token=hs_token({"kid": "adokey"})))
    told = {"message": "No mandatory 'kid' in claims"}
    assert (await refused(handler, new_exchange(token=ado())))[1] == told


async def test_keys_of_other_kinds():
    keyed = {"key": "k", "algorithm": "RS256", "public_key": public_pem().decode()}
    handler = make(consumers=[{"username": "bob", "jwt": [keyed]}])
    exchange = new_exchange(token=signed({"iss": "k"}))
    assert (await passes(handler, exchange)).consumer == "bob"
    forged = hs_token({"iss": "k"}, public_pem())
    assert (await refused(handler, new_exchange(token=forged)))[1] == {
        "message": "Invalid algorithm"
    }


# -- issuers' tokens -----------------------------------------------------------------------


async def test_a_providers_token():
    handler = make(
        issuers=[ISSUER],
        groups_claim="realm.roles",
        claims_to_headers={"X-Agency": "agency", "X-Roles": "realm.roles", "X-No": "no"},
    )
    ends_at = int(time.time()) + 60
    token = provided(agency="north", realm={"roles": ["r"]}, exp=ends_at)
    exchange = new_exchange(("X-Agency", "claimed"), ("X-No", "claimed"), token=token)
    identity = await passes(handler, exchange)
    assert (identity.consumer, identity.subject, identity.groups) == ("u-1", "u-1", ("r",))
    assert identity.expires_at == ends_at
    assert identity.claims["agency"] == "north"
    assert identity.challenge == 'Bearer error="invalid_token"'
    headers = exchange.request.headers
    assert headers.get_all(b"x-agency") == [b"north"]
    assert headers.get(b"x-roles") == b'["r"]'
    assert not headers.has(b"x-no")
    assert {"x-agency", "x-roles", "x-no", "x-consumer-username"} <= handler.sets_headers


@pytest.mark.parametrize(
    ("token", "body"),
    [
        (provided(aud="other"), {"aud": "not for this audience"}),
        (provided(aud=None), {"aud": "not for this audience"}),
        (provided(iss=PROVIDER[:-1]), {"message": "No credentials found for given 'iss'"}),
        (provided(exp=1), {"exp": "token expired"}),
        (provided(sub=""), {"message": "No mandatory 'sub' in claims"}),
        (provided(sub="a\r\nb"), {"message": "No mandatory 'sub' in claims"}),
        (signed({"iss": PROVIDER}, algorithm="RS512"), {"message": "Invalid algorithm"}),
        (hs_token({"iss": PROVIDER}, public_pem()), {"message": "Invalid algorithm"}),
        (provided()[:-8] + b"AAAAAAAA", {"message": "Invalid signature"}),
    ],
)
async def test_a_providers_token_that_does_not_count(token, body):
    status, told, _ = await refused(make(issuers=[ISSUER]), new_exchange(token=token))
    assert (status, told) == (401, body)


async def test_what_is_in_claims_can_not_break_out_of_a_header():
    handler = make(issuers=[ISSUER], claims_to_headers={"X-Name": "name"})
    exchange = new_exchange(token=provided(name="a\r\nX-Evil: 1"))
    await passes(handler, exchange)
    assert not exchange.request.headers.has(b"x-name")


async def test_scopes():
    handler = make(issuers=[ISSUER], required_scopes=["read", "write"])
    await passes(handler, new_exchange(token=provided(scope="write read more")))
    status, told, challenge = await refused(handler, new_exchange(token=provided(scope="read")))
    assert (status, told) == (403, {"message": "Insufficient scope"})
    assert challenge == b'Bearer error="insufficient_scope", scope="read write"'


PUBLISHED = {"issuer": PROVIDER, "audience": ["api"], "jwks_url": "https://idp.example/keys"}


async def test_keys_that_are_published_and_change():
    key_sets = KeySets(jwk(kid="a"))
    handler = make(key_sets, issuers=[PUBLISHED])
    token = provided(kid="a")
    for _ in range(3):
        await passes(handler, new_exchange(token=token))
    assert key_sets.asked == 1  # it is remembered
    key_sets.publish(jwk("P-256", kid="x"), jwk(kid="b"))
    told = {"message": "Invalid signature"}
    assert (await refused(handler, new_exchange(token=token)))[1] == told
    await passes(handler, new_exchange(token=provided(kid="b")))


async def test_without_keys_nobody_can_tell():
    handler = make(KeySets(), issuers=[PUBLISHED], anonymous="guest")
    status, told, _ = await refused(handler, new_exchange(token=provided(kid="a")))
    assert status == 503
    assert told == {"message": "The keys to check the token with can't be had"}


# -- remembering ---------------------------------------------------------------------------


async def test_good_tokens_are_remembered_until_they_end(monkeypatch):
    parsed = []
    parse = JwtToken.parse
    monkeypatch.setattr(JwtToken, "parse", lambda text: parsed.append(text) or parse(text))
    handler = make(max_remembered_tokens=2)
    token = ado(exp=time.time() + 60)
    first = await passes(handler, new_exchange(token=token))
    assert await passes(handler, new_exchange(token=token)) is first
    assert len(parsed) == 1
    for n in range(2):
        await passes(handler, new_exchange(token=ado(n=n)))
    await passes(handler, new_exchange(token=token))
    assert len(parsed) == 4  # it had to make room
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert (await refused(handler, new_exchange(token=token)))[1] == {"exp": "token expired"}


def stored_token(stored, secret="supersecret", group="staff"):
    jwt = JwtRecord(id="j", key="storedkey", created_at=0, secret=secret)
    groups = (GroupRecord(id="g", group=group, created_at=0),)
    stored.put(ConsumerRecord(id="1", username="sue", created_at=0, jwt=(jwt,), groups=groups))


async def asked_twice(chain, token):
    """What requests with a token are told, or the groups they are in; the same each time."""
    said = []
    for _ in range(2):
        exchange = new_exchange(token=token)
        decision = await chain.request(exchange)
        said.append(json.loads(decision.response.body) if decision else exchange.identity.groups)
    assert said[0] == said[1]
    return said[0]


async def test_what_is_changed_in_the_store_counts_at_once():
    handler = make(stored=True)
    stored = handler.context.stored
    chain, token = Chain([handler]), hs_token({"iss": "storedkey"}).decode()
    stored_token(stored)
    assert await asked_twice(chain, token) == ("staff",)
    stored_token(stored, group="others")
    assert await asked_twice(chain, token) == ("others",)
    stored_token(stored, secret="another")
    assert await asked_twice(chain, token) == {"message": "Invalid signature"}
    stored_token(stored)
    assert await asked_twice(chain, token) == ("staff",)
    stored.remove("1")
    told = {"message": "No credentials found for given 'iss'"}
    assert await asked_twice(chain, token) == told


async def test_who_is_known_by_a_token_is_so_until_it_ends(monkeypatch):
    chain = Chain([make()])
    token = ado(exp=time.time() + 60)
    assert await asked_twice(chain, token) == ("staff",)
    assert len(chain._known) == 1
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert await asked_twice(chain, token) == {"exp": "token expired"}


async def test_who_is_known_by_a_token_is_so_until_its_key_changes():
    key_sets = KeySets(jwk(kid="a"))
    chain, token = Chain([make(key_sets, issuers=[PUBLISHED])]), provided(kid="a")
    assert await asked_twice(chain, token) == ()
    assert len(chain._known) == 1
    key_sets.publish(jwk("P-256", kid="x"), jwk(kid="b"))
    assert await asked_twice(chain, token) == {"message": "Invalid signature"}


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        ({}, 1),
        ({"anonymous": "guest"}, 1),
        ({"header_names": ["authorization", "x-token"]}, 0),
        ({"cookie_names": ["token"]}, 0),
        ({"hide_credentials": True}, 0),
        ({"run_on_preflight": False}, 0),
        ({"renewal_path": "/renew"}, 0),
        ({"max_remembered_tokens": 0}, 0),
    ],
)
async def test_by_which_settings_a_token_alone_decides(settings, known):
    chain = Chain([make(**settings)])
    for token in (ado(), "bad", ado()):
        await chain.request(new_exchange(token=token))
    assert len(chain._known) == known


async def test_a_second_token_is_seen_though_the_first_is_known():
    chain = Chain([make()])
    assert await asked_twice(chain, ado()) == ("staff",)
    exchange = new_exchange(token=ado(), target=f"/?jwt={provided().decode()}")
    decision = await chain.request(exchange)
    assert json.loads(decision.response.body) == {"message": "Multiple tokens provided"}


async def test_renewals():
    handler = make(issuers=[ISSUER])
    now = int(time.time())
    first = await passes(handler, new_exchange(token=provided(agency="a", iat=now, jti="1")))
    later = provided(agency="a", iat=now + 1, jti="2", exp=now + 99)
    assert first.is_renewed_by(await passes(handler, new_exchange(token=later)))
    for claims in ({"agency": "b"}, {"agency": "a", "sub": "u-2"}, {"agency": "a", "roles": []}):
        other = await passes(handler, new_exchange(token=provided(**claims)))
        assert not first.is_renewed_by(other)


# -- alternatives --------------------------------------------------------------------------


async def test_everyone_without_a_token_may_be_somebody():
    handler = make(anonymous="guest")
    for exchange in (new_exchange(), new_exchange(token="a.b")):
        identity = await passes(handler, exchange)
        assert (identity.consumer, identity.anonymous) == ("guest", True)
        assert exchange.request.headers.get(b"x-anonymous-consumer") == b"true"
    known = new_exchange()
    known.identity = await passes(make(), new_exchange(token=ado()))
    await passes(handler, known)
    assert known.identity.consumer == "Ado"


async def test_preflights():
    asks = ("Access-Control-Request-Method", "PUT")
    exchange = new_exchange(asks, method="OPTIONS")
    assert (await refused(make(), exchange))[0] == 401
    assert await make(run_on_preflight=False).on_request(exchange) is CONTINUE


def test_names_of_credentials_are_hidden_in_logs():
    handler = make(cookie_names=["Session"], uri_param_names=["T"])
    assert handler.secret_names == {"authorization", "t", "session"}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"consumers": []}, "issuers: nobody could pass"),
        ({"realm": 'a"b'}, "realm: must not have quotes"),
        ({"anonymous": "nobody"}, "anonymous: no consumer"),
        ({"issuers": [{**ISSUER, "audience": []}]}, r"issuers\[0\].audience"),
        ({"claims_to_headers": {"X:A": "a"}}, "claims_to_headers.X:A"),
        ({"consumers": [{"username": "a", "jwt": [{"key": "k"}]}]}, r"a: jwt\[0\]: HS256 needs"),
        (
            {"consumers": [{"username": "a", "jwt": [{"key": "k", "algorithm": "ES256"}]}]},
            r"a: jwt\[0\]: ES256 needs a public_key",
        ),
        (
            {
                "secret_is_base64": True,
                "consumers": [{**ADO, "jwt": [{"key": "k", "secret": "a b"}]}],
            },
            "is no base64",
        ),
    ],
)
def test_settings_that_can_not_be(settings, problem):
    with pytest.raises(ConfigError, match=problem):
        make(**settings)
