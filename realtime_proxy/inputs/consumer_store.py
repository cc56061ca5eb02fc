"""The store of consumers: read from memory, written to an SQLite file by one thread."""

import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.model.consumer_record import ConsumerRecord, decode_record, encode_record
from realtime_proxy.pipeline.stored_consumers import StoredConsumers

_KEY_PATH = "consumers.store"


class ConsumerStore:
    """Owns the file. `on_changed` hears of each change: an id, and the record unless it is gone."""

    def __init__(self, file: Path, book: StoredConsumers) -> None:
        """Raises ConfigError when the file can't be had, or is something else."""
        self.book = book
        self.on_changed: Callable[[str, ConsumerRecord | None], None] = _ignore
        self._writer = trio.CapacityLimiter(1)
        self._turn = trio.Lock()
        try:
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
            # Threads take turns; that is what the limiter and the lock are for.
            self._database = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS consumers (id TEXT PRIMARY KEY, record BLOB NOT NULL)"
            )
            for (record,) in self._database.execute("SELECT record FROM consumers"):
                book.put(decode_record(record))
        except (OSError, sqlite3.Error, msgspec.DecodeError) as error:
            raise ConfigError([Problem(_KEY_PATH, f"{file} can't be used: {error}")]) from error

    @asynccontextmanager
    async def change(self) -> AsyncIterator[None]:
        """Within this block nobody else changes anything."""
        async with self._turn:
            yield

    async def put(self, record: ConsumerRecord) -> None:
        """Keep a consumer as it is now; it counts once it is in the file."""
        statement = "INSERT OR REPLACE INTO consumers VALUES (?, ?)"
        await self._write(statement, (record.id, encode_record(record)))
        self.book.put(record)
        self.on_changed(record.id, record)

    async def remove(self, record_id: str) -> None:
        """Keep a consumer no more."""
        await self._write("DELETE FROM consumers WHERE id = ?", (record_id,))
        self.book.remove(record_id)
        self.on_changed(record_id, None)

    async def _write(self, statement: str, values: tuple[object, ...]) -> None:
        def write() -> None:
            self._database.execute(statement, values)

        await trio.to_thread.run_sync(write, limiter=self._writer)

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _ignore(*_: object) -> None:
    """Nobody has a copy."""
