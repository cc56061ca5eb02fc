"""The calls of Kong's texts and of today: consumers, keys, tokens, groups."""

import json
from urllib.parse import urlencode

import pytest

from realtime_proxy.inputs.consumer_api import ConsumerApi
from realtime_proxy.inputs.sqlite_consumers import SqliteConsumers
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.pipeline.consumers import digest_of
from realtime_proxy.pipeline.stored_consumers import StoredConsumers
from realtime_proxy.testing.tokens import public_pem

ID = "11111111-2222-3333-4444-555555555555"


class Operator:
    """Calls the API, with forms unless told otherwise."""

    def __init__(self, file):
        self.store = SqliteConsumers(file, StoredConsumers())
        self.api = ConsumerApi(self.store, lambda: 1_000.7)

    async def call(self, method, path, json_body=None, **form):
        kind, body = b"application/x-www-form-urlencoded", urlencode(form).encode()
        if json_body is not None:
            kind, body = b"application/json", json.dumps(json_body).encode()
        headers = Headers([(b"Content-Type", kind)])
        request = RequestHead(method.encode(), path.encode(), headers)
        response = await self.api.answer(request, body)
        return response.status, json.loads(response.body) if response.body else None

    def owner(self, key):
        found = self.store.book.of_key(digest_of(key))
        return None if found is None else found.consumer.name


@pytest.fixture
async def kong(tmp_path):
    operator = Operator(tmp_path / "consumers.db")
    yield operator
    operator.store.close()


async def test_the_calls_of_the_text_on_pushpin_and_kong(kong):
    status, alice = await kong.call("POST", "/consumers/", username="alice")
    assert (status, alice["username"], alice["created_at"]) == (201, "alice", 1_000)
    status, key = await kong.call("POST", f"/consumers/{alice['id']}/keyauth", key="supersecret")
    assert (status, key["key"], key["consumer_id"]) == (201, "supersecret", alice["id"])
    assert kong.owner(b"supersecret") == "alice"


async def test_the_calls_of_the_text_on_kong_and_auth0(kong):
    status, ado = await kong.call("POST", "/consumers", username="Ado", custom_id="ado")
    assert status == 201
    # By its own id, as the text has it.
    status, jwt = await kong.call("POST", "/consumers/ado/jwt", key="adokey", secret="supersecret")
    assert (status, jwt["key"], jwt["algorithm"]) == (201, "adokey", "HS256")
    assert jwt["consumer"] == {"id": ado["id"]}
    url = "https://ado.auth0.com/"
    assert (await kong.call("POST", "/consumers/Ado/jwt", key=url, secret="s"))[0] == 201
    assert kong.store.book.of_issuer(url)[0].name == "Ado"
    _, shown = await kong.call("GET", "/consumers/ado/jwt/https%3A%2F%2Fado.auth0.com%2F")
    assert shown["key"] == url


async def test_a_consumer_is_shown_changed_and_removed(kong):
    _, alice = await kong.call("POST", "/consumers", {"username": "alice", "tags": ["a"]})
    path = f"/consumers/{alice['id']}"
    assert await kong.call("GET", path) == (200, alice)
    assert (await kong.call("GET", "/consumers/alice"))[1] == alice
    _, changed = await kong.call("PATCH", "/consumers/alice", {"custom_id": "c-1"})
    assert changed == alice | {"custom_id": "c-1"}
    _, put = await kong.call("PUT", path, {"username": "alix"})
    assert put == alice | {"username": "alix", "tags": None}
    assert (await kong.call("PUT", "/consumers/bob", {"custom_id": "b"}))[0] == 200
    assert (await kong.call("PUT", "/consumers/bob", {"custom_id": "c"}))[1]["username"] == "bob"
    assert (await kong.call("PUT", f"/consumers/{ID}", {"username": "carol"}))[1]["id"] == ID
    assert await kong.call("DELETE", "/consumers/alix") == (204, None)
    assert await kong.call("DELETE", "/consumers/alix") == (204, None)
    assert (await kong.call("GET", path))[0] == 404


