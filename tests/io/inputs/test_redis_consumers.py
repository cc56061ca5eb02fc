"""The store in Redis: shared by instances, which hear of each other's changes, and do without it.

Without the marker `slow` Redis is a stand-in; with it, a server of its own.
"""

import contextlib

import pytest
import trio

from realtime_proxy.backend import redis_connection
from realtime_proxy.backend.redis_connection import KeptRedisConnection
from realtime_proxy.inputs.consumer_store import Overtaken, StoreAway
from realtime_proxy.inputs.redis_consumers import RECORDS, STATE, RedisConsumers
from realtime_proxy.model.consumer_record import ConsumerRecord, KeyRecord, encode_record
from realtime_proxy.pipeline import RedisSettings
from realtime_proxy.pipeline.consumers import digest_of
from realtime_proxy.pipeline.stored_consumers import StoredConsumers
from realtime_proxy.testing.real_redis import away, start_redis

ALICE = ConsumerRecord("1", 100, "alice", keys=(KeyRecord("k", "key", 100),))
BOB = ConsumerRecord("2", 100, "bob")
SECONDS = 30


@pytest.fixture
def server(redis_kind, tmp_path):
    server = start_redis(redis_kind, tmp_path)
    yield server
    with contextlib.suppress(Exception):
        server.stop()


@pytest.fixture(autouse=True)
def soon_again(monkeypatch):
    monkeypatch.setattr(redis_connection, "RETRY_SECONDS", 0.01)


class Instance:
    """A store as a process has it, and what it has heard of."""

    def __init__(self, port, db=0):
        settings = RedisSettings.of_url(f"redis://127.0.0.1:{port}/{db}")
        self.store = RedisConsumers(KeptRedisConnection(settings), db, StoredConsumers())
        self._send, self._heard = trio.open_memory_channel(100)
        self.store.on_changed = lambda *change: self._send.send_nowait(change)
        self.store.on_known = lambda: self._send.send_nowait("known")

    async def run(self, nursery):
        self.watching = trio.CancelScope()
        nursery.start_soon(self._watch)
        with trio.fail_after(SECONDS):
            await self.store.known()
        return self

    async def _watch(self):
        with self.watching:
            await self.store.watch()

    async def hear(self, count):
        with trio.fail_after(SECONDS):
            return [await self._heard.receive() for _ in range(count)]

    async def until_redis(self, *, is_there):
        with trio.fail_after(SECONDS):
            while self.store._redis.is_there is not is_there:  # noqa: ASYNC110  nobody tells of it
                await trio.sleep(0.01)

    async def put(self, *records):
        async with self.store.change():
            for record in records:
                await self.store.put(record)

    @property
    def records(self):
        return self.store.book.records


@pytest.fixture
async def two(server, nursery):
    yield [await Instance(server.port).run(nursery) for _ in range(2)]
    nursery.cancel_scope.cancel()


async def test_what_one_changes_the_other_hears_of(two):
    one, other = two
    assert await other.hear(1) == ["known"]
    await one.put(ALICE, BOB)
    assert await other.hear(2) == [("1", ALICE), ("2", BOB)]
    async with one.store.change():
        await one.store.remove("1")
    assert await other.hear(1) == [("1", None)]
    assert other.records == one.records == {"2": BOB}
    assert await one.hear(4) == ["known", ("1", ALICE), ("2", BOB), ("1", None)]


async def test_what_is_heard_of_is_not_read_anew(server, two, monkeypatch):
    one, other = two
    assert await other.hear(1) == ["known"]
    with monkeypatch.context() as patch:
        patch.delattr(RedisConsumers, "_read_all")
        await one.put(ALICE)
        await one.put(BOB)
        assert await other.hear(2) == [("1", ALICE), ("2", BOB)]
        await other.put(ConsumerRecord("2", 100, "bobby"))
        assert await one.hear(4) == ["known", ("1", ALICE), ("2", BOB), ("2", other.records["2"])]


async def test_who_comes_later_knows_all(server, two, nursery):
    one, _ = two
    await one.put(ALICE)
    later = Instance(server.port)
    assert not later.store.book.is_known
    await later.run(nursery)
    assert later.store.book.is_known
    assert later.records == {"1": ALICE}
    assert later.store.book.of_key(digest_of(b"key")).consumer.username == "alice"


async def test_who_comes_second_does_not_undo_what_the_first_has_done(two):
    one, other = two
    async with one.store.change(), other.store.change():
        await one.store.put(ALICE)
        with pytest.raises(Overtaken):
            await other.store.put(BOB)
        with pytest.raises(Overtaken):
            await other.store.remove("1")
    async with other.store.change():
        assert other.records == {"1": ALICE}
        await other.store.put(BOB)
    async with one.store.change():
        assert one.records == {"1": ALICE, "2": BOB}


async def test_away_the_last_known_ones_count_and_nothing_changes(server, two):
    one, other = two
    await one.put(ALICE)
    assert await other.hear(2) == ["known", ("1", ALICE)]
    with away(server):
        for instance in two:
            await instance.until_redis(is_there=False)
        assert other.store.book.of_key(digest_of(b"key")) is not None
        with pytest.raises(StoreAway):
            async with other.store.change():
                pass
    for instance in two:
        await instance.until_redis(is_there=True)
    await one.put(BOB)
    while ("2", BOB) not in await other.hear(1):
        pass
    assert other.records == one.records


@pytest.mark.parametrize(
    "message", ["no change at all", b'{"before": "\xff", "after": "", "id": "", "record": null}']
)
async def test_what_was_missed_is_read(two, message):
    """As when a message was lost, or is none of an instance."""
    one, other = two
    client = one.store._redis
    await one.put(ALICE)
    assert await other.hear(2) == ["known", ("1", ALICE)]

    async def behind_its_back(redis):
        await redis.hset(RECORDS, {"2": encode_record(BOB)})
        await redis.set(STATE, "by hand")
        await redis.publish(f"{RECORDS}:0", message)

    await client.ask(behind_its_back)
    assert await other.hear(1) == [("2", BOB)]


async def test_what_can_not_be_read_changes_nothing(two):
    one, other = two
    await one.put(ALICE)
    assert await other.hear(2) == ["known", ("1", ALICE)]

    async def spoil(redis):
        await redis.hset(RECORDS, {"2": "no record"})
        await redis.set(STATE, "spoilt")

    async def mend(redis):
        await redis.hdel(RECORDS, ["2"])

    await one.store._redis.ask(spoil)
    with pytest.raises(StoreAway, match="can't be read"):
        async with other.store.change():
            pass
    assert other.records == {"1": ALICE}
    await one.store._redis.ask(mend)
    await one.put(BOB)
    assert await other.hear(1) == [("2", BOB)]
