"""What the hot path asks of those who receive items."""

from typing import Protocol

from realtime_proxy.model.item import Item
from realtime_proxy.wire.encodings import WireForm


class Writer(Protocol):
    """Where a subscriber's bytes go. Never waits, never raises."""

    def write(self, data: bytes) -> None:
        """Send now if nothing waits, else queue."""


class Subscriber(Protocol):
    """A held connection, as the channels know it."""

    @property
    def form(self) -> WireForm:
        """The form in which it takes items."""

    @property
    def writer(self) -> Writer:
        """Where its bytes go."""

    def item_arrived(self, item: Item) -> None:
        """Act on an item that is more than bytes to append: an answer, a hint, a close."""

    def accepts(self, item: Item) -> bool:
        """Whether this very connection may have the item; asked only if `personal`."""

    @property
    def personal(self) -> bool:
        """True if items have to be asked about one by one (a handler decides on delivery)."""