async def test_pages(kong):
    for n in range(5):
        await kong.call("POST", "/consumers", username=f"u{n}")
    seen, path = [], "/consumers?size=2"
    while path:
        _, page = await kong.call("GET", path)
        seen += [one["username"] for one in page["data"]]
        path = page["next"]
    assert sorted(seen) == [f"u{n}" for n in range(5)]
    assert (await kong.call("GET", "/consumers?size=0"))[0] == 400


@pytest.mark.parametrize(
    ("kind", "fields", "name"),
    [
        ("key-auth", {"key": "k", "ttl": 60}, "key"),
        ("jwt", {"key": "k", "secret": "s", "algorithm": "HS512"}, "key"),
        ("acls", {"group": "k"}, "group"),
    ],
)
async def test_credentials_are_shown_changed_and_removed(kong, kind, fields, name):
    await kong.call("POST", "/consumers", username="alice")
    path = f"/consumers/alice/{kind}"
    _, made = await kong.call("POST", path, fields)
    assert fields.items() <= made.items()
    assert (await kong.call("GET", path))[1] == {"data": [made], "next": None, "total": 1}
    assert (await kong.call("GET", f"{path}/{made['id']}"))[1] == made
    assert (await kong.call("GET", f"{path}/k"))[1] == made
    assert (await kong.call("POST", path, fields))[0] == 409
    status, changed = await kong.call("PATCH", f"{path}/k", {name: "l"})
    assert (status, changed) == (200, made | {name: "l"})
    assert await kong.call("DELETE", f"{path}/l") == (204, None)
    assert await kong.call("DELETE", f"{path}/l") == (404, {"message": "Not found"})
    assert (await kong.call("GET", f"{path}/l"))[0] == 404


async def test_lists_say_how_many_there_are_and_whether_there_are_more(kong):
    for n in range(3):
        await kong.call("POST", "/consumers", username=f"u{n}", custom_id=f"c{n}")
    _, page = await kong.call("GET", "/consumers?size=2")
    assert (len(page["data"]), page["total"]) == (2, 3)
    assert page["offset"] == page["data"][-1]["id"]
    _, last = await kong.call("GET", page["next"])
    assert (len(last["data"]), last["next"], "offset" in last) == (1, None, False)
    _, found = await kong.call("GET", "/consumers?custom_id=c1")
    assert [one["username"] for one in found["data"]] == ["u1"]
    assert (await kong.call("GET", "/consumers?username=u9"))[1]["data"] == []
    assert (await kong.call("GET", "/consumers?username=%ff"))[0] == 400


async def test_put_makes_and_replaces_credentials(kong):
    await kong.call("POST", "/consumers", username="alice")
    path = "/consumers/alice/key-auth"
    status, made = await kong.call("PUT", f"{path}/k", {"ttl": 60})
    assert (status, made["key"], made["ttl"]) == (200, "k", 60)
    _, again = await kong.call("PUT", f"{path}/k", {})
    assert again == made | {"ttl": None}
    _, by_id = await kong.call("PUT", f"{path}/{ID}", {"key": "l"})
    assert (by_id["id"], by_id["key"]) == (ID, "l")
    _, by_id = await kong.call("PUT", f"{path}/{ID}", {"key": "m"})
    assert (by_id["id"], by_id["key"]) == (ID, "m")
    assert (kong.owner(b"k"), kong.owner(b"l"), kong.owner(b"m")) == ("alice", None, "alice")
    assert (await kong.call("PUT", f"{path}/k", {"id": ID}))[0] == 400
    _, jwt = await kong.call("PUT", "/consumers/alice/jwt/iss", {"secret": "s"})
    assert (jwt["key"], jwt["secret"], jwt["algorithm"]) == ("iss", "s", "HS256")
    _, group = await kong.call("PUT", "/consumers/alice/acls/staff")
    assert group["group"] == "staff"


