"""What calls say of consumers: JSON and forms, and what can't be."""

import pytest

from realtime_proxy.inputs.consumer_fields import (
    FieldError,
    check_jwt,
    consumer_fields,
    group_fields,
    jwt_fields,
    key_fields,
    read_fields,
)
from realtime_proxy.model.headers import Headers
from realtime_proxy.testing.tokens import public_pem

FORM = b"application/x-www-form-urlencoded"


def read(body, kind=FORM):
    return read_fields(Headers([(b"Content-Type", kind)]), body)


def test_forms_and_json_say_the_same():
    told = {"username": "alice", "custom_id": "a b", "tags": ["x", "y"]}
    assert read(b"username=alice&custom_id=a+b&tags[]=x&tags=y") == told
    json = b'{"username": "alice", "custom_id": "a b", "tags": ["x", "y"]}'
    assert read(json, b"application/json; charset=utf-8") == told
    assert read(b"") == {}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"application/json", b"{"),
        (b"application/json", b"[]"),
        (FORM, b"\xff=1"),
        (FORM, b"a=1&" * 200),
        (b"multipart/form-data", b"a"),
    ],
)
def test_bodies_that_say_nothing(kind, body):
    with pytest.raises(FieldError):
        read(body, kind)


def test_fields():
    assert consumer_fields({"username": "a", "tags": None}) == {"username": "a", "tags": ()}
    assert consumer_fields({"custom_id": ""}) == {"custom_id": None}
    assert key_fields({"ttl": "60"}) == {"ttl": 60}
    assert key_fields({"key": "k", "ttl": 60}) == {"key": "k", "ttl": 60}
    assert jwt_fields({"key": "k", "secret": "s"}) == {"key": "k", "secret": "s"}
    assert group_fields({"group": "g"}) == {"group": "g"}


@pytest.mark.parametrize(
    ("check", "fields", "problem"),
    [
        (consumer_fields, {"name": "a"}, "name: unknown field; accepted: id, username"),
        (consumer_fields, {"username": 1}, "username: must be text"),
        (consumer_fields, {"username": "a\nb"}, "username: must not have control"),
        (consumer_fields, {"tags": [1]}, "tags: must be a list"),
        (consumer_fields, {"id": "x"}, "id: must be a UUID"),
        (key_fields, {"ttl": 0}, "ttl: must be more"),
        (key_fields, {"ttl": -1}, "ttl: must be a whole"),
        (key_fields, {"ttl": True}, "ttl: must be a whole"),
        (key_fields, {"key": "k" * 9000}, "key: must be text of at most"),
        (jwt_fields, {"algorithm": "none"}, "algorithm: accepted: HS256"),
        (group_fields, {}, "group: required"),
        (group_fields, {"group": "a,b"}, "group: required, without commas"),
    ],
)
def test_fields_that_can_not_be(check, fields, problem):
    with pytest.raises(FieldError, match=problem):
        check(fields)


def test_keys_fit_their_algorithms():
    check_jwt("HS256", None)
    check_jwt("RS256", public_pem().decode())
    for algorithm, key in (("RS256", None), ("ES256", public_pem().decode())):
        with pytest.raises(FieldError, match=f"rsa_public_key: .* {algorithm} needs"):
            check_jwt(algorithm, key)
