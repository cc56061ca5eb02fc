"""What the supervisor and a worker say to each other: a kind and its parts, one ZeroMQ message."""

import pickle
from enum import Enum
from typing import Any

import msgspec

from realtime_proxy.config.schema import Config
from realtime_proxy.metrics.tallied import Tallied
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import Item


class Kind(bytes, Enum):
    """The first part of a message."""

    READY = b"Y"  # worker: all is ready for clients
    HOLD = b"H"  # worker: send me the items of this channel (whose last id is this, if any)
    RELEASE = b"R"  # worker: no longer
    CONTRADICTED = b"D"  # worker: a backend knows another last id of this channel than this
    TAKEN = b"T"  # worker: so many bytes of what it was sent are dealt with
    WANT = b"Q"  # worker: leave to deliver so many
    PUBLISH = b"P"  # worker: publish these items (the demo page does)
    ANSWER = b"N"  # worker: the answer to a question: its number, and parts
    GRANTED = b"G"  # supervisor: the items of this channel follow from here on; its last id, if any
    ITEMS = b"I"  # supervisor: items, each a part
    COUNT = b"C"  # supervisor: a question: its number; how many subscribers have these items?
    REFRESH = b"E"  # supervisor: a question: its number; have this connection ask, if it is here
    CONNECTED = b"K"  # supervisor: a question: its number; which of these connections are here?
    REFRESH_CHANNEL = b"W"  # supervisor: have the WebSockets of this channel ask their backends
    LIST = b"J"  # supervisor: a question: its number; a page of the connections meant
    SUBSCRIBERS = b"M"  # supervisor: a question: its number; who is subscribed to these channels?
    # supervisor: a question: its number; end the connections meant. worker: have all do so
    DISMISS = b"X"
    TOKENS = b"B"  # supervisor: leave to deliver so many
    LOST = b"L"  # supervisor: so many items before this were not sent
    UPDATE = b"U"  # supervisor: have the holds of this channel ask their backends
    RECOVER = b"V"  # supervisor: know no last ids, and have all holds ask
    CONFIGURE = b"F"  # supervisor: serve by this configuration from now on
    TALLY = b"A"  # worker: what it has counted since the last time
    VISITS = b"S"  # supervisor: tell of each client from now on (1), or not (0)
    REOPEN = b"O"  # supervisor: begin a new log file
    # worker: tell me the consumers. supervisor: whether it knows (1) them, and each as a part
    CONSUMERS = b"c"
    CONSUMER = b"e"  # supervisor: a consumer's id, and its record unless it is gone
    # worker: its number; the connection of another worker, the handler, the renewed credential.
    # supervisor: a question: the same
    RENEW = b"n"
    RENEWED = b"r"  # supervisor: what came of it: the worker's number, a Renewal
    ADMIT = b"@"  # supervisor: take clients from now on
    DRAIN = b"Z"  # supervisor: take no new clients, let the others go over so many seconds, and end


def encode_tallied(tallied: Tallied) -> bytes:
    """What a worker has counted."""
    return _encoder.encode(tallied)


def decode_tallied(data: bytes) -> Tallied:
    """The same again."""
    return _tallied_decoder.decode(data)


def encode_config(config: Config) -> bytes:
    """A configuration that has been checked."""
    return pickle.dumps(config)


def decode_config(data: bytes) -> Config:
    """The configuration again."""
    config: Config = pickle.loads(data)  # noqa: S301  the other end is ours
    return config


def _as_headers(kind: type, value: Any) -> Any:
    if kind is Headers:
        return Headers((name, text) for name, text in value)
    raise NotImplementedError(kind)


_encoder = msgspec.msgpack.Encoder()
_tallied_decoder = msgspec.msgpack.Decoder(Tallied)
_decoder = msgspec.msgpack.Decoder(Item, dec_hook=_as_headers)


# No item begins like this in MessagePack: it would be an empty one.
_PICKLED = pickle.PROTO


def encode_item(item: Item) -> bytes:
    """An item that has been checked, as the workers take it."""
    try:
        return _encoder.encode(item)
    except OverflowError:  # a patch may have numbers that MessagePack has not
        return pickle.dumps(item)


def decode_item(data: bytes) -> Item:
    """The item again."""
    if data.startswith(_PICKLED):
        item: Item = pickle.loads(data)  # noqa: S301  the other end is ours
        return item
    return _decoder.decode(data)
