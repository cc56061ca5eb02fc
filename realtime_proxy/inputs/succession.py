"""What is published while the process before this one still has clients: it goes to both."""

from collections.abc import Iterable

from realtime_proxy.inputs.publishing import Publishing, Reach, Topics
from realtime_proxy.model.item import Item, Publication


class Succession:
    """This process's own door, and until `end` the hub of the process whose place it takes.

    Each puts items in order by itself: they share no client.
    """

    def __init__(self, own: Publishing, predecessor: Publishing) -> None:
        self._own = own
        self._all: tuple[Publishing, ...] = (own, predecessor)

    def end(self) -> None:
        """The other is gone."""
        self._all = (self._own,)

    async def room(self) -> None:
        """Wait until there is room for more."""
        for one in self._all:
            await one.room()

    def submit(self, items: Iterable[Publication]) -> None:
        """Put items in line for delivery."""
        items = list(items)
        for one in self._all:
            one.submit(items)

    async def count(self, items: list[Item]) -> Reach:
        """How many subscribers items have, at this moment."""
        reaches = [await one.count(items) for one in self._all]
        return Reach(*(sum(reach[index] for reach in reaches) for index in range(2)))

    def recover(self) -> None:
        """Forget all last ids, and have every hold ask its backend."""
        for one in self._all:
            one.recover()

    def refresh_channel(self, channel: str) -> None:
        """Have all WebSockets of a channel ask their backends."""
        for one in self._all:
            one.refresh_channel(channel)

    async def refresh_connection(self, name: bytes) -> bool:
        """Have a connection ask its backend, if it is a WebSocket; False if it is unknown."""
        return True in [await one.refresh_connection(name) for one in self._all]

    async def connected(self, names: list[bytes]) -> list[bytes] | None:
        """Those of the names that are connections; None if not all could be asked."""
        found: set[bytes] = set()
        for one in self._all:
            its = await one.connected(names)
            if its is None:
                return None
            found.update(its)
        return [name for name in names if name in found]

    def show_channels(self, topics: Topics) -> None:
        """From now on, have these know which channels are held: once for each who holds them."""
        for one in self._all:
            one.show_channels(topics)
