"""Issuers: where the keys of each are, or what is wrong with its settings."""

import json

import pytest

from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline.jwt_issuer import Issuer, issuer_keys
from realtime_proxy.pipeline.jwt_token import JwtToken
from realtime_proxy.pipeline.secret import Secret
from realtime_proxy.testing.tokens import hs_token, jwk, public_pem, signed


def issuer(name="https://a/", audience=("api",), **settings):
    return Issuer(name, audience, **settings)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"public_key": Secret(public_pem())}, signed({})),
        ({"jwks": Secret(json.dumps({"keys": [jwk(kid="a")]}).encode())}, signed({}, kid="a")),
        ({"secret": Secret(b"supersecret"), "algorithms": ("HS256",)}, hs_token({})),
    ],
)
def test_keys_of_the_settings(settings, text):
    keys = issuer_keys((issuer(**settings),))["https://a/"]
    assert keys.source is None
    assert keys.key_set is not None
    assert keys.key_set.has_signed(JwtToken.parse(text))


def test_keys_that_are_published():
    found, told = issuer_keys(
        (issuer(), issuer("b", jwks_url="https://b/keys", jwks_retry_seconds=3.0))
    ).values()
    assert found.source is not None
    assert found.source.discovers
    assert found.source.url == "https://a/.well-known/openid-configuration"
    assert told.source is not None
    assert (told.source.url, told.source.discovers) == ("https://b/keys", False)
    assert told.source.retry_seconds == 3


@pytest.mark.parametrize(
    ("issuers", "problem"),
    [
        ((issuer(), issuer()), r"issuers\[1\].issuer: is the same"),
        ((issuer(audience=()),), r"issuers\[0\].audience: must have"),
        ((issuer("a"),), r"issuers\[0\].jwks_url: must be an http"),
        ((issuer(public_key=Secret(b"a")),), r"issuers\[0\].public_key: is no PEM"),
        ((issuer(jwks=Secret(b"a")),), r"issuers\[0\].jwks: the key set is no JSON"),
        ((issuer(secret=Secret(b"a")),), r"issuers\[0\].secret: fits none"),
        ((issuer(secret=Secret(b"a"), jwks_url="https://a"),), r"issuers\[0\]: give one of"),
    ],
)
def test_problems_are_told_with_their_places(issuers, problem):
    with pytest.raises(ConfigError, match=problem):
        issuer_keys(issuers)