async def test_put_as_kong_had_it_once(kong):
    """Without a name in the path: new, unless the body has an id that is known."""
    status, alice = await kong.call("PUT", "/consumers/", username="alice")
    assert status == 201
    status, same = await kong.call("PUT", "/consumers", id=alice["id"], username="alix")
    assert (status, same["id"], same["username"]) == (200, alice["id"], "alix")
    status, key = await kong.call("PUT", "/consumers/alix/keyauth", key="k")
    assert status == 201
    status, same = await kong.call("PUT", "/consumers/alix/keyauth", id=key["id"], key="l")
    assert (status, same["id"], same["key"]) == (200, key["id"], "l")
    assert (kong.owner(b"k"), kong.owner(b"l")) == (None, "alix")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("key-auth", {"key": "k"}),
        ("jwt", {"key": "j", "secret": "s"}),
        ("acls", {"group": "staff"}),
    ],
)
async def test_ids_of_credentials_are_unique(kong, kind, fields):
    for name in ("alice", "bob"):
        await kong.call("POST", "/consumers", username=name)
    _, made = await kong.call("POST", f"/consumers/alice/{kind}", {**fields, "id": ID})
    before = dict(kong.store.book.records)
    for name in ("alice", "bob"):
        for another in (fields, {**fields, next(iter(fields)): "another"}):
            told = {**another, "id": ID}
            assert (await kong.call("POST", f"/consumers/{name}/{kind}", told))[0] == 409
    assert (await kong.call("PUT", f"/consumers/bob/{kind}/{ID}", fields))[0] == 409
    assert kong.store.book.records == before
    assert (await kong.call("PUT", f"/consumers/alice/{kind}/{ID}", fields)) == (200, made)


async def test_all_credentials_of_a_kind(kong):
    made = {}
    for name in ("alice", "bob"):
        await kong.call("POST", "/consumers", username=name)
        made[name] = (await kong.call("POST", f"/consumers/{name}/key-auth", key=f"of {name}"))[1]
    _, listed = await kong.call("GET", "/key-auths?size=1")
    _, rest = await kong.call("GET", listed["next"])
    found = {one["key"]: one for one in listed["data"] + rest["data"]}
    assert found == {one["key"]: one for one in made.values()}
    assert await kong.call("GET", "/keyauths/of%20bob") == (200, made["bob"])
    _, owner = await kong.call("GET", f"/key-auths/{made['alice']['id']}/consumer")
    assert owner["username"] == "alice"
    assert (await kong.call("GET", "/jwts"))[1]["data"] == []
    for path in ("/key-auths/unknown", "/acls/a/b", "/key-auths/a/consumer/b"):
        assert await kong.call("GET", path) == (404, {"message": "Not found"})
    for path in ("/key-auths", "/key-auths/of%20bob"):
        assert await kong.call("DELETE", path) == (405, {"message": "Method not allowed"})


async def test_failures_are_told_in_kongs_words(kong):
    await kong.call("POST", "/consumers", username="alice")
    _, told = await kong.call("POST", "/consumers", username="alice")
    assert told == {
        "code": 5,
        "name": "unique constraint violation",
        "message": "UNIQUE violation detected on '{username=\"alice\"}'",
        "fields": {"username": "alice"},
    }
    _, told = await kong.call("POST", "/consumers/alice/key-auth", ttl="x")
    assert told == {
        "code": 2,
        "name": "schema violation",
        "message": "schema violation (ttl: must be a whole number of seconds)",
        "fields": {"ttl": "must be a whole number of seconds"},
    }
    _, told = await kong.call("POST", "/consumers")
    problem = "at least one of these fields must be non-empty: 'custom_id', 'username'"
    assert told["message"] == f"schema violation ({problem})"
    assert told["fields"] == {"@entity": [problem]}
    assert await kong.call("GET", "/consumers/x") == (404, {"message": "Not found"})
    assert (await kong.call("PATCH", "/consumers"))[1] == {"message": "Method not allowed"}


