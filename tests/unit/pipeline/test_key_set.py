"""Key sets: the keys that can be used, and which of them a token is checked by."""

import json

import pytest

from realtime_proxy.pipeline.jwt_key import BadKey
from realtime_proxy.pipeline.jwt_token import JwtToken
from realtime_proxy.pipeline.key_set import KeySet
from realtime_proxy.testing.tokens import jwk, signed


def key_set(*keys, algorithms=("RS256", "ES256")):
    return KeySet.parse(json.dumps({"keys": keys}).encode(), algorithms)


def token(kid=None, kind="RSA", algorithm="RS256"):
    return JwtToken.parse(signed({}, kind, algorithm, kid))


def test_a_token_is_checked_by_the_key_it_names():
    keys = key_set(jwk(kid="a"), jwk("P-256", kid="b"))
    assert keys.knows(token("a"))
    assert keys.has_signed(token("a"))
    assert keys.has_signed(token("b", "P-256", "ES256"))
    assert not keys.has_signed(token("b"))  # that key is another
    assert not keys.knows(token("c"))
    assert not keys.has_signed(token("c"))


def test_a_token_that_names_no_key_is_checked_by_all():
    keys = key_set(jwk("P-256", kid="b"), jwk(kid="a"))
    assert keys.knows(token())
    assert keys.has_signed(token())


def test_a_key_without_a_name_may_be_anybodys():
    assert key_set(jwk()).has_signed(token("a"))


def test_keys_that_can_not_be_used_are_left_out():
    keys = key_set({"kty": "oct", "k": "AAAA"}, 1, {"kty": "new"}, jwk(use="enc"), jwk(kid="a"))
    assert [key.kid for key in keys.keys] == ["a"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{", "no JSON"),
        (b"[]", "no list `keys`"),
        (b'{"keys": {}}', "no list `keys`"),
        (b'{"keys": [{"kty": "oct"}]}', "no key for RS256"),
    ],
)
def test_what_is_no_key_set(text, why):
    with pytest.raises(BadKey, match=why):
        KeySet.parse(text, ["RS256"])
