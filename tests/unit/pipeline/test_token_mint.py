"""Tokens of our own: kept while they are fresh, never given to others, never past the end."""

import json

import jwt
import pytest

from realtime_proxy.pipeline.jwt_key import BadKey
from realtime_proxy.pipeline.jwt_signer import JwtSigner
from realtime_proxy.pipeline.token_mint import TokenMint
from realtime_proxy.testing.tokens import private_pem, public_pem

NOW = 1_700_000_000.5
SECRET = b"a secret of thirty-two bytes or more"
EC = JwtSigner.from_pem(private_pem("P-256"), "ec")
RSA = JwtSigner.from_pem(private_pem("RSA"), "rsa")
OLD = JwtSigner.from_pem(public_pem("P-384"), "old")
HMAC = JwtSigner.from_secret(SECRET, "hs", "HS256")


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def test_a_token_says_what_it_should():
    token = TokenMint((EC,)).token({"iss": "us", "sub": "alice", "roles": ["a"]}, 60, None, NOW)
    claims = claims_of(token)
    assert len(claims.pop("jti")) == 36
    assert claims == {
        "iss": "us",
        "sub": "alice",
        "roles": ["a"],
        "iat": 1_700_000_000,
        "nbf": 1_700_000_000,
        "exp": 1_700_000_060,
    }


def test_the_first_private_key_signs_and_all_public_ones_are_published():
    mint = TokenMint((OLD, HMAC, EC, RSA))
    assert jwt.get_unverified_header(mint.token({}, 60, None, NOW))["kid"] == "hs"
    key_set = json.loads(mint.key_set)
    assert [key["kid"] for key in key_set["keys"]] == ["old", "ec", "rsa"]
    assert all(key.keys().isdisjoint({"d", "k", "p", "q"}) for key in key_set["keys"])
    assert jwt.get_unverified_header(TokenMint((RSA, EC)).token({}, 60, None, NOW))["kid"] == "rsa"
    assert json.loads(TokenMint((HMAC,)).key_set) == {"keys": []}


def test_a_token_is_given_again_until_a_tenth_of_its_time_is_left():
    mint = TokenMint((EC,))
    first = mint.token({"sub": "a"}, 60, None, NOW)
    assert mint.token({"sub": "a"}, 60, None, NOW + 53.9) == first
    second = mint.token({"sub": "a"}, 60, None, NOW + 54)
    assert second != first
    assert claims_of(second)["exp"] == 1_700_000_114
    assert claims_of(second)["jti"] != claims_of(first)["jti"]


@pytest.mark.parametrize(
    "other", [({"sub": "b"}, 60, None), ({"sub": "a"}, 61, None), ({"sub": "a"}, 60, NOW + 50)]
)
def test_nobody_gets_a_token_of_others(other):
    mint = TokenMint((EC,))
    assert mint.token({"sub": "a"}, 60, None, NOW) != mint.token(*other, NOW)


def test_no_token_outlives_the_credential():
    mint = TokenMint((EC,))
    token = mint.token({}, 60, NOW + 30, NOW)
    assert claims_of(token)["exp"] == 1_700_000_030
    assert mint.token({}, 60, NOW + 30, NOW + 29.9) == token
    assert claims_of(mint.token({}, 60, NOW + 90, NOW))["exp"] == 1_700_000_060
    assert claims_of(mint.token({}, 60, NOW + 0.2, NOW))["exp"] == 1_700_000_001


def test_the_end_of_a_credential_can_be_told_with_a_token():
    mint = TokenMint((EC,))
    token = mint.token({}, 60, NOW - 5, NOW)
    assert claims_of(token)["exp"] == 1_700_000_001
    assert mint.token({}, 60, NOW - 5, NOW) != token


def test_no_more_than_so_many_are_kept():
    mint = TokenMint((HMAC,))
    for number in range(10_005):
        mint.token({"sub": number}, 60, None, NOW)
    assert len(mint) == 10_000


@pytest.mark.parametrize(
    ("signers", "problem"),
    [
        ((), "no private key"),
        ((OLD,), "no private key"),
        ((EC, JwtSigner.from_pem(private_pem("RSA"), "ec")), "two keys with the name"),
    ],
)
def test_keys_that_do_not_do(signers, problem):
    with pytest.raises(BadKey, match=problem):
        TokenMint(signers)
