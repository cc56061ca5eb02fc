"""The supervisor's end of the links: every published item to the workers that hold its channel."""

from collections.abc import Iterable

import attrs
import structlog
import trio

from realtime_proxy.channels.membership import HubChannels
from realtime_proxy.inputs.link_messages import Kind, decode_item, encode_item
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import Item
from realtime_proxy.net.zmq_socket import PairSocket

# So many bytes of items may be on the way to one worker; what is published beyond is lost to it.
MAX_LINK_BYTES = 64_000_000
COUNT_SECONDS = 2.0

log = structlog.get_logger()


@attrs.define(eq=False)
class _Link:
    """One worker's link: its socket, and what it has been sent but not delivered yet."""

    socket: PairSocket
    ready: trio.Event
    pending_bytes: int = 0
    lost: int = 0


@attrs.define(eq=False)
class _Count:
    """A question to all workers that is being answered."""

    missing: set[int]
    total: int = 0
    done: trio.Event = attrs.field(factory=trio.Event)


class Hub:
    """Takes items where one process would have an intake, and sends them to the workers."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._channels = HubChannels()
        self._links: dict[int, _Link] = {}
        self._counts: dict[int, _Count] = {}
        self._next_count = 0

    async def serve(self, worker: int, socket: PairSocket, ready: trio.Event) -> None:
        """Be the other end of one worker's link until cancelled; `ready` is set when it serves."""
        with socket:
            self._links[worker] = _Link(socket, ready)
            try:
                while True:
                    for message in await socket.receive():
                        self._arrived(worker, message)
            finally:
                del self._links[worker]
                self._channels.forget(worker)
                for number in list(self._counts):
                    self._counted(worker, number, 0)

    def _arrived(self, worker: int, message: list[bytes]) -> None:
        kind, *parts = message
        match Kind(kind):
            case Kind.READY:
                self._links[worker].ready.set()
            case Kind.HOLD:
                self._channels.hold(worker, parts[0].decode())
                self._links[worker].socket.send([Kind.GRANTED, parts[0]])
            case Kind.RELEASE:
                self._channels.release(worker, parts[0].decode())
            case Kind.TAKEN:
                self._links[worker].pending_bytes -= int(parts[0])
            case Kind.PUBLISH:
                self.submit(decode_item(part) for part in parts)
            case Kind.COUNTED:
                self._counted(worker, int(parts[0]), int(parts[1]))

    def submit(self, items: Iterable[Item]) -> None:
        """Send items, in their order, to every worker that holds their channels."""
        parts: dict[int, list[bytes]] = {}
        for item in items:
            self._counters.items_published += 1
            data = None
            for worker in self._channels.holders(item.channel):
                data = data or encode_item(item)
                parts.setdefault(worker, []).append(data)
        for worker, of_worker in parts.items():
            self._send(self._links[worker], of_worker)

    def _send(self, link: _Link, parts: list[bytes]) -> None:
        size = sum(map(len, parts))
        if link.pending_bytes and link.pending_bytes + size > MAX_LINK_BYTES:
            if not link.lost:
                log.error("a worker is too slow: items are lost to it", pending=link.pending_bytes)
            link.lost += len(parts)
            self._counters.items_lost += len(parts)
            return
        if link.lost:
            link.socket.send([Kind.LOST, b"%d" % link.lost])
            link.lost = 0
        link.pending_bytes += size
        link.socket.send([Kind.ITEMS, *parts])

    async def count(self, items: list[Item]) -> int:
        """How many subscribers items have, over all workers."""
        number = self._next_count
        self._next_count += 1
        count = self._counts[number] = _Count(set(self._links))
        message = [Kind.COUNT, b"%d" % number, *map(encode_item, items)]
        for link in self._links.values():
            link.socket.send(message)
        if self._links:
            with trio.move_on_after(COUNT_SECONDS):
                await count.done.wait()
        del self._counts[number]
        return count.total

    def _counted(self, worker: int, number: int, found: int) -> None:
        count = self._counts.get(number)
        if count is None or worker not in count.missing:
            return
        count.missing.discard(worker)
        count.total += found
        if not count.missing:
            count.done.set()
