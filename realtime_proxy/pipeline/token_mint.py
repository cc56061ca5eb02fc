"""Tokens of our own for backends: the same one again, up to shortly before it ends."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from realtime_proxy.pipeline.jwt_key import BadKey
from realtime_proxy.pipeline.jwt_signer import JwtSigner
from realtime_proxy.pipeline.kept_answers import KeptAnswers

# A token is made anew when this part of its time is left.
_RENEWED_AT = 0.1
_MAX_KEPT_TOKENS = 10_000


class TokenMint:
    """The first private key signs; the public halves of all are published, as `key_set`."""

    def __init__(self, signers: Iterable[JwtSigner]) -> None:
        """Raises BadKey."""
        everyone = tuple(signers)
        signing = [one for one in everyone if one.can_sign]
        if not signing:
            raise BadKey("has no private key to sign with")
        self._signer = signing[0]
        published = [one.public for one in everyone if one.public is not None]
        names = [jwk["kid"] for jwk in published]
        for name in names:
            if names.count(name) > 1:
                raise BadKey(f"has two keys with the name (`kid`) {name!r}")
        self.key_set = msgspec.json.encode({"keys": published})
        self._kept: KeptAnswers[bytes] = KeptAnswers(_MAX_KEPT_TOKENS)

    def token(
        self, claims: Mapping[str, Any], ttl_seconds: float, ends_at: float | None, now: float
    ) -> bytes:
        """A token that says this from now on, and until `ends_at` at most.

        Times are seconds since the epoch. Whoever is told the same gets the same token.
        """
        question = msgspec.json.encode((claims, ttl_seconds, ends_at))
        token = self._kept.get(question, now)
        if token is None:
            expires_at, fresh_until = now + ttl_seconds, now + ttl_seconds * (1 - _RENEWED_AT)
            if ends_at is not None and ends_at < expires_at:
                expires_at = fresh_until = ends_at  # no later one could last longer
            token = self._made(claims, expires_at, now)
            self._kept.keep(question, token, fresh_until)
        return token

    def _made(self, claims: Mapping[str, Any], expires_at: float, now: float) -> bytes:
        issued_at = int(now)
        of_token = {
            "iat": issued_at,
            "nbf": issued_at,
            # Whole seconds, as some read no others. Never over before it has begun: backends are
            # told of the end of a connection whose credential has ended, too.
            "exp": max(int(expires_at), issued_at + 1),
            "jti": str(uuid.uuid4()),
        }
        return self._signer.token({**claims, **of_token})

    def __len__(self) -> int:
        return len(self._kept)
