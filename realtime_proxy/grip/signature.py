"""`Grip-Sig`: tokens that tell a backend, or a proxy behind us, who is asking.

A token is a compact JWS of the claims `iss` and `exp` (RFC 7515, RFC 7519). HS256, the usual
choice, is made with the standard library: PyJWT brings `cryptography` along, 20 MB that a worker
does without until a configuration names a PEM key.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Any, Self

import attrs
import msgspec

from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.grip.json_text import NotJsonError, decode_json

LIFETIME_SECONDS = 3600

# Of verified tokens, per upstream key. A proxy in front of us makes one a second.
_MAX_REMEMBERED = 1000
# Far above what anybody signs with; a longer one isn't worth the hashing.
_MAX_TOKEN_BYTES = 8192

_TOKEN = re.compile(rb"(([\w-]+)\.([\w-]+))\.([\w-]+)")
_PEM_KEY = re.compile(rb"-----BEGIN ([A-Z ]*)KEY-----")


@attrs.frozen
class SigningKey:
    """A key and the one algorithm it is used with, so that no token chooses another.

    `sign` is None for a public key, which can only check.
    """

    algorithm: str
    sign: Callable[[bytes], bytes] | None = attrs.field(repr=False)
    is_signed: Callable[[bytes, bytes], bool] = attrs.field(repr=False)

    @classmethod
    def from_secret(cls, secret: bytes) -> Self:
        """The key that a secret is: a PEM text is an EC or RSA key, all else is for HMAC.

        Raises ConfigError for a PEM text that is no usable key, and for an empty secret.
        """
        if not secret:
            raise _problem("the key is empty")
        if b"-----BEGIN " in secret:
            return cls(*_pem_algorithm(secret))
        return cls("HS256", lambda message: _hmac(secret, message), _hmac_check(secret))


def _problem(message: str) -> ConfigError:
    return ConfigError([Problem("", message)])


def _hmac(secret: bytes, message: bytes) -> bytes:
    return hmac.digest(secret, message, hashlib.sha256)


def _hmac_check(secret: bytes) -> Callable[[bytes, bytes], bool]:
    return lambda message, signature: hmac.compare_digest(_hmac(secret, message), signature)


def _pem_algorithm(
    pem: bytes,
) -> tuple[str, Callable[[bytes], bytes] | None, Callable[[bytes, bytes], bool]]:
    import jwt

    key, is_private = _load_pem(pem)
    name = _algorithm_name(key)
    algorithm: Any = jwt.PyJWS().get_algorithm_by_name(name)
    public = key.public_key() if is_private else key
    return (
        name,
        (lambda message: algorithm.sign(message, key)) if is_private else None,
        lambda message, signature: algorithm.verify(message, public, signature),
    )


def _load_pem(pem: bytes) -> tuple[Any, bool]:
    """The key in a PEM text, and whether it is a private one."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    block = _PEM_KEY.search(pem)
    if block is None:
        raise _problem("the PEM text has no key")
    is_private = block[1].endswith(b"PRIVATE ")
    try:
        if is_private:  # what stands before it, EC parameters for one, is not read
            return serialization.load_pem_private_key(pem[block.start() :], password=None), True
        return serialization.load_pem_public_key(pem[block.start() :]), False
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _problem(f"the PEM key can't be read: {error}") from error


def _algorithm_name(key: Any) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        if isinstance(key.curve, ec.SECP256R1):
            return "ES256"
        raise _problem(f"EC keys must be on the curve P-256, this one is on {key.curve.name}")
    raise _problem("the PEM key is neither an RSA nor an EC key")


class Signer:
    """Makes the `Grip-Sig` of one issuer and key, at most once a second."""

    def __init__(self, issuer: str, key: SigningKey) -> None:
        if key.sign is None:
            raise _problem("a public key can't sign; give the private one")
        self._issuer = issuer
        self._sign = key.sign
        self._header = _encode({"typ": "JWT", "alg": key.algorithm})
        self._second = -1
        self._token = b""

    def token(self, now: float) -> bytes:
        """A token that holds for an hour from now, in seconds since 1970."""
        second = int(now)
        if second != self._second:
            claims = {"iss": self._issuer, "exp": second + LIFETIME_SECONDS}
            message = self._header + b"." + _encode(claims)
            self._token = message + b"." + _base64url(self._sign(message))
            self._second = second
        return self._token


class Verifier:
    """Tells tokens that were signed with one key and are still good from all others."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self._expires_at: dict[bytes, float] = {}

    def verify(self, token: bytes, now: float) -> bool:
        """True if the signature fits and `exp` is after now, in seconds since 1970.

        `nbf`, `iat` and `iss` are not looked at; a token for an audience is not for us.
        """
        expires_at = self._expires_at.get(token)
        if expires_at is None:
            expires_at = self._expiry(token)
            if expires_at > now:
                self._remember(token, expires_at)
        elif expires_at <= now:
            del self._expires_at[token]
        return expires_at > now

    def _remember(self, token: bytes, expires_at: float) -> None:
        if len(self._expires_at) >= _MAX_REMEMBERED:
            del self._expires_at[next(iter(self._expires_at))]
        self._expires_at[token] = expires_at

    def _expiry(self, token: bytes) -> float:
        """When the token ends; 0, which is always past, if it isn't a good one."""
        match = _TOKEN.fullmatch(token) if len(token) <= _MAX_TOKEN_BYTES else None
        if match is None:
            return 0
        message, *parts = match.groups()
        try:
            raw_header, raw_claims, signature = map(_from_base64url, parts)
            header, claims = decode_json(raw_header), decode_json(raw_claims)
        except (binascii.Error, NotJsonError):
            return 0
        if not self._is_ours(header) or not self._key.is_signed(message, signature):
            return 0
        return _expiry_of(claims)

    def _is_ours(self, header: Any) -> bool:
        # `crit` names extensions that must be understood (RFC 7515 4.1.11): we have none.
        return (
            isinstance(header, dict)
            and header.get("alg") == self._key.algorithm
            and "crit" not in header
        )


def _expiry_of(claims: Any) -> float:
    if not isinstance(claims, dict) or "aud" in claims:
        return 0
    expires_at = claims.get("exp")
    if isinstance(expires_at, bool) or not isinstance(expires_at, int | float):
        return 0
    return expires_at


def _encode(value: dict[str, Any]) -> bytes:
    return _base64url(msgspec.json.encode(value))


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _from_base64url(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
