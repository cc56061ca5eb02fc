"""JSON Web Tokens as they come (RFC 7519, compact JWS of RFC 7515), before anything is believed."""

import base64
import binascii
import re
from typing import Any, Self

import attrs

from realtime_proxy.grip.json_text import NotJsonError, decode_json

# Longer ones don't fit into a request head anyway.
MAX_TOKEN_BYTES = 16_384
_TOKEN = re.compile(rb"(([\w-]+)\.([\w-]+))\.([\w-]*)")


class BadToken(Exception):
    """The text is no token; the message says what of it is not, and nothing that is in it."""


@attrs.frozen
class JwtToken:
    """The parts of a token. Only `key.is_signed` makes its claims worth anything."""

    algorithm: str
    kid: str | None
    claims: dict[str, Any]
    message: bytes = attrs.field(repr=False)
    signature: bytes = attrs.field(repr=False)

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Raises BadToken."""
        match = _TOKEN.fullmatch(text) if len(text) <= MAX_TOKEN_BYTES else None
        if match is None:
            raise BadToken("not three parts")
        message, *parts = match.groups()
        try:
            raw_header, raw_claims, signature = map(_from_base64url, parts)
        except binascii.Error as error:
            raise BadToken("invalid base64url") from error
        header, claims = _json_object(raw_header), _json_object(raw_claims)
        _check_header(header)
        kid = header.get("kid")
        return cls(header["alg"], None if kid is None else str(kid), claims, message, signature)


def _json_object(text: bytes) -> dict[str, Any]:
    try:
        value = decode_json(text)
    except NotJsonError as error:
        raise BadToken("invalid JSON") from error
    if not isinstance(value, dict):
        raise BadToken("invalid JSON")
    return value


def _check_header(header: dict[str, Any]) -> None:
    kind = header.get("typ")
    if kind is not None and (not isinstance(kind, str) or not kind.upper().endswith("JWT")):
        raise BadToken("invalid typ")
    if not isinstance(header.get("alg"), str):
        raise BadToken("invalid alg")
    if "crit" in header:  # extensions that must be understood (RFC 7515 4.1.11): we have none
        raise BadToken("unknown crit")


def _from_base64url(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
