"""A worker's end of its link: channels are asked for, items are handed to the intake."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import structlog
import trio

from realtime_proxy.channels.membership import WorkerChannels
from realtime_proxy.channels.registry import Registry
from realtime_proxy.inputs.intake import Intake
from realtime_proxy.inputs.link_messages import Kind, decode_item, encode_item
from realtime_proxy.model.item import Action, HttpResponse, Item
from realtime_proxy.net.zmq_socket import PairSocket

log = structlog.get_logger()


class WorkerLink:
    """Keeps this worker's channels known to the supervisor, and takes what it sends."""

    def __init__(self, socket: PairSocket, registry: Registry, intake: Intake) -> None:
        self._socket = socket
        self._registry = registry
        self._intake = intake
        self._channels: WorkerChannels[trio.Event] = WorkerChannels(
            ask=lambda channel: socket.send([Kind.HOLD, channel.encode()]),
            release=lambda channel: socket.send([Kind.RELEASE, channel.encode()]),
            wake=trio.Event.set,
            has_subscribers=registry.has_subscribers,
        )
        registry.on_deserted = self._channels.deserted

    @asynccontextmanager
    async def holding(self, channels: Sequence[str]) -> AsyncIterator[None]:
        """Within this block the items of these channels come here: subscribe in it."""
        waits = [self._channels.pin(channel, trio.Event) for channel in channels]
        try:
            for event in waits:
                if event is not None:
                    await event.wait()
            yield
        finally:
            for channel in channels:
                self._channels.unpin(channel)

    def tell_ready(self) -> None:
        """Clients can connect to this worker."""
        self._socket.send([Kind.READY])

    def publish(self, item: Item) -> None:
        """Publish from inside a worker: the item goes to all of them in one order."""
        self._socket.send([Kind.PUBLISH, encode_item(item)])

    async def run(self) -> None:
        """Take what the supervisor sends, until cancelled."""
        while True:
            for message in await self._socket.receive():
                self._arrived(message)

    def _arrived(self, message: list[bytes]) -> None:
        kind, *parts = message
        match Kind(kind):
            case Kind.GRANTED:
                self._channels.granted(parts[0].decode())
            case Kind.ITEMS:
                self._items_arrived(parts)
            case Kind.COUNT:
                found = sum(self._registry.count(item) for item in _decoded(parts[1:]))
                self._socket.send([Kind.COUNTED, parts[0], b"%d" % found])
                self._taken(parts[1:])
            case Kind.LOST:
                self._items_lost(int(parts[0]))

    def _items_arrived(self, parts: list[bytes]) -> None:
        self._intake.submit(_decoded(parts), lambda: self._taken(parts))

    def _taken(self, parts: list[bytes]) -> None:
        self._socket.send([Kind.TAKEN, b"%d" % sum(map(len, parts))])

    def _items_lost(self, count: int) -> None:
        """Nobody knows which items: all who can ask their backends again do so."""
        log.error("items were lost on the way to this worker", items=count)
        hint = HttpResponse(action=Action.HINT)
        self._intake.submit(Item(channel, http_response=hint) for channel in self._channels.names())


def _decoded(parts: list[bytes]) -> Iterator[Item]:
    for part in parts:
        try:
            item = decode_item(part)
        except Exception:
            # What one item is made of must not end the worker.
            log.exception("item failed", size=len(part))
        else:
            yield item
