"""Grip-Sig, checked against PyJWT: tokens made, tokens trusted, tokens refused."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from realtime_proxy.errors import ConfigError
from realtime_proxy.grip import signature
from realtime_proxy.grip.signature import Signer, SigningKey, Verifier

SECRET = b"a secret that is long enough for every algorithm there is"
NOW = 1_700_000_000.7
CHECK_SIGNATURE_ONLY = {"verify_exp": False}


def private_pem(key, form=serialization.PrivateFormat.PKCS8, password=None):
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, form, encryption)


def public_pem(key, form=serialization.PublicFormat.SubjectPublicKeyInfo):
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL
PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"

PAIRS = {
    "HS256": (SECRET, SECRET),
    "ES256": (private_pem(EC), public_pem(EC)),
    "RS256": (private_pem(RSA), public_pem(RSA)),
}


def make(claims, secret=SECRET, algorithm="HS256", headers=None):
    return jwt.encode(claims, secret, algorithm=algorithm, headers=headers).encode()


def by_hand(header, claims, secret=SECRET):
    """A token signed with HMAC whatever its parts are."""
    parts = [header, claims]
    texts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in parts]
    message = b".".join(base64.urlsafe_b64encode(text).rstrip(b"=") for text in texts)
    digest = hmac.digest(secret, message, hashlib.sha256)
    return message + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")


def verifier(secret=SECRET):
    return Verifier(SigningKey.from_secret(secret))


# -- making ------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", list(PAIRS))
def test_a_token_is_what_other_libraries_expect(algorithm):
    secret, public = PAIRS[algorithm]
    token = Signer("me", SigningKey.from_secret(secret)).token(NOW)
    claims = jwt.decode(token, public, algorithms=[algorithm], options=CHECK_SIGNATURE_ONLY)
    assert claims == {"iss": "me", "exp": 1_700_003_600}
    assert jwt.get_unverified_header(token) == {"typ": "JWT", "alg": algorithm}


@pytest.mark.parametrize("algorithm", list(PAIRS))
def test_ours_verifies_ours(algorithm):
    secret, public = PAIRS[algorithm]
    token = Signer("me", SigningKey.from_secret(secret)).token(NOW)
    assert verifier(public).verify(token, NOW)
    assert verifier(secret).verify(token, NOW)


def test_one_token_per_second():
    signer = Signer("me", SigningKey.from_secret(PAIRS["ES256"][0]))
    first = signer.token(NOW)
    assert signer.token(NOW + 0.2) is first
    assert signer.token(NOW + 0.4) != first
    assert signer.token(NOW - 5) != first


def test_a_short_secret_signs_without_a_warning():
    token = Signer("me", SigningKey.from_secret(b"changeme")).token(NOW)
    assert verifier(b"changeme").verify(token, NOW)


def test_hmac_needs_no_pyjwt():
    program = (
        "import sys; from realtime_proxy.grip.signature import *; "
        "Signer('i', SigningKey.from_secret(b's')).token(1); "
        "print('jwt' in sys.modules, 'cryptography' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert out.stdout == b"False False\n"


def test_a_public_key_can_not_sign():
    with pytest.raises(ConfigError, match="public"):
        Signer("me", SigningKey.from_secret(PAIRS["ES256"][1]))


# -- keys --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "algorithm"),
    [
        (b"x", "HS256"),
        (bytes(range(256)), "HS256"),
        (private_pem(EC, TRADITIONAL), "ES256"),
        (PARAMETERS + private_pem(EC, TRADITIONAL), "ES256"),
        (b"\n" + private_pem(EC), "ES256"),
        (private_pem(RSA, TRADITIONAL), "RS256"),
        (public_pem(RSA, serialization.PublicFormat.PKCS1), "RS256"),
    ],
)
def test_the_key_chooses_the_algorithm(secret, algorithm):
    assert SigningKey.from_secret(secret).algorithm == algorithm


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        (b"", "empty"),
        (b"-----BEGIN CERTIFICATE-----\n", "no key"),
        (b"-----BEGIN PRIVATE KEY-----\nrubbish", "can't be read"),
        (b"-----BEGIN PUBLIC KEY-----\nrubbish", "can't be read"),
        (private_pem(EC, password=b"p"), "can't be read"),
        (private_pem(ec.generate_private_key(ec.SECP384R1())), "P-256"),
        (private_pem(ed25519.Ed25519PrivateKey.generate()), "neither"),
    ],
)
def test_keys_that_are_refused(secret, problem):
    with pytest.raises(ConfigError, match=problem):
        SigningKey.from_secret(secret)


def test_a_key_does_not_print_its_secret():
    assert "changeme" not in repr(SigningKey.from_secret(b"changeme"))


# -- checking ----------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", list(PAIRS))
def test_tokens_of_others_are_trusted(algorithm):
    secret, public = PAIRS[algorithm]
    token = make({"iss": "anybody", "exp": int(NOW) + 1}, secret, algorithm)
    assert verifier(public).verify(token, NOW)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW + 0.1},
        {"exp": int(NOW) + 1, "nbf": int(NOW) + 1000, "iat": int(NOW) + 1000},
        {"exp": 1e300, "sub": "x", "more": [1]},
    ],
)
def test_claims_that_do_not_matter(claims):
    assert verifier().verify(make(claims), NOW)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"exp": NOW},
        {"exp": 0},
        {"exp": -1},
        {"exp": int(NOW) + 10, "aud": "us"},
        {"exp": int(NOW) + 10, "aud": None},
        {"exp": str(int(NOW) + 10)},
        {"exp": None},
        {"exp": True},
        {"exp": [int(NOW) + 10]},
        [{"exp": int(NOW) + 10}],
        b"no json",
        b"\xff",
    ],
)
def test_claims_that_are_refused(claims):
    assert not verifier().verify(by_hand({"alg": "HS256"}, claims), NOW)


def test_a_token_ends():
    one = verifier()
    token = make({"exp": int(NOW) + 1})
    assert one.verify(token, NOW)
    assert not one.verify(token, NOW + 1)
    assert not one._expires_at
    assert not one.verify(token, NOW + 1)


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"x",
        b"a.b.c",
        b"..",
        b"a" * 10_000,
        make({"exp": int(NOW) + 10}) + b"x",
        make({"exp": int(NOW) + 10}) + b"=",
        make({"exp": int(NOW) + 10}) + b".x",
        make({"exp": int(NOW) + 10})[:-2],
        make({"exp": int(NOW) + 10}).rpartition(b".")[0] + b".",
        make({"exp": int(NOW) + 10}).replace(b".", b"..", 1),
        make({"exp": int(NOW) + 10}, b"some other key that is long enough too"),
        make({"exp": int(NOW) + 10, "pad": "x" * 9000}),
        jwt.encode({"exp": int(NOW) + 10}, None, algorithm="none").encode(),
        make({"exp": int(NOW) + 10}, algorithm="HS384"),
        by_hand({"alg": "none"}, {"exp": int(NOW) + 10}),
        by_hand({}, {"exp": int(NOW) + 10}),
        by_hand(["HS256"], {"exp": int(NOW) + 10}),
        by_hand({"alg": "HS256", "crit": ["b64"], "b64": False}, {"exp": int(NOW) + 10}),
    ],
)
def test_tokens_that_are_refused(token):
    assert not verifier().verify(token, NOW)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_public_key_is_never_a_secret(algorithm):
    """The classic confusion: HS256 keyed with the text of the public key."""
    public = PAIRS[algorithm][1]
    token = by_hand({"alg": "HS256"}, {"exp": int(NOW) + 10}, public)
    assert not verifier(public).verify(token, NOW)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 256])
def test_signatures_of_any_length_are_only_wrong(algorithm, length):
    secret, public = PAIRS[algorithm]
    token = make({"exp": int(NOW) + 10}, secret, algorithm)
    forged = base64.urlsafe_b64encode(bytes(length)).rstrip(b"=")
    assert not verifier(public).verify(token.rpartition(b".")[0] + b"." + forged, NOW)


def test_a_verified_token_is_not_computed_again(monkeypatch):
    one = verifier()
    token = make({"exp": int(NOW) + 10})
    assert one.verify(token, NOW)
    monkeypatch.setattr(Verifier, "_expiry", lambda *_: pytest.fail("computed again"))
    assert one.verify(token, NOW + 5)


def test_only_so_many_tokens_are_remembered(monkeypatch):
    monkeypatch.setattr(signature, "_MAX_REMEMBERED", 3)
    one = verifier()
    tokens = [make({"exp": int(NOW) + 10, "n": n}) for n in range(5)]
    assert all(one.verify(token, NOW) for token in tokens)
    assert list(one._expires_at) == tokens[2:]


def test_bad_tokens_are_not_remembered():
    one = verifier()
    assert not one.verify(make({"exp": int(NOW) - 10}), NOW)
    assert not one.verify(b"a.b.c", NOW)
    assert not one._expires_at
