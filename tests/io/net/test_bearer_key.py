import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from realtime_proxy.errors import ConfigError
from realtime_proxy.model.headers import Headers
from realtime_proxy.net.bearer_key import BearerKey

SECRET = "a secret of more than thirty-two bytes"
PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def token(key=SECRET, algorithm="HS256", seconds=60):
    return jwt.encode({"iss": "me", "exp": int(time.time()) + seconds}, key, algorithm)


def admits(key, value):
    return key.admits(Headers([(b"Authorization", value.encode())] if value else []))


@pytest.fixture
def key(tmp_path):
    return BearerKey.of(SECRET, "a.key", tmp_path)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_the_key_itself_or_a_token_signed_with_it(key, scheme):
    assert admits(key, f"{scheme} {SECRET}")
    assert admits(key, f"{scheme} {token()}")


@pytest.mark.parametrize(
    "value",
    [
        "",
        SECRET,
        "Bearer",
        "Bearer ",
        f"Basic {SECRET}",
        f"Bearer {SECRET[:-1]}",
        f"Bearer {token('another secret of thirty-two bytes')}",
        f"Bearer {token(seconds=-60)}",
    ],
)
def test_everything_else(key, value):
    assert not admits(key, value)


def test_a_public_key_is_for_tokens_alone(tmp_path):
    (tmp_path / "key.pem").write_bytes(PUBLIC)
    key = BearerKey.of("file:key.pem", "a.key", tmp_path)
    assert admits(key, f"Bearer {token(PRIVATE, 'ES256')}")
    assert not admits(key, f"Bearer {token()}")
    assert not admits(key, "Bearer " + PUBLIC.decode().replace("\n", " "))


def test_none_is_none(tmp_path):
    assert BearerKey.of("", "a.key", tmp_path) is None


def test_a_key_that_can_not_be_used_is_named(tmp_path):
    (tmp_path / "key.pem").write_text("-----BEGIN PUBLIC KEY-----\nnone\n")
    with pytest.raises(ConfigError) as caught:
        BearerKey.of("file:key.pem", "a.key", tmp_path)
    assert [problem.key_path for problem in caught.value.problems] == ["a.key"]
