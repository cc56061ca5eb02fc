"""A subscriber of channels that keeps what it gets."""

import attrs

from realtime_proxy.channels.scope import Scope
from realtime_proxy.model.item import Item
from realtime_proxy.wire.encodings import WireForm


@attrs.define(eq=False)
class RecordingSubscriber:
    """Takes items in one form; with `refused`, channels whose items it may not have, one by one."""

    form: WireForm = WireForm.CHUNK
    refused: frozenset[str] | None = None
    written: list[bytes] = attrs.field(factory=list)
    items: list[Item] = attrs.field(factory=list)
    missed: list[Item] = attrs.field(factory=list)
    updates: int = 0
    route_id: str = ""
    scope: Scope | None = None

    def scope_on(self, channel: str) -> Scope | None:  # noqa: ARG002  the same on all
        """What it may have."""
        return self.scope

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

    def fell_behind(self, item: Item) -> None:
        """Keep an item that did not follow."""
        self.missed.append(item)

    def update(self) -> None:
        """Count how often the backend was to be asked."""
        self.updates += 1

    @property
    def personal(self) -> "RecordingSubscriber | None":
        """Itself, if some channels are refused."""
        return None if self.refused is None else self

    def give(self, item: Item, data: bytes | None) -> None:
        """Keep an item, if it is not of a refused channel."""
        if self.refused is not None and item.channel in self.refused:
            return
        if data is None:
            self.item_arrived(item)
        else:
            self.write(data)
