"""All clients of the only process."""

from realtime_proxy.channels.registry import Registry
from realtime_proxy.inputs.holding import Channels
from realtime_proxy.inputs.order import Order
from realtime_proxy.inputs.overview import Inspector
from realtime_proxy.model.connection_filter import ConnectionFilter
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.listed_channel import ListedChannel, listed_channel
from realtime_proxy.model.listed_connection import ConnectionPage

_NOBODY = ConnectionPage([], None)


class OwnOverview:
    """Answers from this process, whose `inspector` is there once it serves."""

    def __init__(self, registry: Registry, channels: Channels, order: Order) -> None:
        self._registry = registry
        self._channels = channels
        self._order = order
        self.inspector: Inspector | None = None

    @property
    def serving_workers(self) -> int:
        """This process, if it serves."""
        return 0 if self.inspector is None else 1

    def workers(self) -> tuple[int, ...]:
        """This process has the number 0."""
        return (0,)

    async def page(
        self, worker: int, which: ConnectionFilter, after: int, limit: int
    ) -> ConnectionPage:
        """Some of the connections meant."""
        if self.inspector is None or worker:
            return _NOBODY
        return await self.inspector.page(which, after, limit)

    async def dismiss(self, which: ConnectionFilter, dismissal: Dismissal) -> int:
        """End the connections meant."""
        return 0 if self.inspector is None else await self.inspector.dismiss(which, dismissal)

    def is_held(self, channel: str) -> bool:
        """True if a channel is held."""
        return self._channels.holds(channel)

    def channel_names(self) -> list[str]:
        """All channels that are held."""
        return self._channels.names()

    async def channels(self, names: list[str]) -> list[ListedChannel]:
        """Who listens to these."""
        return [
            listed_channel(
                name, {0: self._registry.subscribers(name)}, self._order.grant(name).last_id
            )
            for name in names
        ]
