"""Consumers in an SQLite file, written by one thread."""

import os
import sqlite3
from pathlib import Path

import msgspec
import structlog
import trio

from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.inputs.consumer_store import ConsumerStore, Overtaken
from realtime_proxy.model.consumer_record import ConsumerRecord, decode_record, encode_record
from realtime_proxy.pipeline.stored_consumers import StoredConsumers

# Another process writes the same file while one takes the other's place, or if they share it.
LOOK_SECONDS = 0.5
_KEY_PATH = "consumers.store"

log = structlog.get_logger()


class SqliteConsumers(ConsumerStore):
    """Has the file."""

    def __init__(self, file: Path, book: StoredConsumers) -> None:
        """Raises ConfigError when the file can't be had, or is something else."""
        super().__init__(book)
        self._writer = trio.CapacityLimiter(1)
        self._version = -1  # what SQLite calls the state that others have left
        try:
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
            # Threads take turns; that is what the limiter and the lock are for.
            self._database = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS consumers (id TEXT PRIMARY KEY, record BLOB NOT NULL)"
            )
            for record in (self._news() or {}).values():
                book.put(record)
        except (OSError, sqlite3.Error, msgspec.DecodeError) as error:
            raise ConfigError([Problem(_KEY_PATH, f"{file} can't be used: {error}")]) from error

    async def known(self) -> None:
        """They are from the start."""

    async def put(self, record: ConsumerRecord) -> None:
        """Keep a consumer as it is now; it counts once it is in the file. Raises Overtaken."""
        statement = "INSERT OR REPLACE INTO consumers VALUES (?, ?)"
        await self._write(statement, (record.id, encode_record(record)))
        self._put(record)

    async def remove(self, record_id: str) -> None:
        """Keep a consumer no more. Raises Overtaken."""
        await self._write("DELETE FROM consumers WHERE id = ?", (record_id,))
        self._remove(record_id)

    async def _write(self, statement: str, values: tuple[object, ...]) -> None:
        def write() -> bool:
            with self._database:  # a transaction, which no other process writes in
                self._database.execute("BEGIN IMMEDIATE")
                if is_known := self._version_of_others() == self._version:
                    self._database.execute(statement, values)
            return is_known

        if not await trio.to_thread.run_sync(write, limiter=self._writer):
            raise Overtaken("another process has changed the consumers meanwhile")

    # -- what other processes change ---------------------------------------------------------

    async def watch(self) -> None:
        """Look for what other processes have changed, until cancelled."""
        while True:
            try:
                async with self.change():
                    pass
            except (sqlite3.Error, msgspec.DecodeError) as error:
                log.warning("consumers can't be read", problem=str(error))
            await trio.sleep(LOOK_SECONDS)

    async def _catch_up(self) -> None:
        news = await trio.to_thread.run_sync(self._news, limiter=self._writer)
        if news is not None:
            self._replace(news)

    def _news(self) -> dict[str, ConsumerRecord] | None:
        """All consumers, the latest change last; None if others have changed nothing."""
        version = self._version_of_others()
        if version == self._version:
            return None
        rows = self._database.execute("SELECT record FROM consumers ORDER BY rowid")
        records = [decode_record(record) for (record,) in rows]
        self._version = version
        return {record.id: record for record in records}

    def _version_of_others(self) -> int:
        """A number that is another one once another process has changed the file."""
        return int(self._database.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._database.close()
