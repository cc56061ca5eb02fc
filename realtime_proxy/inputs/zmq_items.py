"""Items over ZeroMQ sockets: one per message, bad ones skipped, logged and counted."""

from collections.abc import Callable

import structlog
import trio

from realtime_proxy.errors import PublishError
from realtime_proxy.grip.publish import parse_message
from realtime_proxy.inputs.publishing import Publishing
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import Publication
from realtime_proxy.net.zmq_socket import PullSocket, SubSocket

log = structlog.get_logger()


def pushed_item(parts: list[bytes]) -> Publication:
    """The item in a message of a PULL socket: its only part. Raises PublishError."""
    if len(parts) != 1:
        raise PublishError("received message with parts != 1, skipping")
    return parse_message(parts[0])


def item_of_topic(parts: list[bytes]) -> Publication:
    """The item in a message of a SUB socket, for the channel that is its topic.

    What the item says of its channel only counts if the topic is empty. Raises PublishError.
    """
    if len(parts) != 2:
        raise PublishError("received message with parts != 2, skipping")
    topic, frame = parts
    try:
        channel = topic.decode()
    except UnicodeDecodeError as error:
        raise PublishError("received message with a topic that is not UTF-8") from error
    return parse_message(frame, channel)


class ZmqItems:
    """Feeds the door from a socket. `read` takes the parts of a message for an item."""

    def __init__(
        self,
        socket: PullSocket | SubSocket,
        read: Callable[[list[bytes]], Publication],
        publishing: Publishing,
        counters: Counters,
    ) -> None:
        self._socket = socket
        self._read = read
        self._publishing = publishing
        self._counters = counters
        self._running = trio.CancelScope()

    async def run(self) -> None:
        """Take messages until cancelled, or until publishers are elsewhere."""
        with self._socket, self._running:
            while True:
                await self._publishing.room()  # what is not read waits with the publisher
                self._take(await self._socket.receive())

    async def send_away(self) -> None:
        """Have publishers go to whoever listens with the same sockets, and take all they sent."""
        await self._socket.send_away()
        while batch := self._socket.waiting():
            self._take(batch)
        self._running.cancel()

    def _take(self, batch: list[list[bytes]]) -> None:
        read = self._read
        items: list[Publication] = []
        for parts in batch:
            try:
                items.append(read(parts))
            except PublishError as error:
                self._skip(str(error))
            except Exception:
                # A defect met on one item must not end publishing, and the worker with it.
                log.exception("item failed", size=sum(map(len, parts)))
        if items:
            self._publishing.submit(items)

    def _skip(self, why: str) -> None:
        self._counters.items_refused += 1
        log.warning("item skipped", input=self._socket.name, problem=why)
