"""A consumer as the store keeps it, with all of its credentials."""

import msgspec


class KeyRecord(msgspec.Struct, frozen=True):
    """A key; with a `ttl` (seconds) it ends so long after `created_at`."""

    id: str
    key: str
    created_at: int
    ttl: int | None = None


class JwtRecord(msgspec.Struct, frozen=True):
    """What tokens are checked with whose `iss` is `key`."""

    id: str
    key: str
    created_at: int
    algorithm: str = "HS256"
    secret: str | None = None
    rsa_public_key: str | None = None


class GroupRecord(msgspec.Struct, frozen=True):
    """A group that a consumer is in."""

    id: str
    group: str
    created_at: int


class ConsumerRecord(msgspec.Struct, frozen=True):
    """A consumer. Times are whole seconds since the epoch."""

    id: str
    created_at: int
    username: str | None = None
    custom_id: str | None = None
    tags: tuple[str, ...] = ()
    keys: tuple[KeyRecord, ...] = ()
    jwt: tuple[JwtRecord, ...] = ()
    groups: tuple[GroupRecord, ...] = ()


def encode_record(record: ConsumerRecord) -> bytes:
    """As it is kept, and as it goes to workers."""
    return msgspec.json.encode(record)


def decode_record(data: bytes) -> ConsumerRecord:
    """The same again. Raises msgspec.DecodeError."""
    try:
        return msgspec.json.decode(data, type=ConsumerRecord)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from error
