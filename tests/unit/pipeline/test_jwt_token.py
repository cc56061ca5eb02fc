"""Tokens taken apart: what is none is told by what is wrong, and nothing of it is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.pipeline.jwt_token import MAX_TOKEN_BYTES, BadToken, JwtToken
from realtime_proxy.testing.tokens import encoded, hs_token


def test_the_parts_of_a_token():
    text = hs_token({"iss": "a", "n": 1}, kid="k-1")
    token = JwtToken.parse(text)
    assert (token.algorithm, token.kid, token.claims) == ("HS256", "k-1", {"iss": "a", "n": 1})
    assert token.message == text.rpartition(b".")[0]
    assert len(token.signature) == 32
    assert "supersecret" not in repr(token)


def test_a_token_of_no_named_key():
    assert JwtToken.parse(hs_token({})).kid is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "not three parts"),
        (b"a.b", "not three parts"),
        (b"a.b.c.d", "not three parts"),
        (b"a.b.c d", "not three parts"),
        (hs_token({}) + b"a" * MAX_TOKEN_BYTES, "not three parts"),
        (b"aaaaa.b.c", "invalid base64url"),
        (encoded(b"{") + b"." + encoded({}) + b".", "invalid JSON"),
        (encoded({"alg": "HS256"}) + b"." + encoded(b"[]") + b".a0", "invalid JSON"),
        (encoded([]) + b"." + encoded({}) + b".", "invalid JSON"),
        (hs_token({}, typ="DPoP+proof"), "invalid typ"),
        (hs_token({}, typ=1), "invalid typ"),
        (encoded({}) + b"." + encoded({}) + b".", "invalid alg"),
        (encoded({"alg": None}) + b"." + encoded({}) + b".", "invalid alg"),
        (hs_token({}, crit=["b64"]), "unknown crit"),
    ],
)
def test_what_is_no_token(text, why):
    with pytest.raises(BadToken, match=why):
        JwtToken.parse(text)


@pytest.mark.parametrize("kind", ["JWT", "at+jwt", "jwt"])
def test_types_of_tokens(kind):
    assert JwtToken.parse(hs_token({}, typ=kind)).algorithm == "HS256"


@given(st.binary(max_size=200) | st.from_regex(rb"[\w-]{1,40}\.[\w-]{1,40}\.[\w-]{0,40}"))
def test_any_text_is_parsed_or_refused(text):
    try:
        JwtToken.parse(text)
    except BadToken:
        return
