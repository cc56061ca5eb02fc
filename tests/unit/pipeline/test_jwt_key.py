"""Keys: each checks what was signed with its other half, in the ways that it is for, no other."""

import base64

import pytest

from realtime_proxy.pipeline.jwt_key import ALGORITHMS, BadKey, JwtKey, secret_of_base64
from realtime_proxy.pipeline.jwt_token import JwtToken
from realtime_proxy.testing.tokens import hs_token, jwk, public_pem, signed

# The text on Kong and Auth0 prints this token. It was made with the box "secret base64 encoded"
# ticked: the key is what `supersecret` is in base64.
PRINTED = (
    b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJhZG9rZXkiLCJuYW1lIjoiYWRvIn0"
    b".t86wrSIeBCBSRsJhsR6qRNPoiZo_dE5D_ZDMazL-o6M"
)


def checks(key, text, algorithm=None):
    token = JwtToken.parse(text)
    return key.is_signed(algorithm or token.algorithm, token.message, token.signature)


def test_the_printed_token_is_signed_with_the_decoded_secret_only():
    decoded = JwtKey.from_secret(secret_of_base64(b"supersecret"), ["HS256"])
    assert checks(decoded, PRINTED)
    assert not checks(JwtKey.from_secret(b"supersecret", ["HS256"]), PRINTED)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_secrets(algorithm):
    key = JwtKey.from_secret(b"supersecret", ALGORITHMS)
    assert checks(key, hs_token({}, algorithm=algorithm))
    assert not checks(key, hs_token({}, b"another", algorithm=algorithm))
    other = JwtKey.from_secret(b"supersecret", [name for name in ALGORITHMS if name != algorithm])
    assert not checks(other, hs_token({}, algorithm=algorithm))


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        *(("RSA", f"{family}{size}") for family in ("RS", "PS") for size in (256, 384, 512)),
        ("P-256", "ES256"),
        ("P-384", "ES384"),
        ("ed25519", "EdDSA"),
    ],
)
def test_public_keys(kind, algorithm):
    text = signed({"a": 1}, kind, algorithm)
    for key in (
        JwtKey.from_pem(public_pem(kind), ALGORITHMS),
        JwtKey.from_jwk(jwk(kind), ALGORITHMS),
    ):
        assert checks(key, text)
        assert not checks(key, text[:-8] + b"AAAAAAAA")
        for other in ALGORITHMS:
            assert other == algorithm or not checks(key, text, other)
    pinned = [name for name in ALGORITHMS if name != algorithm]
    try:
        assert not checks(JwtKey.from_pem(public_pem(kind), pinned), text)
    except BadKey:
        assert not kind.startswith("RSA")


def test_a_public_key_is_no_secret():
    with pytest.raises(BadKey, match="no secret"):
        JwtKey.from_secret(public_pem(), ["HS256"])
    # The attack this is about: a token signed with what everybody knows.
    forged = hs_token({}, public_pem())
    assert not checks(JwtKey.from_pem(public_pem(), ALGORITHMS), forged)


def test_nothing_signs_as_none():
    text = hs_token({}, algorithm="none").rpartition(b".")[0] + b"."
    assert not checks(JwtKey.from_secret(b"supersecret", ALGORITHMS), text)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: JwtKey.from_secret(b"a", ["RS256"]), "fits none"),
        (lambda: JwtKey.from_pem(b"a", ["RS256"]), "no PEM"),
        (lambda: JwtKey.from_pem(public_pem("P-256"), ["ES384", "RS256"]), "fits none"),
        (lambda: JwtKey.from_jwk({"kty": "oct", "k": "AAAA"}, ["HS256"]), "no public key"),
        (lambda: JwtKey.from_jwk([], ["RS256"]), "no public key"),
        (lambda: JwtKey.from_jwk({"kty": "RSA"}, ["RS256"]), "can't be read"),
        (lambda: JwtKey.from_jwk({"kty": "EC", "crv": "P-256", "x": 1}, ["ES256"]), "read"),
        (lambda: JwtKey.from_jwk(jwk(use="enc"), ["RS256"]), "not for signatures"),
        (lambda: JwtKey.from_jwk(jwk(key_ops=["sign"]), ["RS256"]), "not for signatures"),
        (lambda: JwtKey.from_jwk(jwk(alg="RS512"), ["RS256"]), "fits none"),
    ],
)
def test_keys_that_can_not_be_used(made, why):
    with pytest.raises(BadKey, match=why):
        made()


def test_base64_of_either_alphabet_padded_or_not():
    secret = b"\xfb\xff\xfe!"
    for text in (base64.b64encode(secret), base64.urlsafe_b64encode(secret)):
        assert secret_of_base64(text) == secret_of_base64(text.rstrip(b"=")) == secret
    for wrong in (b"a b", b"a", b"a=a"):
        with pytest.raises(BadKey):
            secret_of_base64(wrong)
