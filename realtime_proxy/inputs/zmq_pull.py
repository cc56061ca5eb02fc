"""Items over a ZeroMQ PULL socket: one per message, bad ones skipped, logged and counted."""

import structlog

from realtime_proxy.errors import PublishError
from realtime_proxy.grip.publish import parse_message
from realtime_proxy.inputs.http_control import Publishing
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import Item
from realtime_proxy.net.zmq_socket import PullSocket

log = structlog.get_logger()


class ZmqPull:
    """Feeds the intake from a PULL socket."""

    def __init__(self, socket: PullSocket, publishing: Publishing, counters: Counters) -> None:
        self._socket = socket
        self._publishing = publishing
        self._counters = counters

    async def run(self) -> None:
        """Take messages until cancelled."""
        with self._socket:
            while True:
                batch = await self._socket.receive()
                items = [item for parts in batch if (item := self._item(parts)) is not None]
                if items:
                    self._publishing.submit(items)

    def _item(self, parts: list[bytes]) -> Item | None:
        try:
            if len(parts) != 1:
                raise PublishError("received message with parts != 1, skipping")
            return parse_message(parts[0])
        except PublishError as error:
            self._skip(str(error))
        except Exception:
            # A defect met on one item must not end publishing, and the worker with it.
            log.exception("item failed", size=len(parts[0]))
        return None

    def _skip(self, why: str) -> None:
        self._counters.items_refused += 1
        log.warning("item skipped", input="zmq pull", problem=why)
