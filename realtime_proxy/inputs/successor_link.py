"""The link to the process that takes the place of this one, as this one has it while it drains.

To the other it is what a worker's link is: it asks for the channels that are held here, and gets
their items, in the order that the other gives them.
"""

from collections.abc import Awaitable, Callable, Iterable

import structlog
import trio

from realtime_proxy.inputs.link_messages import Kind, decode_item, encode_item
from realtime_proxy.inputs.order import Order
from realtime_proxy.inputs.publishing import Publishing
from realtime_proxy.model.item import Item
from realtime_proxy.net.zmq_socket import PairSocket

log = structlog.get_logger()


class SuccessorLink:
    """One more way for items to come in, which is told what is listened to and published here."""

    def __init__(self, socket: PairSocket, publishing: Publishing, order: Order) -> None:
        self._socket = socket
        self._publishing = publishing
        self._order = order

    def begin(self) -> None:
        """Have the other put items in order from now on."""
        self._publishing.show_channels(self)
        self._order.hand_over(self)
        self._socket.send([Kind.READY])

    def give_up(self) -> None:
        """The other is gone before it has served: put items in order here again."""
        self._order.take_back(self)

    # -- to the other ------------------------------------------------------------------------

    def subscribe(self, channel: str) -> None:
        """A channel is held here."""
        last_id = self._order.grant(channel).last_id
        known = [] if last_id is None else [last_id.encode()]
        self._socket.send([Kind.HOLD, channel.encode(), *known])

    def unsubscribe(self, channel: str) -> None:
        """Nobody holds a channel here any more."""
        self._socket.send([Kind.RELEASE, channel.encode()])

    def publish(self, items: Iterable[Item]) -> None:
        """Send what is published here. It comes back if its channel is held here."""
        if parts := [part for item in items if (part := _encoded(item)) is not None]:
            self._socket.send([Kind.PUBLISH, *parts])

    # -- from the other ----------------------------------------------------------------------

    async def run(self) -> None:
        """Take what the other sends, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                for message in await self._socket.receive():
                    self._arrived(nursery, message)

    def _arrived(self, nursery: trio.Nursery, message: list[bytes]) -> None:
        kind, *parts = message
        match Kind(kind):
            case Kind.ITEMS:
                self._order.arrived(decode_item(part) for part in parts)
                self._taken(parts)
            case Kind.COUNT:
                self._taken(parts[1:])
                items = [decode_item(part) for part in parts[1:]]
                nursery.start_soon(self._answer, parts[0], lambda: self._count(items))
            case Kind.REFRESH:
                nursery.start_soon(self._answer, parts[0], lambda: self._refresh(parts[1]))
            case Kind.CONNECTED:
                nursery.start_soon(self._answer, parts[0], lambda: self._connected(parts[1:]))
            case Kind.UPDATE:
                self._order.update(parts[0].decode())
            case Kind.REFRESH_CHANNEL:
                self._publishing.refresh_channel(parts[0].decode())
            case Kind.LOST:
                log.error("items were lost on the way to this process", items=int(parts[0]))
                self._publishing.recover()
            case Kind.RECOVER:
                self._publishing.recover()
            case _:
                pass  # what is for workers, who go on

    def _taken(self, parts: list[bytes]) -> None:
        self._socket.send([Kind.TAKEN, b"%d" % sum(map(len, parts))])

    # -- questions ---------------------------------------------------------------------------

    async def _answer(self, number: bytes, ask: Callable[[], Awaitable[list[bytes]]]) -> None:
        self._socket.send([Kind.ANSWER, number, *await ask()])

    async def _count(self, items: list[Item]) -> list[bytes]:
        return [b"%d" % count for count in await self._publishing.count(items)]

    async def _refresh(self, name: bytes) -> list[bytes]:
        return [b"%d" % await self._publishing.refresh_connection(name)]

    async def _connected(self, names: list[bytes]) -> list[bytes]:
        return await self._publishing.connected(names) or []


def _encoded(item: Item) -> bytes | None:
    try:
        return encode_item(item)
    except RecursionError:
        log.warning("item skipped: nested too deeply", channel=item.channel)
        return None