async def test_what_is_not_said_is_made(kong):
    await kong.call("POST", "/consumers", username="alice")
    _, key = await kong.call("POST", "/consumers/alice/key-auth")
    assert kong.owner(key["key"].encode()) == "alice"
    _, jwt = await kong.call("POST", "/consumers/alice/jwt")
    assert len(jwt["secret"]) == len(jwt["key"]) == 32
    pem = public_pem().decode()
    _, public = await kong.call(
        "POST", "/consumers/alice/jwt", {"algorithm": "RS256", "rsa_public_key": pem}
    )
    assert public["secret"] is None


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/consumers", {}, 400),
        ("POST", "/consumers", {"username": "alice"}, 409),
        ("POST", "/consumers", {"username": "x", "custom_id": "c-1"}, 409),
        ("POST", "/consumers", {"username": "x", "id": ID}, 409),
        ("PATCH", "/consumers/alice", {"id": ID[:-1] + "6"}, 400),
        ("PATCH", "/consumers/alice", {"username": None, "custom_id": None}, 400),
        ("PATCH", "/consumers/bob", {"username": "x"}, 404),
        ("POST", "/consumers/other/key-auth", {"key": "k"}, 409),
        ("POST", "/consumers/other/jwt", {"key": "j"}, 409),
        ("POST", "/consumers/other/jwt", {"algorithm": "RS256"}, 400),
        ("POST", "/consumers/bob/key-auth", {}, 404),
        ("GET", "/consumers/alice/oauth2", None, 404),
        ("GET", "/consumers/alice/key-auth/k/l", None, 404),
        ("GET", "/consumers/a%2Fb", None, 404),
        ("DELETE", "/consumers", None, 405),
        ("DELETE", "/consumers/alice/key-auth", None, 405),
        ("DELETE", "/consumers/other/key-auth/k", None, 404),
        ("PATCH", "/consumers/alice/key-auth/unknown", {}, 404),
        ("PUT", "/consumers/other/key-auth/k", {}, 409),
        ("PUT", "/consumers/alice/acls/a%2Cb", {}, 400),
        ("POST", "/consumers/alice/key-auth/k", {}, 405),
        ("POST", "/consumers/alice/acls", {"group": "a,b"}, 400),
    ],
)
async def test_what_can_not_be(kong, method, path, body, status):
    await kong.call("POST", "/consumers", {"username": "alice", "custom_id": "c-1", "id": ID})
    await kong.call("POST", "/consumers", {"username": "other"})
    await kong.call("POST", "/consumers/alice/key-auth", {"key": "k"})
    await kong.call("POST", "/consumers/alice/jwt", {"key": "j"})
    before = dict(kong.store.book.records)
    answered, told = await kong.call(method, path, body)
    assert answered == status
    assert told["message"]
    assert kong.store.book.records == before
    assert '="k"' not in told["message"]  # a key is a secret


async def test_calls_to_two_processes_at_once_both_count(kong, tmp_path, monkeypatch):
    """The other one comes first, between the look at what is there and the writing."""
    other = Operator(tmp_path / "consumers.db")
    write = kong.store._write

    async def write_second(*written):
        monkeypatch.undo()
        assert (await other.call("POST", "/consumers", username="bob"))[0] == 201
        await write(*written)

    monkeypatch.setattr(kong.store, "_write", write_second)
    assert (await kong.call("POST", "/consumers", username="alice"))[0] == 201
    for operator in (kong, other):
        _, listed = await operator.call("GET", "/consumers")
        assert {one["username"] for one in listed["data"]} == {"alice", "bob"}
    monkeypatch.setattr(kong.store, "_write", write_second)
    await other.call("DELETE", "/consumers/bob")
    assert (await kong.call("POST", "/consumers", username="bob"))[0] == 409
    other.store.close()
