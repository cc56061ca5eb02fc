"""Refusals of tokens, in the words of each profile."""

import json

import pytest

from realtime_proxy.pipeline.bearer_refusal import (
    BearerRefusals,
    NotInScope,
    NoToken,
    SeveralTokens,
    TokenRefused,
    UnreadableToken,
    keys_unavailable,
)
from realtime_proxy.pipeline.key_set import KeysUnavailable

EXPIRED = TokenRefused("exp: token expired", {"exp": "token expired"})


@pytest.mark.parametrize(
    ("error", "classic", "modern", "challenge", "body"),
    [
        (NoToken("Unauthorized"), 401, 401, "Bearer", {"message": "Unauthorized"}),
        (
            UnreadableToken("Bad token; invalid JSON"),
            401,
            401,
            'Bearer error="invalid_token"',
            {"message": "Bad token; invalid JSON"},
        ),
        (
            SeveralTokens("Multiple tokens provided"),
            401,
            401,
            'Bearer error="invalid_token"',
            {"message": "Multiple tokens provided"},
        ),
        (
            TokenRefused("Invalid signature"),
            403,
            401,
            'Bearer error="invalid_token"',
            {"message": "Invalid signature"},
        ),
        (EXPIRED, 403, 401, 'Bearer error="invalid_token"', {"exp": "token expired"}),
        (
            NotInScope("Insufficient scope"),
            403,
            403,
            'Bearer error="insufficient_scope", scope="read write"',
            {"message": "Insufficient scope"},
        ),
    ],
)
def test_as_kong_says_it(error, classic, modern, challenge, body):
    response = BearerRefusals("modern", scopes=("read", "write")).of(error).response
    assert (response.status, json.loads(response.body)) == (modern, body)
    assert response.headers.get(b"www-authenticate") == challenge.encode()
    assert response.headers.get(b"content-type") == b"application/json; charset=utf-8"
    assert b" " not in response.body or "message" in body or "exp" in body
    old = BearerRefusals("classic").of(error).response
    assert (old.status, json.loads(old.body)) == (classic, body)
    assert old.body.endswith(b"}\n")
    assert not old.headers.has(b"www-authenticate")


def test_the_realm_stands_before_the_error():
    refusals = BearerRefusals("modern", "here")
    header = refusals.of(NoToken("Unauthorized")).response.headers.get(b"www-authenticate")
    assert header == b'Bearer realm="here"'
    assert refusals.challenge("invalid_token") == 'Bearer realm="here", error="invalid_token"'


@pytest.mark.parametrize(
    ("error", "status", "challenge", "told"),
    [
        (NoToken("Unauthorized"), 401, "Bearer", "unauthorized"),
        (
            SeveralTokens("Multiple tokens provided"),
            400,
            'Bearer error="invalid_request", error_description="Multiple tokens provided"',
            "invalid_request",
        ),
        (
            UnreadableToken('Bad "token"'),
            401,
            'Bearer error="invalid_token", error_description="Bad \'token\'"',
            "invalid_token",
        ),
        (
            NotInScope("Insufficient scope"),
            403,
            'Bearer error="insufficient_scope", error_description="Insufficient scope", scope="a"',
            "insufficient_scope",
        ),
    ],
)
def test_as_rfc_6750_says_it(error, status, challenge, told):
    response = BearerRefusals("rfc6750", scopes=("a",)).of(error).response
    assert response.status == status
    assert response.headers.get(b"www-authenticate") == challenge.encode()
    assert json.loads(response.body) == {"error": told, "error_description": str(error)}


def test_nobody_can_tell():
    refusal = keys_unavailable(KeysUnavailable("https://a: refused"))
    assert refusal.response.status == 503
    assert refusal.response.headers.has(b"retry-after")
    assert b"https" not in refusal.response.body
