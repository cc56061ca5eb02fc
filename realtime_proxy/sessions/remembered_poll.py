"""What a long-poll has to remember while it waits, as one block of bytes.

Heads and bodies as objects would cost a waiting client several times as much memory.
"""

from typing import Self

import msgspec


class RememberedPoll(msgspec.Struct, frozen=True, array_like=True):
    """A held request: how to answer it, and how to ask its backend again."""

    # the client's request, as far as its answer depends on it
    method: bytes
    version: bytes
    keep_alive: bool
    # the backend's own answer, for the deadline
    status: int
    reason: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    # the request to the backend, as handlers left it
    backend_method: bytes
    backend_target: bytes
    backend_headers: tuple[tuple[bytes, bytes], ...]
    backend_body: bytes
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
        return _decoder.decode(block)  # type: ignore[return-value]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RememberedPoll)
