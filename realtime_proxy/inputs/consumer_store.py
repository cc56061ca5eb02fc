"""The store of consumers: read from memory, kept elsewhere, perhaps changed by others, too."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import trio

from realtime_proxy.model.consumer_record import ConsumerRecord
from realtime_proxy.pipeline.stored_consumers import StoredConsumers


class Overtaken(Exception):
    """Somebody else has changed something since the last look: look again."""


class StoreAway(Exception):
    """What keeps the consumers can't be asked; the text says why."""


class ConsumerStore(ABC):
    """Has the consumers in `book`, as they were known last.

    `on_changed` hears of each change: an id, and the record unless it is gone. `on_known` is called
    once, when consumers are known that were not at the start. What others change is known soon
    while `watch` runs, and within `change`.
    """

    def __init__(self, book: StoredConsumers) -> None:
        self.book = book
        self.on_changed: Callable[[str, ConsumerRecord | None], None] = _ignore
        self.on_known: Callable[[], None] = _ignore
        self._turn = trio.Lock()

    @asynccontextmanager
    async def change(self) -> AsyncIterator[None]:
        """Within this block nobody else in this process changes anything, and all is known.

        Another process may come first even so: then `put` and `remove` raise Overtaken. Raises
        StoreAway, as they do.
        """
        async with self._turn:
            await self._catch_up()
            yield

    @abstractmethod
    async def put(self, record: ConsumerRecord) -> None:
        """Keep a consumer as it is now; it counts once it is kept. Raises Overtaken."""

    @abstractmethod
    async def remove(self, record_id: str) -> None:
        """Keep a consumer no more. Raises Overtaken."""

    @abstractmethod
    async def watch(self) -> None:
        """Follow what others change, until cancelled."""

    @abstractmethod
    async def _catch_up(self) -> None:
        """Know what others have changed."""

    @abstractmethod
    async def known(self) -> None:
        """Come back when the consumers are known; while `watch` runs they will be."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is open."""

    # -- the book --------------------------------------------------------------------------

    def _replace(self, news: Mapping[str, ConsumerRecord]) -> None:
        """These are all consumers now; those first that have changed first."""
        for record_id in set(self.book.records).difference(news):
            self._remove(record_id)
        for record in news.values():
            if self.book.records.get(record.id) != record:
                self._put(record)

    def _put(self, record: ConsumerRecord) -> None:
        self.book.put(record)
        self.on_changed(record.id, record)

    def _remove(self, record_id: str) -> None:
        self.book.remove(record_id)
        self.on_changed(record_id, None)


def _ignore(*_: object) -> None:
    """Nobody has a copy."""
