"""The store: what is told to it is there after a start, and nobody else can read it."""

import pytest

from realtime_proxy.errors import ConfigError
from realtime_proxy.inputs.consumer_store import ConsumerStore
from realtime_proxy.model.consumer_record import ConsumerRecord, KeyRecord
from realtime_proxy.pipeline.stored_consumers import StoredConsumers

ALICE = ConsumerRecord("1", 100, "alice", keys=(KeyRecord("k", "key", 100),))
BOB = ConsumerRecord("2", 100, "bob")


async def test_what_is_kept_is_there_after_a_start(tmp_path):
    file, heard = tmp_path / "consumers.db", []
    store = ConsumerStore(file, StoredConsumers())
    store.on_changed = lambda *change: heard.append(change)
    async with store.change():
        await store.put(ALICE)
        await store.put(BOB)
        await store.remove("2")
    assert heard == [("1", ALICE), ("2", BOB), ("2", None)]
    assert store.book.records == {"1": ALICE}
    store.close()
    again = ConsumerStore(file, StoredConsumers())
    assert again.book.records == {"1": ALICE}
    again.close()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_something_else(tmp_path):
    (tmp_path / "text").write_text("no database, but a text of some length" * 100)
    for file in (tmp_path / "text", tmp_path, tmp_path / "missing" / "file"):
        with pytest.raises(ConfigError, match=r"consumers.store: .* can't be used"):
            ConsumerStore(file, StoredConsumers())
