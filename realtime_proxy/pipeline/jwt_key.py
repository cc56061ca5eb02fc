"""Keys that tokens are checked with, each with the algorithms it may be used for.

A token says which algorithm it was signed with; which may be is said by the key's owner alone.
HMAC is made with the standard library: PyJWT brings `cryptography` along, 20 MB that a worker does
without until a key is of another kind.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from typing import Any, Self

import attrs

Check = Callable[[bytes, bytes], bool]

HMAC_HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
_CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ALGORITHMS = (*HMAC_HASHES, *_RSA, *_CURVES, "EdDSA")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]*={0,2}")


class BadKey(Exception):
    """A key that can't be used for what it should; the message says why."""


@attrs.frozen
class JwtKey:
    """A key: `kid` is its name in a key set, if it has one there."""

    kid: str | None
    _checks: dict[str, Check] = attrs.field(repr=False)

    @property
    def algorithms(self) -> frozenset[str]:
        """What it may be used for."""
        return frozenset(self._checks)

    def is_signed(self, algorithm: str, message: bytes, signature: bytes) -> bool:
        """True if the message was signed with the other half of this key, in this very way."""
        check = self._checks.get(algorithm)
        return check is not None and check(message, signature)

    @classmethod
    def from_secret(cls, secret: bytes, algorithms: Iterable[str]) -> Self:
        """A key for those of the algorithms that are HMAC's. Raises BadKey if none is."""
        if b"-----BEGIN " in secret:
            # Everybody knows a public key: as a secret it would sign for everybody.
            raise BadKey("is a PEM text, which is no secret for HMAC")
        names = [name for name in algorithms if name in HMAC_HASHES]
        return cls(None, _some({name: _hmac_check(secret, HMAC_HASHES[name]) for name in names}))

    @classmethod
    def from_pem(cls, pem: bytes, algorithms: Iterable[str]) -> Self:
        """A public key or certificate, for those of the algorithms that fit. Raises BadKey."""
        return cls(None, _some(_public_checks(load_public_pem(pem), algorithms)))

    @classmethod
    def from_jwk(cls, jwk: Any, algorithms: Iterable[str]) -> Self:
        """A public key of a key set (RFC 7517). Raises BadKey, for secrets too."""
        import jwt

        if not isinstance(jwk, dict) or jwk.get("kty") not in ("RSA", "EC", "OKP"):
            raise BadKey("is no public key")
        if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ("verify",)):
            raise BadKey("is not for signatures")
        allowed = [name for name in algorithms if jwk.get("alg", name) == name]
        public = {name: value for name, value in jwk.items() if name != "d"}
        try:
            key = jwt.PyJWK.from_dict(public).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadKey(f"can't be read: {error}") from error
        kid = jwk.get("kid")
        return cls(None if kid is None else str(kid), _some(_public_checks(key, allowed)))


def secret_of_base64(text: bytes) -> bytes:
    """A secret that is written in base64, of either alphabet, padded or not. Raises BadKey."""
    if not _BASE64.fullmatch(text):
        raise BadKey("is no base64")
    plain = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4))
    except binascii.Error as error:
        raise BadKey("is no base64") from error


def _some(checks: dict[str, Check]) -> dict[str, Check]:
    if not checks:
        raise BadKey("fits none of the algorithms")
    return checks


def _hmac_check(secret: bytes, digest: Callable[..., Any]) -> Check:
    def check(message: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(secret, message, digest), signature)

    return check


def load_public_pem(pem: bytes) -> Any:
    """The public key of a PEM text, or of a certificate. Raises BadKey."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from cryptography.x509 import load_pem_x509_certificate

    try:
        if b"-----BEGIN CERTIFICATE-----" in pem:
            return load_pem_x509_certificate(pem).public_key()
        return load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadKey("is no PEM text of a public key or certificate") from error


def _public_checks(key: Any, algorithms: Iterable[str]) -> dict[str, Check]:
    import jwt

    signatures = jwt.PyJWS()
    return {
        name: _public_check(signatures.get_algorithm_by_name(name), key)
        for name in algorithms
        if name in fitting_algorithms(key)
    }


def _public_check(algorithm: Any, key: Any) -> Check:
    return lambda message, signature: bool(algorithm.verify(message, key, signature))


def fitting_algorithms(key: Any) -> tuple[str, ...]:
    """The algorithms of a public key's kind; those of elliptic curves belong to one curve each."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    if isinstance(key, rsa.RSAPublicKey):
        return _RSA
    if isinstance(key, ec.EllipticCurvePublicKey):
        return tuple(name for name, curve in _CURVES.items() if curve == key.curve.name)
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return ("EdDSA",)
    return ()
