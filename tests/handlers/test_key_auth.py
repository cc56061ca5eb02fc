"""Key authentication: who passes, what refusals look like, what the backend gets to know."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from realtime_proxy.config.structure import structure
from realtime_proxy.errors import ConfigError
from realtime_proxy.model.consumer_record import ConsumerRecord, GroupRecord, KeyRecord
from realtime_proxy.pipeline import (
    CONTINUE,
    BaseHandler,
    Exchange,
    HandlerContext,
    HandlerServices,
    Headers,
    Identity,
    Refuse,
    RequestHead,
    StoredConsumers,
)
from realtime_proxy.pipeline.catalogue import load_class
from realtime_proxy.pipeline.chain import Chain
from realtime_proxy.pipeline.secret import files_relative_to

CHECKOUT = Path(__file__).resolve().parents[2]
Handler = load_class(CHECKOUT / "handlers" / "key_auth.py")

ALICE = {"username": "alice", "custom_id": "c-1", "id": "11", "keys": ["supersecret", "second"]}
BOB = {"custom_id": "c-2", "keys": ["bobs key"]}
GUEST = {"username": "guest", "id": "99"}


def make(**settings: Any) -> BaseHandler:
    settings = {"consumers": [ALICE, BOB, GUEST], **settings}
    with files_relative_to(CHECKOUT):
        config: Any = structure(settings, Handler.Config)
    return Handler(config, HandlerContext(name="key_auth", logger=None))


def new_exchange(
    *headers: tuple[str, str], target: str = "/events/", method: str = "GET"
) -> Exchange:
    pairs = [(b"Host", b"api.example.com"), *((n.encode(), v.encode()) for n, v in headers)]
    request = RequestHead(method.encode(), target.encode(), Headers(pairs))
    return Exchange(request, "route", "http", "192.0.2.1")


def identity_headers(exchange: Exchange) -> dict[str, str]:
    return {
        name.decode(): value.decode()
        for name, value in exchange.request.headers
        if name.lower().startswith((b"x-consumer", b"x-credential", b"x-anonymous"))
    }


async def refusal_of(handler: BaseHandler, exchange: Exchange) -> Refuse:
    decision = await handler.on_request(exchange)
    assert isinstance(decision, Refuse)
    assert exchange.identity is None
    return decision


async def passes(handler: BaseHandler, exchange: Exchange) -> str:
    assert await handler.on_request(exchange) is CONTINUE
    assert exchange.identity is not None
    return exchange.identity.consumer


# Who passes


@pytest.mark.parametrize(
    ("exchange", "consumer"),
    [
        (new_exchange(("apikey", "supersecret")), "alice"),
        (new_exchange(("ApiKey", "second")), "alice"),
        (new_exchange(target="/?apikey=supersecret"), "alice"),
        (new_exchange(target="/?x=1&apikey=bobs+key"), "c-2"),
        (new_exchange(target="/?x=1&%61pikey=bobs%20key&y"), "c-2"),
        (new_exchange(("Cookie", "a=b; apikey=supersecret; c=d")), "alice"),
        (new_exchange(("Cookie", "a=b"), ("Cookie", 'apikey="bobs key"')), "c-2"),
        (new_exchange(("apikey", "supersecret"), target="/?apikey=bobs+key"), "alice"),
    ],
)
async def test_a_known_key_passes_from_any_source(exchange: Exchange, consumer: str) -> None:
    assert await passes(make(key_in_cookie=True), exchange) == consumer


@pytest.mark.parametrize("profile", ["modern", "classic"])
@pytest.mark.parametrize(
    "exchange",
    [
        new_exchange(("apikey", "supersecret")),
        new_exchange(target="/?apikey=supersecret"),
        new_exchange(("Cookie", "apikey=supersecret")),
    ],
)
async def test_a_source_that_is_off_counts_for_nothing(exchange: Exchange, profile: str) -> None:
    sources = {"key_in_header": False, "key_in_query": False, "key_in_cookie": True}
    if exchange.request.headers.has(b"cookie"):
        sources = {"key_in_header": True, "key_in_query": True, "key_in_cookie": False}
    await refusal_of(make(profile=profile, **sources), exchange)


async def test_several_names_are_tried() -> None:
    handler = make(key_names=["Auth-Key", "token"])
    assert await passes(handler, new_exchange(("auth-key", "supersecret"))) == "alice"
    assert await passes(handler, new_exchange(target="/?token=supersecret")) == "alice"
    await refusal_of(handler, new_exchange(("apikey", "supersecret")))


async def test_classic_looks_in_the_query_first_for_all_names() -> None:
    both = {"target": "/?second=bobs+key"}
    names = ["first", "second"]
    modern, classic = make(key_names=names), make(key_names=names, profile="classic")
    assert await passes(modern, new_exchange(("first", "supersecret"), **both)) == "alice"
    assert await passes(classic, new_exchange(("first", "supersecret"), **both)) == "c-2"
    assert await passes(classic, new_exchange(("second", "supersecret"))) == "alice"
    in_cookie = make(profile="classic", key_in_query=False, key_in_cookie=True)
    assert await passes(in_cookie, new_exchange(("Cookie", "apikey=second"))) == "alice"


@pytest.mark.parametrize("profile", ["modern", "classic"])
async def test_expect_does_not_open_the_door(profile: str) -> None:
    handler = make(profile=profile)
    await refusal_of(handler, new_exchange(("Expect", "100-continue"), method="POST"))
    wrong = new_exchange(("Expect", "100-continue"), ("apikey", "wrong"), method="POST")
    await refusal_of(handler, wrong)


async def test_the_method_and_an_upgrade_make_no_difference() -> None:
    handler = make()
    for method in ("OPTIONS", "HEAD", "CONNECT", "PROPFIND"):
        await refusal_of(handler, new_exchange(method=method))
    upgrade = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
    await refusal_of(handler, new_exchange(*upgrade))
    assert await passes(handler, new_exchange(*upgrade, ("apikey", "second"))) == "alice"


async def test_preflight_may_be_let_through() -> None:
    handler = make(run_on_preflight=False)
    preflight = new_exchange(
        ("Origin", "https://a.example"), ("Access-Control-Request-Method", "GET"), method="OPTIONS"
    )
    assert await handler.on_request(preflight) is CONTINUE
    assert preflight.identity is None
    await refusal_of(handler, new_exchange(method="OPTIONS"))
    await refusal_of(make(), preflight)


# Refusals


@pytest.mark.parametrize(
    "exchange",
    [
        new_exchange(),
        new_exchange(("apikey", "")),
        new_exchange(("apikey", "wrong")),
        new_exchange(("apikey", "supersecret"), ("apikey", "supersecret")),
        new_exchange(("Accept", "text/plain")),
    ],
)
async def test_classic_refusals_are_kongs_first(exchange: Exchange) -> None:
    response = (await refusal_of(make(profile="classic", realm="r"), exchange)).response
    assert response.status == 403
    assert response.headers == [(b"Content-Type", b"application/json; charset=utf-8")]
    assert response.body == b'{"message":"Invalid authentication credentials"}\n'
    assert len(response.body) == 49


@pytest.mark.parametrize(
    ("exchange", "message"),
    [
        (new_exchange(), "No API key found in request"),
        (new_exchange(("apikey", "")), "No API key found in request"),
        (new_exchange(target="/?apikey"), "No API key found in request"),
        (new_exchange(target="/?"), "No API key found in request"),
        (new_exchange(("apikey", "wrong")), "Unauthorized"),
        (new_exchange(("apikey", "SUPERSECRET")), "Unauthorized"),
        (new_exchange(("apikey", "supersecret,supersecret")), "Unauthorized"),
        (new_exchange(target="/?apikey=supersecret%00"), "Unauthorized"),
        (new_exchange(target="/?apikey=%FF"), "Unauthorized"),
        (
            new_exchange(("apikey", "supersecret"), ("ApiKey", "supersecret")),
            "Duplicate API key found",
        ),
        (new_exchange(target="/?apikey=supersecret&apikey=second"), "Duplicate API key found"),
        (new_exchange(("Cookie", "apikey=a; apikey=b")), "Duplicate API key found"),
    ],
)
async def test_modern_refusals_say_what_was_wrong(exchange: Exchange, message: str) -> None:
    refusal = await refusal_of(make(key_in_cookie=True), exchange)
    response = refusal.response
    assert response.status == 401
    assert response.headers.get(b"www-authenticate") == b"Key"
    assert response.headers.get(b"content-type") == b"application/json; charset=utf-8"
    body = json.loads(response.body)
    assert body == {"message": message, "request_id": body["request_id"]}
    expected = f'{{\n  "message":"{message}",\n  "request_id":"{body["request_id"]}"\n}}'
    assert response.body.decode() == expected
    assert len(body["request_id"]) == 32
    assert refusal.why == f"{message} (request_id {body['request_id']})"


async def test_the_realm_goes_with_the_challenge() -> None:
    response = (await refusal_of(make(realm="the api"), new_exchange())).response
    assert response.headers.get(b"www-authenticate") == b'Key realm="the api"'


@pytest.mark.parametrize(
    ("accept", "is_text"),
    [
        ("text/plain", True),
        ("text/*", True),
        ("text/plain;q=0.5, application/json;q=0.4", True),
        ("text/plain, application/*;q=0.9", True),
        ("*/*, application/json;q=0", True),
        ("application/json", False),
        ("text/plain, */*", False),
        ("text/plain;q=0, */*", False),
        ("text/plain;q=nonsense", False),
        ("text/html", False),
        ("text/plain; charset=utf-8; q=0.1, application/json", False),
        ("", False),
    ],
)
async def test_the_body_is_what_the_client_accepts(accept: str, is_text: bool) -> None:
    response = (await refusal_of(make(), new_exchange(("Accept", accept)))).response
    content_type = response.headers.get(b"content-type")
    assert content_type is not None
    assert content_type.startswith(b"text/plain" if is_text else b"application/json")
    if is_text:
        message, request_id, end = response.body.decode().split("\n")
        assert message == "No API key found in request"
        assert request_id.startswith("request_id: ")
        assert end == ""


@pytest.mark.parametrize("key", ["wrong-key-1", "supersecret"])
async def test_a_refusal_says_nothing_of_the_key(key: str) -> None:
    cookie = ("Cookie", f"a=b; apikey={key}")
    exchange = new_exchange(
        ("apikey", key), ("apikey", "x"), cookie, target=f"/?a=1&apikey={key}&b"
    )
    refusal = await refusal_of(make(key_in_cookie=True), exchange)
    assert key not in f"{refusal!r} {exchange!r}"
    assert exchange.request.target == b"/?a=1&b"


# What the backend gets to know


async def test_the_backend_learns_who_it_is() -> None:
    exchange = new_exchange(("apikey", "second"))
    await passes(make(), exchange)
    assert exchange.identity == Identity("alice", credential="alice/2", challenge="Key")
    assert identity_headers(exchange) == {
        "X-Consumer-ID": "11",
        "X-Consumer-Custom-ID": "c-1",
        "X-Consumer-Username": "alice",
        "X-Credential-Identifier": "alice/2",
    }


async def test_what_a_client_claims_to_be_is_cleared() -> None:
    claims = [
        ("x-consumer-id", "1"),
        ("X-CONSUMER-USERNAME", "admin"),
        ("X-Consumer-Custom-ID", "root"),
        ("X-Anonymous-Consumer", "true"),
        ("X-Credential-Identifier", "admin/1"),
    ]
    exchange = new_exchange(*claims, ("apikey", "bobs key"))
    await passes(make(), exchange)
    assert identity_headers(exchange) == {
        "X-Consumer-Custom-ID": "c-2",
        "X-Credential-Identifier": "c-2/1",
    }
    assert make().sets_headers == {name.lower() for name, _ in claims}


@pytest.mark.parametrize("name", ["guest", "99"])
@pytest.mark.parametrize("key", ["", "wrong"])
async def test_anonymous_stands_for_everyone_without_a_valid_key(name: str, key: str) -> None:
    exchange = new_exchange(("apikey", key))
    assert await passes(make(anonymous=name), exchange) == "guest"
    assert exchange.identity == Identity("guest", anonymous=True)
    assert identity_headers(exchange) == {
        "X-Consumer-ID": "99",
        "X-Consumer-Username": "guest",
        "X-Anonymous-Consumer": "true",
    }


async def test_a_valid_key_is_not_anonymous() -> None:
    assert await passes(make(anonymous="guest"), new_exchange(("apikey", "second"))) == "alice"


async def test_an_earlier_handlers_identity_stays_where_the_key_is_an_alternative() -> None:
    exchange = new_exchange()
    exchange.identity = Identity("by-token")
    assert await passes(make(anonymous="guest"), exchange) == "by-token"
    exchange.identity = Identity("nobody", anonymous=True)
    assert await passes(make(anonymous="guest"), exchange) == "guest"
    exchange.identity = Identity("by-token")
    assert isinstance(await make().on_request(exchange), Refuse)


async def test_keys_are_passed_on_unless_hidden() -> None:
    exchange = new_exchange(("apikey", "supersecret"), target="/?apikey=supersecret")
    await passes(make(), exchange)
    assert exchange.request.target == b"/?apikey=supersecret"
    assert exchange.request.headers.get(b"apikey") == b"supersecret"


@pytest.mark.parametrize(
    ("target", "hidden"),
    [
        ("/p?", "/p?"),
        ("/p?apikey=supersecret", "/p"),
        ("/p?b=2&apikey=supersecret&a=1", "/p?b=2&a=1"),
        ("/p?%61pikey=supersecret&a=%41+&&b&", "/p?a=%41+&&b&"),
    ],
)
async def test_a_hidden_query_key_leaves_the_other_arguments_alone(
    target: str, hidden: str
) -> None:
    exchange = new_exchange(target=target)
    await passes(make(hide_credentials=True, anonymous="guest"), exchange)
    assert exchange.request.target == hidden.encode()


@pytest.mark.parametrize(
    ("cookies", "hidden"),
    [
        (["apikey=supersecret"], []),
        (["a=b; apikey=supersecret; c=d"], ["a=b; c=d"]),
        (["a=b", "apikey=supersecret", "c=d"], ["a=b; c=d"]),
        (["a=b;  c"], ["a=b;  c"]),
        (["flag; apikey=supersecret"], ["flag"]),
    ],
)
async def test_a_hidden_cookie_leaves_the_others_alone(
    cookies: list[str], hidden: list[str]
) -> None:
    exchange = new_exchange(*(("Cookie", cookie) for cookie in cookies))
    handler = make(hide_credentials=True, key_in_cookie=True, anonymous="guest")
    await passes(handler, exchange)
    assert [value.decode() for value in exchange.request.headers.get_all(b"cookie")] == hidden


async def test_hiding_takes_the_key_from_every_source_at_once() -> None:
    exchange = new_exchange(
        ("apikey", "supersecret"), ("Other", "x"), target="/?apikey=supersecret"
    )
    await passes(make(hide_credentials=True), exchange)
    assert "supersecret" not in repr(exchange)
    assert exchange.request.headers.get(b"other") == b"x"


# Settings


@pytest.mark.parametrize(
    ("settings", "key_path"),
    [
        ({"profile": "ancient"}, "profile"),
        ({"key_names": []}, "key_names"),
        ({"key_names": ["fine", "not fine"]}, "key_names[1]"),
        ({"realm": 'say "hi"'}, "realm"),
        ({"anonymous": "nobody"}, "anonymous"),
        ({"key_in_header": False, "key_in_query": False}, "key_in_header"),
        ({"consumers": [{"keys": ["a"]}]}, "consumers[0]"),
        ({"consumers": [{"username": "a\r\nX-Admin: 1"}]}, "consumers[0].username"),
        ({"consumers": [ALICE, {"username": "alice"}]}, "consumers[1].username"),
        (
            {"consumers": [ALICE, {"username": "b", "keys": ["other", "second"]}]},
            "consumers[1].keys[1]",
        ),
        ({"consumers": [{"username": "a", "keys": ["k", "k"]}]}, "consumers[0].keys[1]"),
    ],
)
def test_settings_that_make_no_sense_are_problems(settings: dict[str, Any], key_path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(**settings)
    assert [problem.key_path for problem in caught.value.problems] == [key_path]
    assert "second" not in str(caught.value)


# While the store is not known


async def test_unknown_keys_are_not_judged_before_the_store_is_known():
    stored = StoredConsumers()
    stored.is_known = False
    handler = make(stored=True)
    services = HandlerServices(None, None, None, stored)
    handler.context = HandlerContext(name="key_auth", logger=None, services=services)
    assert await passes(handler, new_exchange(("apikey", "supersecret"))) == "alice"
    exchange = new_exchange(target="/?apikey=of+the+store")
    refusal = await refusal_of(handler, exchange)
    assert refusal.response.status == 503
    assert exchange.request.target == b"/"
    stored.is_known = True
    refusal = await refusal_of(handler, new_exchange(("apikey", "of the store")))
    assert refusal.response.status == 401


# Who is known by a key (pipeline/known_clients.py) is so for as long as the key counts


KEY = ("apikey", "of the store")


def store_key(stored: StoredConsumers, group: str = "staff", **key: Any) -> None:
    keys = (KeyRecord(id="k", key=KEY[1], **{"created_at": 0, **key}),)
    groups = (GroupRecord(id="g", group=group, created_at=0),)
    stored.put(ConsumerRecord(id="1", username="sue", created_at=0, keys=keys, groups=groups))


async def groups_by(chain: Chain, *fields: tuple[str, str]) -> tuple[str, ...] | None:
    """The groups that requests with these fields are in; None if they are refused."""
    exchange = new_exchange(*fields)
    if await chain.request(exchange) is not None:
        return None
    assert exchange.identity is not None
    return exchange.identity.groups


async def test_what_is_changed_in_the_store_counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = StoredConsumers()
    handler = make(stored=True)
    services = HandlerServices(None, None, None, stored)  # type: ignore[arg-type]
    handler.context = HandlerContext(name="key_auth", logger=None, services=services)
    chain = Chain([handler])
    assert await groups_by(chain, KEY) is None
    store_key(stored)
    for _ in range(2):
        assert await groups_by(chain, KEY) == ("staff",)
    assert len(chain._known) == 1
    store_key(stored, "others")
    assert await groups_by(chain, KEY) == ("others",)
    stored.remove("1")
    assert await groups_by(chain, KEY) is None
    store_key(stored, created_at=int(time.time()), ttl=60)
    for _ in range(2):
        assert await groups_by(chain, KEY) == ("staff",)
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert await groups_by(chain, KEY) is None


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        ({}, 1),
        ({"key_names": ["apikey", "other"], "key_in_cookie": True}, 1),
        ({"anonymous": "guest"}, 1),
        ({"profile": "classic"}, 0),
        ({"key_in_header": False}, 0),
        ({"hide_credentials": True}, 0),
        ({"run_on_preflight": False}, 0),
    ],
)
async def test_by_which_settings_a_key_alone_decides(settings: dict[str, Any], known: int) -> None:
    chain = Chain([make(**settings)])
    for key in ("supersecret", "wrong", "supersecret"):
        await chain.request(new_exchange(("apikey", key)))
    assert len(chain._known) == known


# Forms


class Content:
    """The body of a request."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.reads = 0

    async def read(self, max_bytes: int) -> bytes | None:
        self.reads += 1
        return self.body if len(self.body) <= max_bytes else None

    def replace(self, body: bytes) -> None:
        self.body = body


