"""Keys that tokens of our own are signed with, and what of them is published (RFC 7517)."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any, Self

import attrs
import msgspec

from realtime_proxy.grip.json_text import NotJsonError, decode_json
from realtime_proxy.pipeline.jwt_key import (
    HMAC_HASHES,
    BadKey,
    fitting_algorithms,
    load_public_pem,
    secret_of_base64,
)

Sign = Callable[[bytes], bytes]

# Less is broken within reach, and RFC 7518 3.3 forbids it.
_MIN_RSA_BITS = 2048
# What a key's thumbprint is made of, by its kind (RFC 7638 3.2, RFC 8037 2).
_OF_THUMBPRINTS = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
_OF_RSA_THUMBPRINTS = ("e", "kty", "n")
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")


@attrs.frozen
class JwtSigner:
    """A key with its one algorithm.

    `public` is its public half as a key set has it; None for HMAC, whose key is never published.
    A key that is public alone signs nothing: it is there for tokens that it has signed before.
    """

    kid: str
    algorithm: str
    public: Mapping[str, Any] | None
    _sign: Sign | None = attrs.field(repr=False)
    _header: bytes = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        header = {"alg": self.algorithm, "typ": "JWT"} | ({"kid": self.kid} if self.kid else {})
        object.__setattr__(self, "_header", _encoded(header))

    @property
    def can_sign(self) -> bool:
        """False for a public key."""
        return self._sign is not None

    def token(self, claims: Mapping[str, Any]) -> bytes:
        """A token that says this (RFC 7519)."""
        if self._sign is None:
            raise ValueError("a public key can't sign")
        message = self._header + b"." + _encoded(claims)
        return message + b"." + _base64url(self._sign(message))

    @classmethod
    def from_secret(cls, secret: bytes, kid: str, algorithm: str) -> Self:
        """A key for HS256, HS384 or HS512. Raises BadKey."""
        if b"-----BEGIN " in secret:
            raise BadKey("is a PEM text, which is no secret for HMAC")
        digest = HMAC_HASHES[algorithm]
        if len(secret) < digest().digest_size:  # RFC 7518 3.2
            raise BadKey(f"is too short: {algorithm} needs {digest().digest_size} bytes")
        return cls(kid, algorithm, None, lambda text: hmac.digest(secret, text, digest))

    @classmethod
    def from_pem(cls, pem: bytes, kid: str = "", algorithm: str = "") -> Self:
        """A private key; or a public one, or a certificate, that is only published.

        Without an algorithm it is the first of the key's kind, without a name the key's thumbprint
        (RFC 7638). Raises BadKey.
        """
        if (block := _PRIVATE_KEY.search(pem)) is not None:
            # What stands before it, EC parameters or a certificate, is not read.
            private = _load_private_pem(pem[block.start() :])
            return cls._made(private.public_key(), private, kid, algorithm)
        try:
            public = load_public_pem(pem)
        except BadKey as error:  # a private one would do, too
            raise BadKey("is no PEM text of a key or certificate") from error
        return cls._made(public, None, kid, algorithm)

    @classmethod
    def from_jwk(cls, jwk: Any) -> Self:
        """A key of a key set. Raises BadKey."""
        import jwt

        if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
            raise BadKey("is not for signatures")
        kid, algorithm = str(jwk.get("kid", "")), str(jwk.get("alg", ""))
        if jwk.get("kty") == "oct":
            if algorithm not in HMAC_HASHES:
                raise BadKey("needs an `alg`: HS256, HS384 or HS512")
            return cls.from_secret(secret_of_base64(str(jwk.get("k", "")).encode()), kid, algorithm)
        try:
            key = jwt.PyJWK.from_dict(jwk).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadKey("can't be read") from error  # what it says of the key may be secret
        if "d" in jwk:
            return cls._made(key.public_key(), key, kid, algorithm)
        return cls._made(key, None, kid, algorithm)

    @classmethod
    def _made(cls, public: Any, private: Any, kid: str, algorithm: str) -> Self:
        import jwt

        fitting = fitting_algorithms(public)
        if not fitting:
            raise BadKey("is of a kind that signs no tokens")
        if algorithm and algorithm not in fitting:
            raise BadKey(f"is not for {algorithm}; accepted: {', '.join(fitting)}")
        if fitting[0].startswith("RS") and public.key_size < _MIN_RSA_BITS:
            raise BadKey(f"is too short: RSA needs {_MIN_RSA_BITS} bits")
        algorithm = algorithm or fitting[0]
        maker: Any = jwt.PyJWS().get_algorithm_by_name(algorithm)
        jwk = maker.to_jwk(public, as_dict=True)
        jwk.pop("key_ops", None)  # `use` says it (RFC 7517 4.3)
        kid = kid or _thumbprint(jwk)
        sign = None if private is None else lambda text: bytes(maker.sign(text, private))
        return cls(kid, algorithm, {**jwk, "kid": kid, "alg": algorithm, "use": "sig"}, sign)


def signers_of(text: bytes) -> tuple[JwtSigner, ...]:
    """Those of a key set as JSON. Raises BadKey, with the place of the key."""
    try:
        document: Any = decode_json(text)
    except NotJsonError as error:
        raise BadKey("is no JSON") from error
    written = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(written, list):
        raise BadKey("has no list `keys`")
    signers = []
    for i, jwk in enumerate(written):
        try:
            signers.append(JwtSigner.from_jwk(jwk))
        except BadKey as error:
            raise BadKey(f"keys[{i}] {error}") from error
    return tuple(signers)


def _load_private_pem(pem: bytes) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise BadKey("is encrypted; give one without a password") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey("is no PEM text of a private key") from error


def _thumbprint(jwk: Mapping[str, Any]) -> str:
    members = _OF_THUMBPRINTS.get(jwk["kty"], _OF_RSA_THUMBPRINTS)
    text = msgspec.json.encode({name: jwk[name] for name in members})
    return _base64url(hashlib.sha256(text).digest()).decode()


def _encoded(value: Mapping[str, Any]) -> bytes:
    return _base64url(msgspec.json.encode(value))


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
