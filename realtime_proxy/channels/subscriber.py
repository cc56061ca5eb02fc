"""What the hot path asks of those who receive items."""

from typing import Protocol

from realtime_proxy.channels.scope import Scope
from realtime_proxy.model.item import Item
from realtime_proxy.wire.encodings import WireForm


class Writer(Protocol):
    """Where a subscriber's bytes go. Never waits, never raises."""

    def write(self, data: bytes) -> None:
        """Send now if nothing waits, else queue."""


class Personal(Protocol):
    """What stands before a subscriber that may not get each item, or not as it is."""

    def give(self, item: Item, data: bytes | None) -> None:
        """Take the next item, and pass on what of it is for this subscriber.

        `data` is the item in the subscriber's form; None if it has to act on it by itself.
        """


class Subscriber(Protocol):
    """A held connection, as the channels know it."""

    @property
    def form(self) -> WireForm:
        """The form in which it takes items."""

    @property
    def writer(self) -> Writer:
        """Where its bytes go."""

    @property
    def route_id(self) -> str:
        """The id that the configuration gives its route, empty if it gives none."""

    def scope_on(self, channel: str) -> Scope | None:
        """What it may have of the channel's items; None if there is no such limit."""

    def item_arrived(self, item: Item) -> None:
        """Act on an item that is more than bytes to append: an answer, a hint, a close."""

    def fell_behind(self, item: Item) -> None:
        """Do without an item that does not follow what the subscription was at: one is missing.

        Called instead of any delivery, and only if subscribed with a position. Whatever was to be
        delivered before is written by now.
        """

    def update(self) -> None:
        """Ask the backend for news, if there is a way to (grip.md G-8.12, publish.md P-5.3)."""

    @property
    def personal(self) -> Personal | None:
        """What takes its items instead, one by one; None for nearly all."""
