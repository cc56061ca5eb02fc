"""Consumers in Redis: several instances have the same ones, and hear of changes at once.

All records are in one hash. Each change makes the state another one, by a name that nobody else
gives it, and is told with the names of the state before and after it. So who hears of a change
that does not follow the state it knows has missed something, and reads all anew; and who has been
overtaken does not undo what another instance has done.
"""

import contextlib
import uuid
from collections.abc import AsyncIterable
from typing import Any

import msgspec
import structlog
import trio

from realtime_proxy.inputs.consumer_store import ConsumerStore, Overtaken, StoreAway
from realtime_proxy.model.consumer_record import ConsumerRecord, decode_record, encode_record
from realtime_proxy.pipeline.redis_connection import Published, RedisConnection, RedisUnavailable
from realtime_proxy.pipeline.stored_consumers import StoredConsumers

RECORDS = "realtime_proxy:consumers"
STATE = "realtime_proxy:consumers:state"

log = structlog.get_logger()


class _Change(msgspec.Struct, frozen=True):
    """What instances tell each other: a consumer as it is now, or None if it is gone."""

    before: str
    after: str
    id: str
    record: ConsumerRecord | None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Change).decode


class RedisConsumers(ConsumerStore):
    """Follows them by one connection. While that is away those count that were known last."""

    def __init__(self, redis: RedisConnection, database: int, book: StoredConsumers) -> None:
        """`database` is the number of it: what is published is not divided by databases."""
        super().__init__(book)
        book.is_known = False
        self._redis = redis
        self._channel = f"{RECORDS}:{database}"
        self._state: str | None = None  # none is known
        self._known = trio.Event()

    async def known(self) -> None:
        """Come back when the consumers are known."""
        await self._known.wait()

    def close(self) -> None:
        """The connection ends with `watch`."""

    # -- changes ---------------------------------------------------------------------------

    async def put(self, record: ConsumerRecord) -> None:
        """Keep a consumer as it is now; it counts once Redis has it. Raises Overtaken."""
        await self._write(record.id, record)
        self._put(record)

    async def remove(self, record_id: str) -> None:
        """Keep a consumer no more. Raises Overtaken."""
        await self._write(record_id, None)
        self._remove(record_id)

    async def _write(self, record_id: str, record: ConsumerRecord | None) -> None:
        change = _Change(self._state or "", uuid.uuid4().hex, record_id, record)

        async def write(client: Any) -> None:
            from coredis.exceptions import WatchError

            try:
                async with client.pipeline(transaction=True) as pipe, pipe.watch(STATE):
                    if _text(await client.get(STATE)) != change.before:
                        raise Overtaken("another instance has changed the consumers meanwhile")
                    if record is None:
                        pipe.hdel(RECORDS, [record_id])
                    else:
                        pipe.hset(RECORDS, {record_id: encode_record(record)})
                    pipe.set(STATE, change.after)
                    pipe.publish(self._channel, _encode(change))
            except WatchError as error:
                raise Overtaken("another instance changes the consumers") from error

        await self._ask(write)
        self._state = change.after

    async def _ask(self, question: Any) -> Any:
        try:
            return await self._redis.ask(question)
        except RedisUnavailable as error:
            raise StoreAway(str(error)) from error

    # -- what others change ----------------------------------------------------------------

    async def watch(self) -> None:
        """Follow what others change, until cancelled."""
        await self._redis.attend(self._follow, (self._channel,))

    async def _follow(self, _client: Any, feed: AsyncIterable[Published]) -> None:
        """Read all there is, then what changes. Back if that fails: the connection is made anew."""
        try:
            async with self.change():
                pass
            async for published in feed:
                async with self._turn:
                    await self._hear(published.content)
        except StoreAway as error:
            log.warning("consumers can't be read", problem=str(error))

    async def _hear(self, content: bytes) -> None:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            change = _decode(content)
            if change.after == self._state:
                return  # of this instance, or read already
            if change.before == self._state:
                self._state = change.after
                self._apply(change)
                return
        await self._catch_up()

    def _apply(self, change: _Change) -> None:
        if change.record is None:
            self._remove(change.id)
        else:
            self._put(change.record)

    async def _catch_up(self) -> None:
        if self._state is None or _text(await self._ask(lambda one: one.get(STATE))) != self._state:
            await self._read_all()

    async def _read_all(self) -> None:
        async def read(client: Any) -> tuple[Any, dict[bytes, bytes]]:
            async with client.pipeline(transaction=True) as pipe:
                state, records = pipe.get(STATE), pipe.hgetall(RECORDS)
            return await state, await records

        state, rows = await self._ask(read)
        try:
            records = [decode_record(row) for row in rows.values()]
        except msgspec.DecodeError as error:
            raise StoreAway(f"what Redis has in {RECORDS} can't be read: {error}") from error
        self._state = _text(state)
        self._replace({record.id: record for record in records})
        if not self._known.is_set():
            self.book.is_known = True
            self._known.set()
            self.on_known()


def _text(state: bytes | None) -> str:
    """The name of a state; empty before the first change."""
    return (state or b"").decode("latin-1")
