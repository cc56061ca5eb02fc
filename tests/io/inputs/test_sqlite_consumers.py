"""The store: what is told to it is there after a start, and nobody else can read it."""

import sqlite3

import pytest
import trio

from realtime_proxy.errors import ConfigError
from realtime_proxy.inputs import sqlite_consumers
from realtime_proxy.inputs.consumer_store import Overtaken
from realtime_proxy.inputs.sqlite_consumers import SqliteConsumers
from realtime_proxy.model.consumer_record import ConsumerRecord, KeyRecord
from realtime_proxy.pipeline.consumers import digest_of
from realtime_proxy.pipeline.stored_consumers import StoredConsumers

ALICE = ConsumerRecord("1", 100, "alice", keys=(KeyRecord("k", "key", 100),))
BOB = ConsumerRecord("2", 100, "bob")
SECONDS = 10


async def test_what_is_kept_is_there_after_a_start(tmp_path):
    file, heard = tmp_path / "consumers.db", []
    store = SqliteConsumers(file, StoredConsumers())
    store.on_changed = lambda *change: heard.append(change)
    async with store.change():
        await store.put(ALICE)
        await store.put(BOB)
        await store.remove("2")
    assert heard == [("1", ALICE), ("2", BOB), ("2", None)]
    assert store.book.records == {"1": ALICE}
    store.close()
    again = SqliteConsumers(file, StoredConsumers())
    assert again.book.records == {"1": ALICE}
    again.close()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_something_else(tmp_path):
    (tmp_path / "text").write_text("no database, but a text of some length" * 100)
    for file in (tmp_path / "text", tmp_path, tmp_path / "missing" / "file"):
        with pytest.raises(ConfigError, match=r"consumers.store: .* can't be used"):
            SqliteConsumers(file, StoredConsumers())


# -- of two processes ------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Two that have the same file open, as in a takeover."""
    monkeypatch.setattr(sqlite_consumers, "LOOK_SECONDS", 0.01)
    stores = [SqliteConsumers(tmp_path / "consumers.db", StoredConsumers()) for _ in range(2)]
    yield stores
    for store in stores:
        store.close()


class Ears:
    """Hears of the changes of a store."""

    def __init__(self, store):
        self._send, self._heard = trio.open_memory_channel(10)
        store.on_changed = lambda *change: self._send.send_nowait(change)

    async def hear(self, count):
        with trio.fail_after(SECONDS):
            return [await self._heard.receive() for _ in range(count)]


async def test_what_another_process_changes_is_heard_of(two, nursery):
    one, other = two
    ears = Ears(other)
    nursery.start_soon(other.watch)
    async with one.change():
        await one.put(ALICE)
        await one.put(BOB)
    assert await ears.hear(2) == [("1", ALICE), ("2", BOB)]
    async with one.change():
        await one.remove("1")
    assert await ears.hear(1) == [("1", None)]
    assert other.book.records == {"2": BOB}
    nursery.cancel_scope.cancel()


async def test_who_changes_something_knows_what_others_have_changed(two):
    one, other = two
    async with one.change():
        await one.put(ALICE)
    async with other.change():
        assert other.book.records == {"1": ALICE}
        await other.put(BOB)
    async with one.change():
        assert one.book.records == {"1": ALICE, "2": BOB}


async def test_who_comes_second_does_not_undo_what_the_first_has_done(two):
    one, other = two
    async with one.change(), other.change():
        await one.put(ALICE)
        with pytest.raises(Overtaken):
            await other.put(BOB)
        with pytest.raises(Overtaken):
            await other.remove("1")
    async with other.change():
        assert other.book.records == {"1": ALICE}
        await other.put(BOB)


async def test_a_key_that_changes_hands_is_the_other_ones(two):
    """Both changes are seen at once, and in the order of the last one of each consumer."""
    one, other = two
    key = ALICE.keys
    async with one.change():
        await one.put(ALICE)
    async with other.change():
        pass
    async with one.change():
        await one.put(ConsumerRecord("1", 100, "alice"))
        await one.put(ConsumerRecord("2", 100, "bob", keys=key))
        await one.put(ConsumerRecord("1", 100, "alice again"))
    async with other.change():
        owner = other.book.of_key(digest_of(b"key"))
        assert owner.consumer.username == "bob"


async def test_a_file_that_can_not_be_read_for_a_while(two, nursery, monkeypatch):
    one, other = two
    ears, failed = Ears(other), trio.Event()

    def broken():
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sqlite_consumers.log, "warning", lambda *_, **__: failed.set())
    with monkeypatch.context() as patch:
        patch.setattr(other, "_news", broken)
        nursery.start_soon(other.watch)
        with trio.fail_after(SECONDS):
            await failed.wait()
    async with one.change():
        await one.put(ALICE)
    assert await ears.hear(1) == [("1", ALICE)]
    nursery.cancel_scope.cancel()
