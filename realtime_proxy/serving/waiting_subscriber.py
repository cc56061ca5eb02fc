"""Who keeps the places of a stream in its channels while its link is asked."""

from typing import TYPE_CHECKING

from realtime_proxy.channels.scope import Scope
from realtime_proxy.channels.subscriber import Writer
from realtime_proxy.model.item import Item
from realtime_proxy.wire.encodings import WireForm

if TYPE_CHECKING:
    from realtime_proxy.serving.linked_stream import LinkedStream


class WaitingSubscriber:
    """Subscribed in a stream's place while its items wait."""

    __slots__ = ("_stream",)

    form = WireForm.KEPT
    personal = None

    def __init__(self, stream: "LinkedStream") -> None:
        self._stream = stream

    @property
    def route_id(self) -> str:
        """Where its items count."""
        return self._stream.route_id

    @property
    def writer(self) -> Writer:
        """Never written to: items of this form are handed over."""
        return self._stream.writer

    def scope_on(self, channel: str) -> Scope | None:
        """What the stream may have."""
        return self._stream.scope_on(channel)

    def item_arrived(self, item: Item) -> None:
        """Keep an item."""
        self._stream.keep(item)

    def fell_behind(self, item: Item) -> None:
        """Never called: it is at no position."""

    def update(self) -> None:
        """Look at the link, whatever its time."""
        self._stream.update()
