"""The consumers of the store, as requests are checked by: all in memory, changed one by one."""

from collections.abc import Callable, Iterator
from typing import Any

import attrs

from realtime_proxy.model.consumer_record import ConsumerRecord, JwtRecord, KeyRecord
from realtime_proxy.pipeline.consumers import Consumer, JwtCredential, digest_of
from realtime_proxy.pipeline.secret import Secret


@attrs.frozen
class StoredKey:
    """Whose key it is, which, and until when it counts (seconds since the epoch)."""

    consumer: Consumer
    id: str
    ends_at: float | None


class StoredConsumers:
    """Finds consumers by what requests show of them, and by name.

    `is_known` is False while nobody can tell who they are: who is not found may be one of them.
    """

    def __init__(self) -> None:
        self.is_known = True
        self.records: dict[str, ConsumerRecord] = {}
        # Usernames and own ids, to ids: several changes may come at once, in any order.
        self._by_name: dict[str, tuple[str, ...]] = {}
        self._by_key: dict[bytes, StoredKey] = {}
        self._by_issuer: dict[str, tuple[Consumer, JwtCredential]] = {}
        self.on_lapsed: Callable[[], object] = _nobody

    def of_key(self, digest: bytes) -> StoredKey | None:
        """Whose key it is, by its digest."""
        return self._by_key.get(digest)

    def of_issuer(self, key: str) -> tuple[Consumer, JwtCredential] | None:
        """Whose tokens have this `iss`."""
        return self._by_issuer.get(key)

    def called(self, name: str) -> ConsumerRecord | None:
        """The consumer of an id, a username or an own id."""
        ids = self._by_name.get(name)
        return self.records.get(name) or (self.records[ids[0]] if ids else None)

    def consumer(self, name: str) -> Consumer | None:
        """The same as handlers know consumers."""
        record = self.called(name)
        return None if record is None else _consumer(record)

    def put(self, record: ConsumerRecord) -> None:
        """Have a consumer be as this record says."""
        before = self.records.get(record.id)
        self._forget(record.id)
        self.records[record.id] = record
        for name in _names(record):
            self._by_name[name] = (*self._by_name.get(name, ()), record.id)
        consumer = _consumer(record)
        self._by_key |= {
            digest_of(key.key.encode()): StoredKey(consumer, key.id, _end_of(key))
            for key in record.keys
        }
        self._by_issuer |= {jwt.key: (consumer, _credential(jwt)) for jwt in record.jwt}
        if before is not None and _has_less(record, before):
            self.on_lapsed()

    def remove(self, record_id: str) -> None:
        """Have no such consumer any more."""
        if record_id in self.records:
            self._forget(record_id)
            self.on_lapsed()

    def keep(self, ids: set[str]) -> None:
        """Remove all others."""
        for record_id in set(self.records).difference(ids):
            self.remove(record_id)

    def _forget(self, record_id: str) -> None:
        record = self.records.pop(record_id, None)
        if record is None:
            return
        for name in _names(record):
            others = tuple(one for one in self._by_name.pop(name) if one != record_id)
            if others:
                self._by_name[name] = others
        # Another may have it by now.
        for digest in [digest_of(key.key.encode()) for key in record.keys]:
            if digest in self._by_key and self._by_key[digest].consumer.id == record_id:
                del self._by_key[digest]
        for issuer in [jwt.key for jwt in record.jwt]:
            if issuer in self._by_issuer and self._by_issuer[issuer][0].id == record_id:
                del self._by_issuer[issuer]


def _nobody() -> None:
    """Nobody is held by what has lapsed."""


def _names(record: ConsumerRecord) -> set[str]:
    return {name for name in (record.username, record.custom_id) if name}


def _has_less(record: ConsumerRecord, before: ConsumerRecord) -> bool:
    """True if there is something no more by which somebody may have been let in."""
    names = _names(before) - _names(record)  # those of certificates
    return bool(names or set(_credentials(before)).difference(_credentials(record)))


def _consumer(record: ConsumerRecord) -> Consumer:
    groups = tuple(one.group for one in record.groups)
    return Consumer(record.username or "", record.custom_id or "", record.id, groups)


def _credential(jwt: JwtRecord) -> JwtCredential:
    secret = None if jwt.secret is None else Secret(jwt.secret.encode())
    public = None if jwt.rsa_public_key is None else Secret(jwt.rsa_public_key.encode())
    return JwtCredential(jwt.key, secret, public, jwt.algorithm)


def _end_of(key: KeyRecord) -> float | None:
    return None if key.ttl is None else float(key.created_at + key.ttl)


def _credentials(record: ConsumerRecord) -> Iterator[Any]:
    yield from record.keys
    yield from record.jwt