FORM = ("Content-Type", "application/x-www-form-urlencoded")


def form_exchange(body: bytes, *headers: tuple[str, str], target: str = "/") -> Exchange:
    exchange = new_exchange(FORM, *headers, target=target, method="POST")
    exchange.content = Content(body)
    return exchange


async def test_forms_are_looked_into_where_the_profile_or_the_setting_says_so():
    body = b"a=1&apikey=supersecret"
    assert await passes(make(profile="classic"), form_exchange(body)) == "alice"
    assert await passes(make(key_in_body=True), form_exchange(body)) == "alice"
    for handler in (make(), make(profile="classic", key_in_body=False)):
        exchange = form_exchange(body)
        await refusal_of(handler, exchange)
        assert exchange.content.reads == 0


async def test_which_place_comes_first():
    wrong = b"apikey=wrong"
    head = {"target": "/?apikey=supersecret"}
    assert await passes(make(profile="classic"), form_exchange(wrong, **head)) == "alice"
    classic = form_exchange(b"apikey=supersecret", ("apikey", "wrong"))
    assert await passes(make(profile="classic"), classic) == "alice"
    modern = form_exchange(wrong, ("apikey", "supersecret"))
    assert await passes(make(key_in_body=True), modern) == "alice"
    assert modern.content.reads == 0


