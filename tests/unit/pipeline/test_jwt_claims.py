"""Claims: times, audience, and where they are."""

import math

import pytest

from realtime_proxy.pipeline.jwt_claims import ClaimRules, claim_at, scopes_of, texts_of

NOW = 1_000.0


@pytest.mark.parametrize(
    ("claims", "errors"),
    [
        ({}, {}),
        ({"exp": 1_001}, {}),
        ({"exp": 1_000}, {"exp": "token expired"}),
        ({"exp": 1_000.5, "nbf": 1_000}, {}),
        ({"nbf": 1_001}, {"nbf": "token not valid yet"}),
        ({"exp": "2000"}, {"exp": "must be a number"}),
        ({"exp": True}, {"exp": "must be a number"}),
        ({"exp": None}, {"exp": "must be a number"}),
        ({"exp": math.inf}, {"exp": "must be a number"}),
        ({"exp": 1, "nbf": 2_000}, {"exp": "token expired", "nbf": "token not valid yet"}),
    ],
)
def test_times(claims, errors):
    assert ClaimRules().errors(claims, ("*",), NOW) == errors


def test_clocks_may_be_apart():
    rules = ClaimRules(leeway_seconds=5)
    assert rules.errors({"exp": 996, "nbf": 1_005}, ("*",), NOW) == {}
    assert list(rules.errors({"exp": 995, "nbf": 1_006}, ("*",), NOW)) == ["exp", "nbf"]
    assert rules.ends_at({"exp": 996}) == 1_001
    assert rules.ends_at({}) is None


def test_times_that_must_be_there():
    rules = ClaimRules(must_have=("exp",))
    assert rules.errors({}, ("*",), NOW) == {"exp": "must be a number"}
    longest = ClaimRules(maximum_expiration=60)
    assert longest.errors({"exp": 1_060}, ("*",), NOW) == {}
    too_long = {"exp": "exceeds maximum allowed expiration"}
    assert longest.errors({"exp": 1_061}, ("*",), NOW) == too_long
    assert longest.errors({}, ("*",), NOW) == too_long


@pytest.mark.parametrize(
    ("aud", "good"),
    [("api", True), (["x", "api"], True), ("api2", False), ([], False), (None, False), (1, False)],
)
def test_audiences(aud, good):
    claims = {} if aud is None else {"aud": aud}
    assert not ClaimRules().errors(claims, ("*",), NOW)
    wanted = {} if good else {"aud": "not for this audience"}
    assert ClaimRules().errors(claims, ("api", "other"), NOW) == wanted


def test_where_claims_are():
    claims = {"a": {"b": [1]}, "https://x/c.d": "e", "scope": "r w", "scp": ["z"]}
    assert claim_at(claims, "a.b") == [1]
    assert claim_at(claims, "https://x/c.d") == "e"
    assert claim_at(claims, "a.b.c") is None
    assert claim_at(claims, "nope") is None
    assert scopes_of(claims) == ("r", "w")
    assert scopes_of({"scp": ["z", 1]}) == ("z",)
    assert scopes_of({}) == ()
    assert texts_of("a") == ("a",)
    assert texts_of({"a": 1}) == ()
