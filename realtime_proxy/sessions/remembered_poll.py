"""What a long-poll has to remember while it waits, as two blocks of bytes.

Heads and bodies as objects would cost a waiting client several times as much memory.
"""

from functools import lru_cache
from typing import Self

import msgspec

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response

# Those who hold the same channel mostly have the same answer to fall back on: of the latest of
# these blocks, unless they are long, there is one for all.
_SHARED_BLOCKS = 1_000
_MAX_SHARED_BYTES = 1_000


class OwnAnswer(msgspec.Struct, frozen=True, array_like=True):
    """The backend's own answer, for the deadline, and what of its request any answer depends on."""

    method: bytes
    version: bytes
    keep_alive: bool
    status: int
    reason: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def response(self) -> Response:
        """What the client gets if nothing else comes."""
        return Response(self.status, Headers(self.headers), self.body, self.reason)

    def pack(self) -> bytes:
        """The block."""
        block = _encoder.encode(self)
        return _shared(block) if len(block) <= _MAX_SHARED_BYTES else block

    @classmethod
    def unpack(cls, block: bytes) -> Self:
        """The answer again."""
        return _answers.decode(block)  # type: ignore[return-value]


class RememberedPoll(msgspec.Struct, frozen=True, array_like=True):
    """How to ask the backend of a held request again."""

    # the request to the backend, as handlers left it
    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    # what is known of its client from fields that the backend need not get
    is_trusted: bool
    is_tls: bool
    client_address: str

    def pack(self) -> bytes:
        """The block."""
        return _encoder.encode(self)

    @classmethod
    def unpack(cls, block: bytes) -> Self:
        """The poll again."""
        return _polls.decode(block)  # type: ignore[return-value]


@lru_cache(_SHARED_BLOCKS)
def _shared(block: bytes) -> bytes:
    """The block, as the same object if it was there lately."""
    return block


_encoder = msgspec.msgpack.Encoder()
_answers = msgspec.msgpack.Decoder(OwnAnswer)
_polls = msgspec.msgpack.Decoder(RememberedPoll)