@pytest.mark.parametrize(
    "exchange",
    [
        form_exchange(b"apikey=supersecret&apikey=supersecret"),
        form_exchange(b"apikey="),
        form_exchange(b"other=supersecret"),
        form_exchange(b"apikey=supersecret&" + b"x" * 200),
        form_exchange(b"apikey=supersecret", ("Content-Encoding", "gzip")),
    ],
)
async def test_forms_without_a_key_that_counts(exchange):
    await refusal_of(make(key_in_body=True, max_body_bytes=200), exchange)


async def test_keys_are_taken_out_of_forms():
    handler = make(key_in_body=True, hide_credentials=True)
    exchange = form_exchange(b"apikey=supersecret&a=1")
    await passes(handler, exchange)
    assert exchange.content.body == b"a=1"
    elsewhere = form_exchange(b"a=1&apikey=other", ("apikey", "supersecret"))
    await passes(handler, elsewhere)
    assert elsewhere.content.body == b"a=1"
    assert not elsewhere.request.headers.has(b"apikey")


async def test_who_came_with_a_form_may_stay_when_asked_again():
    handler = make(key_in_body=True)
    first = form_exchange(b"apikey=supersecret")
    await passes(handler, first)
    again = new_exchange(method="POST")
    again.notes = first.notes
    await refusal_of(handler, again)
    again.is_recheck = True
    assert await passes(handler, again) == "alice"
    assert b"supersecret" not in repr(first.notes).encode()
