"""What publishers meet behind every input: the door of the only process, or the hub of several."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from realtime_proxy.model.item import Item, Publication


class Reach(NamedTuple):
    """How many subscribers items have, and for how many of them there is room in line."""

    matched: int
    queued: int


class Topics(Protocol):
    """Where publishers see what is listened to, and may leave out the rest."""

    def subscribe(self, channel: str, /) -> None:
        """A channel has its first subscriber."""

    def unsubscribe(self, channel: str, /) -> None:
        """A channel has lost its last subscriber."""


class Successor(Topics, Protocol):
    """Another process that puts items in order from now on."""

    def publish(self, items: Iterable[Item], /) -> None:
        """Send items there. They come back if their channels are held here."""


class Publishing(Protocol):
    """Takes what is published."""

    async def room(self) -> None:
        """Wait until there is room for more."""

    def submit(self, items: Iterable[Publication], /) -> object:
        """Put items in line for delivery."""

    async def count(self, items: list[Item], /) -> Reach:
        """How many subscribers items have, at this moment."""

    def recover(self) -> None:
        """Forget all last ids, and have every hold ask its backend."""

    def refresh_channel(self, channel: str, /) -> None:
        """Have all WebSockets of a channel ask their backends."""

    async def refresh_connection(self, name: bytes, /) -> bool:
        """Have a connection ask its backend, if it is a WebSocket; False if it is unknown."""

    async def connected(self, names: list[bytes], /) -> list[bytes] | None:
        """Those of the names that are connections; None if not all could be asked."""

    def show_channels(self, topics: Topics, /) -> None:
        """From now on, have these know which channels are held."""
