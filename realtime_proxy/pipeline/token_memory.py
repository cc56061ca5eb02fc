"""Tokens that were found good: not checked again before they end."""

from hashlib import blake2b

import attrs

from realtime_proxy.model.headers import Headers
from realtime_proxy.pipeline.exchange import Identity


@attrs.frozen
class Accepted:
    """What a good token says of its bearer, to the proxy and (as `headers`) to backends."""

    identity: Identity
    headers: Headers


class TokenMemory:
    """The latest good tokens, by their hashes: so many, and nothing of their text."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[bytes, Accepted] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def recall(self, token: bytes) -> Accepted | None:
        """What a token says that was found good, and still is; None if it has to be checked."""
        digest = blake2b(token).digest()
        accepted = self._kept.get(digest)
        if accepted is not None and not accepted.identity.counts():
            del self._kept[digest]
            return None
        return accepted

    def keep(self, token: bytes, accepted: Accepted) -> None:
        """Remember a good token; the oldest one has to make room."""
        if not self._most:
            return
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[blake2b(token).digest()] = accepted
