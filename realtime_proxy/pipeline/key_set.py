"""The public keys of an issuer, as it publishes them (a JSON Web Key Set, RFC 7517)."""

from collections.abc import Iterable
from typing import Any, Protocol, Self

import attrs

from realtime_proxy.grip.json_text import NotJsonError, decode_json
from realtime_proxy.pipeline.jwt_key import BadKey, JwtKey
from realtime_proxy.pipeline.jwt_token import JwtToken

# Issuers have a few; a document of thousands is an attack.
_MAX_KEYS = 100


class KeysUnavailable(Exception):
    """An issuer's keys can't be had, so that its tokens can be neither believed nor refused."""


@attrs.frozen
class KeySource:
    """Where an issuer publishes its keys, and which algorithms these are for.

    `discovers` says that `url` is its OpenID configuration, which has the address of the keys. They
    are fetched anew every `refresh_seconds`, and for a token of an unknown key at most once in
    `retry_seconds`. `ca` has PEM certificates to check its server by, in place of the system's.
    """

    url: str
    algorithms: tuple[str, ...]
    discovers: bool = False
    refresh_seconds: float = 600.0
    retry_seconds: float = 10.0
    timeout_seconds: float = 5.0
    ca: str = attrs.field(default="", repr=False)


@attrs.frozen
class KeySet:
    """The keys that can be used; those that can't are left out, as RFC 7517 5 asks for."""

    keys: tuple[JwtKey, ...]

    @classmethod
    def parse(cls, text: bytes, algorithms: Iterable[str]) -> Self:
        """Raises BadKey if it is no key set, or has no key for these algorithms."""
        names = tuple(algorithms)
        try:
            document: Any = decode_json(text)
        except NotJsonError as error:
            raise BadKey("the key set is no JSON") from error
        written = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(written, list):
            raise BadKey("the key set has no list `keys`")
        keys = tuple(_usable(written[:_MAX_KEYS], names))
        if not keys:
            raise BadKey(f"the key set has no key for {', '.join(names)}")
        return cls(keys)

    def knows(self, token: JwtToken) -> bool:
        """True if a key that the token names is here; one that names none may be of any."""
        return token.kid is None or any(key.kid == token.kid for key in self.keys)

    def has_signed(self, token: JwtToken) -> bool:
        """True if the token is signed by the key that it names, or by any if it names none."""
        return any(
            key.is_signed(token.algorithm, token.message, token.signature)
            for key in self.keys
            if token.kid is None or key.kid in (token.kid, None)
        )


def _usable(written: list[Any], algorithms: tuple[str, ...]) -> Iterable[JwtKey]:
    for jwk in written:
        try:
            yield JwtKey.from_jwk(jwk, algorithms)
        except BadKey:
            continue


class KeySets(Protocol):
    """The key sets that a worker has, shared by its handlers, of this configuration or the last."""

    def at_hand(self, source: KeySource) -> KeySet | None:
        """What is known of it without asking, however old."""

    async def for_token(self, source: KeySource, token: JwtToken) -> KeySet:
        """The key set to check a token by: fetched if it does not know the token's key.

        Raises KeysUnavailable.
        """

    async def keep_fresh(self, source: KeySource) -> None:
        """Fetch it again and again, for as long as this is not cancelled: part of `run`."""
