"""What the supervisor and a worker say to each other: a kind and its parts, one ZeroMQ message."""

from enum import Enum
from typing import Any

import msgspec

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import Item


class Kind(bytes, Enum):
    """The first part of a message."""

    READY = b"Y"  # worker: clients can connect
    HOLD = b"H"  # worker: send me the items of this channel
    RELEASE = b"R"  # worker: no longer
    TAKEN = b"T"  # worker: so many bytes of items have been delivered
    PUBLISH = b"P"  # worker: publish these items (the demo page does)
    COUNTED = b"N"  # worker: the answer to COUNT: its number and how many subscribers
    GRANTED = b"G"  # supervisor: the items of this channel follow from here on
    ITEMS = b"I"  # supervisor: items, each a part
    COUNT = b"C"  # supervisor: its number; how many subscribers have the items that follow?
    LOST = b"L"  # supervisor: so many items could not be sent


def _as_headers(kind: type, value: Any) -> Any:
    if kind is Headers:
        return Headers((name, text) for name, text in value)
    raise NotImplementedError(kind)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Item, dec_hook=_as_headers)


def encode_item(item: Item) -> bytes:
    """An item that has been checked, as the workers take it."""
    return _encoder.encode(item)


def decode_item(data: bytes) -> Item:
    """The item again."""
    return _decoder.decode(data)
