"""Tokens that were found good: not checked again before they end."""

import hashlib
import time
from collections.abc import Callable

import attrs

from realtime_proxy.model.headers import Headers
from realtime_proxy.pipeline.exchange import Identity


@attrs.frozen
class Accepted:
    """What a good token says of its bearer, to the proxy and (as `headers`) to backends.

    `is_current` is asked each time: the keys it was checked with may have changed.
    """

    identity: Identity
    headers: Headers
    is_current: Callable[[], bool] | None = None

    def counts(self) -> bool:
        """False once it has ended, or has to be checked again."""
        identity, is_current = self.identity, self.is_current
        ends_at, holds = identity.expires_at, identity.holds
        return (
            (ends_at is None or ends_at > time.time())
            and (is_current is None or is_current())
            and (holds is None or holds())
        )


class TokenMemory:
    """The latest good tokens, by their hashes: so many, and nothing of their text."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[bytes, Accepted] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def recall(self, token: bytes) -> Accepted | None:
        """What a token says that was found good, and still is; None if it has to be checked."""
        digest = hashlib.sha256(token).digest()
        accepted = self._kept.get(digest)
        if accepted is not None and not accepted.counts():
            del self._kept[digest]
            return None
        return accepted

    def keep(self, token: bytes, accepted: Accepted) -> None:
        """Remember a good token; the oldest one has to make room."""
        if not self._most:
            return
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[hashlib.sha256(token).digest()] = accepted
