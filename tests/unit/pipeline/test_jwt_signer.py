"""Keys that sign, in every form they are given in: their tokens, and what is published of them."""

import json

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519

from realtime_proxy.pipeline.jwt_key import BadKey, JwtKey
from realtime_proxy.pipeline.jwt_signer import JwtSigner, signers_of
from realtime_proxy.pipeline.jwt_token import JwtToken
from realtime_proxy.testing.tokens import encoded, private_jwk, private_key, private_pem, public_pem

SECRET = b"a secret of thirty-two bytes or more"
KINDS = [("RSA", "RS256"), ("P-256", "ES256"), ("P-384", "ES384"), ("ed25519", "EdDSA")]
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def is_signed_by(token, jwk):
    parsed = JwtToken.parse(token)
    key = JwtKey.from_jwk(jwk, [parsed.algorithm])
    assert parsed.kid == jwk["kid"]
    return key.is_signed(parsed.algorithm, parsed.message, parsed.signature)


@pytest.mark.parametrize(("kind", "algorithm"), KINDS)
def test_tokens_are_good_by_what_is_published(kind, algorithm):
    by_pem = JwtSigner.from_pem(private_pem(kind), "a")
    by_jwk = JwtSigner.from_jwk(private_jwk(kind, kid="a"))
    for signer in (by_pem, by_jwk):
        assert signer.algorithm == algorithm
        assert signer.public == {**by_pem.public, "kid": "a", "alg": algorithm, "use": "sig"}
        assert PRIVATE_MEMBERS.isdisjoint(signer.public)
        token = signer.token({"sub": "ü"})
        assert is_signed_by(token, signer.public)
        assert jwt.decode(token, public_pem(kind), [algorithm]) == {"sub": "ü"}
        assert "key_ops" not in signer.public


def test_other_algorithms_of_the_same_key():
    signer = JwtSigner.from_pem(private_pem("RSA"), algorithm="PS384")
    assert signer.public["alg"] == "PS384"
    assert is_signed_by(signer.token({}), signer.public)


def test_a_key_without_a_name_is_called_by_its_thumbprint():
    jwk = {  # RFC 7638 3.1
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6t"
        "Soc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGj"
        "QR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFT"
        "WhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
    }
    assert JwtSigner.from_jwk(jwk).kid == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    for kind, _ in KINDS:
        signer = JwtSigner.from_pem(private_pem(kind))
        assert signer.kid == JwtSigner.from_pem(public_pem(kind)).kid == signer.public["kid"]
        assert len(signer.kid) == 43


@pytest.mark.parametrize(
    "signer",
    [
        JwtSigner.from_pem(public_pem(), "old"),
        JwtSigner.from_jwk({**JwtSigner.from_pem(public_pem()).public, "kid": "old"}),
    ],
)
def test_a_public_key_is_only_published(signer):
    assert not signer.can_sign
    assert signer.public["kid"] == "old"
    with pytest.raises(ValueError, match="public"):
        signer.token({})


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_secret_is_never_published(algorithm):
    secret = SECRET * 2
    for signer in (
        JwtSigner.from_secret(secret, "a", algorithm),
        JwtSigner.from_jwk(
            {"kty": "oct", "kid": "a", "alg": algorithm, "k": encoded(secret).decode()}
        ),
    ):
        assert signer.public is None
        assert jwt.decode(signer.token({"a": 1}), secret, [algorithm]) == {"a": 1}
        assert secret.decode() not in repr(signer)
    assert "kid" not in jwt.get_unverified_header(
        JwtSigner.from_secret(secret, "", algorithm).token({})
    )


def test_what_stands_before_the_key_in_its_file():
    pem = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    signer = JwtSigner.from_pem(pem + private_pem("P-256"))
    assert signer.can_sign
    assert JwtSigner.from_pem(public_pem("RSA") + private_pem("RSA")).can_sign


def pem_of(key, encryption=None):
    encryption = encryption or serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, encryption)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: JwtSigner.from_pem(b"a"), "is no PEM text of a key or certificate"),
        (lambda: JwtSigner.from_pem(b"-----BEGIN PRIVATE KEY-----\na"), "is no PEM text"),
        (
            lambda: JwtSigner.from_pem(
                pem_of(private_key("P-256"), serialization.BestAvailableEncryption(b"a"))
            ),
            "is encrypted",
        ),
        (lambda: JwtSigner.from_pem(pem_of(rsa.generate_private_key(65537, 1024))), "too short"),
        (
            lambda: JwtSigner.from_pem(pem_of(ec.generate_private_key(ec.SECP192R1()))),
            "of a kind that signs no tokens",
        ),
        (lambda: JwtSigner.from_pem(pem_of(x25519.X25519PrivateKey.generate())), "of a kind"),
        (lambda: JwtSigner.from_pem(private_pem("P-256"), algorithm="RS256"), "is not for RS256"),
        (lambda: JwtSigner.from_secret(b"short", "", "HS256"), "too short: HS256 needs 32"),
        (lambda: JwtSigner.from_secret(SECRET, "", "HS512"), "too short: HS512 needs 64"),
        (lambda: JwtSigner.from_secret(public_pem(), "", "HS256"), "is a PEM text"),
        (lambda: JwtSigner.from_jwk("a"), "is not for signatures"),
        (lambda: JwtSigner.from_jwk({"kty": "RSA", "use": "enc"}), "is not for signatures"),
        (lambda: JwtSigner.from_jwk({"kty": "RSA", "d": "secret"}), "can't be read$"),
        (lambda: JwtSigner.from_jwk({"kty": "a"}), "can't be read$"),
        (lambda: JwtSigner.from_jwk({"kty": "oct", "k": "a"}), "needs an `alg`"),
        (lambda: JwtSigner.from_jwk({"kty": "oct", "k": "?", "alg": "HS256"}), "no base64"),
        (lambda: JwtSigner.from_jwk({**private_jwk("P-256"), "alg": "ES384"}), "is not for ES384"),
    ],
)
def test_keys_that_can_not_be(make, problem):
    with pytest.raises(BadKey, match=problem) as caught:
        make()
    assert "secret" not in str(caught.value) or "is no secret" in str(caught.value)


def test_a_key_set_has_them_in_its_order():
    text = json.dumps({"keys": [private_jwk("P-256", kid="a"), private_jwk("RSA", kid="b")]})
    assert [signer.kid for signer in signers_of(text.encode())] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"a", "is no JSON"),
        (b"[]", "no list"),
        (b'{"keys": 1}', "no list"),
        (b'{"keys": [{"kty": "a"}]}', r"keys\[0\] can't be read"),
    ],
)
def test_key_sets_that_can_not_be(text, problem):
    with pytest.raises(BadKey, match=problem):
        signers_of(text)
