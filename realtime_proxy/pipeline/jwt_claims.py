"""What the claims of a token say, once it is known that an issuer has signed them (RFC 7519 4)."""

import math
from collections.abc import Iterator
from typing import Any

import attrs


@attrs.frozen
class ClaimRules:
    """What the times and the audience of a token must be.

    `exp` and `nbf` that a token has are always checked; those in `must_have` it must have. One that
    lasts longer than `maximum_expiration` (seconds; 0: no limit) is refused.
    """

    must_have: tuple[str, ...] = ()
    maximum_expiration: float = 0.0
    leeway_seconds: float = 0.0

    def errors(
        self, claims: dict[str, Any], audience: tuple[str, ...], now: float
    ) -> dict[str, str]:
        """What is wrong, by claim; nothing if the token counts at this time.

        One of `audience` must be in `aud`; `*` takes any, or none.
        """
        return dict(self._errors(claims, audience, now))

    def ends_at(self, claims: dict[str, Any]) -> float | None:
        """Until when a token counts, seconds since the epoch; None: for ever."""
        return float(claims["exp"]) + self.leeway_seconds if "exp" in claims else None

    def _errors(
        self, claims: dict[str, Any], audience: tuple[str, ...], now: float
    ) -> Iterator[tuple[str, str]]:
        value: Any
        for name in ("exp", "nbf"):
            if name in claims or name in self.must_have:
                if not _is_time(value := claims.get(name)):
                    yield name, "must be a number"
                elif name == "exp" and value + self.leeway_seconds <= now:
                    yield name, "token expired"
                elif name == "nbf" and value - self.leeway_seconds > now:
                    yield name, "token not valid yet"
        if self.maximum_expiration:
            ends_at: Any = claims.get("exp")
            if not _is_time(ends_at) or ends_at - now > self.maximum_expiration:
                yield "exp", "exceeds maximum allowed expiration"
        if "*" not in audience and not set(audience).intersection(texts_of(claims.get("aud"))):
            yield "aud", "not for this audience"


def claim_at(claims: dict[str, Any], path: str) -> Any:
    """A claim by its name, or by the names that lead into it; None if it is not there."""
    if path in claims:  # names may have dots themselves: those of namespaces are URLs
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def scopes_of(claims: dict[str, Any]) -> tuple[str, ...]:
    """What a token is for (RFC 8693 4.2): `scope` as words, or `scp` as some have it, a list."""
    written = claims.get("scope", claims.get("scp"))
    return tuple(written.split()) if isinstance(written, str) else texts_of(written)


def texts_of(value: Any) -> tuple[str, ...]:
    """A claim that is a text or a list of such, as a tuple."""
    if isinstance(value, str):
        return (value,)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
