"""What was made of blocks of header fields lately, so that the same bytes are read once.

On a connection that is kept, and from gateways, native clients and backends, the same field lines
come again and again. HPACK's dynamic table is for that in HTTP/2 (RFC 7541 2.3.2).
"""

from typing import Generic, TypeVar

V = TypeVar("V")

# Of one generation; there are two.
_MAX_BLOCKS = 500
_MAX_BYTES = 1_000_000
# A longer block is read anew each time.
MAX_BLOCK_BYTES = 4_096
# What becomes of a field takes about so much memory besides its bytes.
_FIELD_BYTES = 150
# So many blocks are known to have been there once, by their hashes.
_SEEN = 4_096

# For so long nothing is forgotten for its age; after twice that, all that nobody has sent again.
GENERATION_SECONDS = 30.0


class KnownBlocks(Generic[V]):
    """Values by exact blocks of bytes, bounded in number and bytes.

    A block is kept when it comes for the second time, so that those that come once cost no memory.
    What is used passes to the younger of two generations; the older is forgotten when that is full,
    and as time goes by (`age`), because credentials are among fields. Values must never change.
    """

    __slots__ = ("_aged_at", "_bytes", "_older", "_seen", "_younger")

    def __init__(self) -> None:
        self._younger: dict[bytes, V] = {}
        self._older: dict[bytes, V] = {}
        self._bytes = 0
        self._seen = [0] * _SEEN
        self._aged_at = 0.0

    def get(self, block: bytes) -> V | None:
        """What was made of this block; None if that is not known."""
        value = self._younger.get(block)
        if value is None and self._older and (value := self._older.pop(block, None)) is not None:
            self.keep(block, value)
        return value

    def is_back(self, block: bytes) -> bool:
        """True if this block has come before, lately, so that it should be kept."""
        number = hash(block)
        place = number % _SEEN
        if self._seen[place] == number:
            return len(block) <= MAX_BLOCK_BYTES
        self._seen[place] = number
        return False

    def keep(self, block: bytes, value: V) -> None:
        """Remember what was made of a block."""
        self._bytes += 2 * len(block) + _FIELD_BYTES * block.count(b"\n")
        self._younger[block] = value
        if len(self._younger) >= _MAX_BLOCKS or self._bytes >= _MAX_BYTES:
            self._next_generation()

    def age(self, now: float) -> None:
        """Forget what has not come for a while; to be called every now and then."""
        if now - self._aged_at >= GENERATION_SECONDS:
            self._aged_at = now
            self._next_generation()

    def forget(self) -> None:
        """Forget all, as what was found out of it may be by another configuration."""
        self._next_generation()
        self._next_generation()

    def _next_generation(self) -> None:
        self._older, self._younger, self._bytes = self._younger, {}, 0

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)
