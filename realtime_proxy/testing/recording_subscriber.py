"""A subscriber of channels that keeps what it gets."""

import attrs

from realtime_proxy.model.item import Item
from realtime_proxy.wire.encodings import WireForm


@attrs.define(eq=False)
class RecordingSubscriber:
    """Takes items in one form. `refused` names channels whose items it may not have."""

    form: WireForm = WireForm.CHUNK
    personal: bool = False
    refused: frozenset[str] = frozenset()
    written: list[bytes] = attrs.field(factory=list)
    items: list[Item] = attrs.field(factory=list)

    @property
    def writer(self) -> "RecordingSubscriber":
        """Where its bytes go: to `written`."""
        return self

    def write(self, data: bytes) -> None:
        """Keep bytes."""
        self.written.append(data)

    def item_arrived(self, item: Item) -> None:
        """Keep an item that is more than bytes."""
        self.items.append(item)

    def accepts(self, item: Item) -> bool:
        """False for items of the refused channels."""
        return item.channel not in self.refused
