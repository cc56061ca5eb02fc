"""Deflating messages of WebSockets, without context takeover (RFC 7692 7.2).

Each message stands for itself, so the same bytes serve everybody who agreed on that, and no
connection keeps a compressor. One compressor serves them all: after a full flush nothing that
follows refers to what came before. To make a new one takes ten times as long as a short message.
"""

import zlib
from collections.abc import Iterator

# Below this a message becomes hardly smaller: half of 256 bytes of JSON are saved, none of 64.
MIN_BYTES = 200
# So much is deflated before others have their turn: 1.3 ms.
PIECE_BYTES = 262_144
# What is larger, and can't be done by pieces, goes as it is: this much takes 5 ms.
MAX_BYTES_AT_ONCE = 1_048_576
# 1.5 to 3 times as fast as zlib's default for 5 to 15 percent more bytes.
_LEVEL = 3
# Every message ends with an empty block, the end of which is not sent (RFC 7692 7.2.1).
_TAIL = b"\x00\x00\xff\xff"
_TAIL_OF_LAST_BLOCK = (_TAIL, b"\x00" + _TAIL)


class Deflater:
    """Deflates messages for those who keep a window of so many bits."""

    def __init__(self, window_bits: int) -> None:
        self._window_bits = window_bits
        self._compressor: zlib._Compress | None = None
        self._last: tuple[bytes, bytes | None] = (b"", None)

    def deflate(self, content: bytes) -> bytes | None:
        """A message deflated; None if it should go as it is."""
        if not MIN_BYTES <= len(content) <= MAX_BYTES_AT_ONCE:
            return None
        if self._compressor is None:
            self._compressor = self._new_compressor()
        data = self._compressor.compress(content) + self._compressor.flush(zlib.Z_FULL_FLUSH)
        return _if_smaller(data, content)

    def deflate_once(self, content: bytes) -> bytes | None:
        """As `deflate`; the very same content after itself costs nothing."""
        if content is not self._last[0]:
            self._last = content, self.deflate(content)
        return self._last[1]

    def by_pieces(self, content: bytes) -> Iterator[None]:
        """Have `deflate_once` know a large message, yielding so that others can run between."""
        if len(content) <= PIECE_BYTES or content is self._last[0]:
            return
        compressor, pieces = self._new_compressor(), []
        for start in range(0, len(content), PIECE_BYTES):
            pieces.append(compressor.compress(content[start : start + PIECE_BYTES]))
            yield
        pieces.append(compressor.flush(zlib.Z_SYNC_FLUSH))
        self._last = content, _if_smaller(b"".join(pieces), content)

    def _new_compressor(self) -> "zlib._Compress":
        return zlib.compressobj(_LEVEL, zlib.DEFLATED, -self._window_bits)


def _if_smaller(data: bytes, content: bytes) -> bytes | None:
    size = len(data) - len(_TAIL)
    return data[:size] if size < len(content) else None


def inflate(data: bytes, max_bytes: int) -> bytes | None:
    """The content of a deflated message; None if it has more than so many bytes.

    What would be more is never made. Raises ValueError if this is no deflated message.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(data + _TAIL, max_bytes + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(content) > max_bytes:
        return None
    # A peer may mark its last block as such; nothing but the end of the message comes after it.
    if inflater.unconsumed_tail or (
        inflater.eof and inflater.unused_data not in _TAIL_OF_LAST_BLOCK
    ):
        raise ValueError("there is more behind the end of the deflated message")
    return content
