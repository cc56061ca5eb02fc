"""Tokens and keys for tests: of each kind one private key, made when it is first asked for."""

import base64
import hashlib
import hmac
import json
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

_HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
_ALGORITHMS = {"RSA": "RS256", "P-256": "ES256", "P-384": "ES384", "ed25519": "EdDSA"}


def encoded(value: Any) -> bytes:
    """A part of a token: bytes, or what JSON makes of a value."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def hs_token(
    claims: Any, secret: bytes = b"supersecret", algorithm: str = "HS256", **header: Any
) -> bytes:
    """A token signed with HMAC; what its header says need not be so."""
    message = encoded({"alg": algorithm, "typ": "JWT", **header}) + b"." + encoded(claims)
    signature = hmac.digest(secret, message, _HASHES.get(algorithm, hashlib.sha256))
    return message + b"." + encoded(signature)


@cache
def private_key(kind: str) -> Any:
    """The private key of a kind: `RSA`, `P-256`, `P-384`, `ed25519`."""
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1() if kind == "P-256" else ec.SECP384R1())


def signed(
    claims: dict[str, Any], kind: str = "RSA", algorithm: str = "RS256", kid: str | None = None
) -> bytes:
    """A token signed with a private key."""
    headers = None if kid is None else {"kid": kid}
    return jwt.encode(claims, private_key(kind), algorithm, headers=headers).encode()


def public_pem(kind: str = "RSA") -> bytes:
    """The public half of a private key."""
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    pem: bytes = private_key(kind).public_key().public_bytes(encoding, form)
    return pem


def private_pem(kind: str = "RSA") -> bytes:
    """A private key as text."""
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    pem: bytes = private_key(kind).private_bytes(encoding, form, serialization.NoEncryption())
    return pem


def private_jwk(kind: str = "RSA", **members: Any) -> dict[str, Any]:
    """A private key, as a key set has it."""
    algorithm: Any = jwt.PyJWS().get_algorithm_by_name(_ALGORITHMS[kind])
    written: dict[str, Any] = json.loads(algorithm.to_jwk(private_key(kind)))
    written.pop("key_ops", None)
    return written | members


def jwk(kind: str = "RSA", kid: str | None = None, **members: Any) -> dict[str, Any]:
    """The public half of a private key, as a key set has it."""
    algorithm: Any = jwt.PyJWS().get_algorithm_by_name(_ALGORITHMS[kind])
    written: dict[str, Any] = json.loads(algorithm.to_jwk(private_key(kind).public_key()))
    if kid is not None:
        written["kid"] = kid
    return written | members
