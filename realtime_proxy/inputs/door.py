"""The door of the only process: what is published is put in order, and delivered here."""

from collections.abc import Iterable

from realtime_proxy.channels.limits import Limits
from realtime_proxy.channels.membership import Grant
from realtime_proxy.channels.registry import Registry
from realtime_proxy.config.schema import Publish
from realtime_proxy.inputs.holding import channels_of
from realtime_proxy.inputs.intake import Intake
from realtime_proxy.inputs.limited_intake import LimitedIntake
from realtime_proxy.inputs.open_connections import OpenConnections
from realtime_proxy.inputs.order import Order
from realtime_proxy.inputs.overview import Inspector
from realtime_proxy.inputs.own_overview import OwnOverview
from realtime_proxy.inputs.publishing import Reach, Topics
from realtime_proxy.inputs.tokens import OwnTokens, TokenDesk
from realtime_proxy.inputs.waiting_room import WaitingRoom
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.connection_filter import ConnectionFilter
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.item import Item, Publication
from realtime_proxy.net.timers import Timers


class Door:
    """Both ends of what is between supervisor and worker elsewhere, without anything between."""

    def __init__(
        self,
        settings: Publish,
        registry: Registry,
        connections: OpenConnections,
        timers: Timers,
        counters: Counters,
    ) -> None:
        self._registry = registry
        self._connections = connections
        linger_seconds = settings.subscription_linger_seconds
        self.channels = channels_of(registry, self, linger_seconds)
        self.intake = self._intake_of(settings, timers, counters)
        self._line = self.intake.line = WaitingRoom(settings.max_queued_bytes, counters)
        self.order = Order(
            settings,
            timers,
            counters,
            is_held=self.channels.holds,
            forward=self.intake.submit,
            update=lambda channel: self.intake.update([channel]),
        )
        self.overview = OwnOverview(registry, self.channels, self.order)

    def _intake_of(self, settings: Publish, timers: Timers, counters: Counters) -> Intake:
        limits = Limits.of(settings)
        if limits is None:
            return Intake(self._registry, self.channels, timers)
        tokens = None
        if limits.per_second:
            tokens = OwnTokens(TokenDesk(limits.per_second, timers))
        return LimitedIntake(self._registry, self.channels, timers, limits, tokens, counters)

    def adopt(self, settings: Publish) -> None:
        """Go by these settings from now on."""
        self.channels.linger_seconds = settings.subscription_linger_seconds
        self._line.max_bytes = settings.max_queued_bytes
        self.order.adopt(settings)

    # -- publishers ------------------------------------------------------------------------

    async def room(self) -> None:
        """Wait until there is room for more items."""
        await self._line.wait()

    def submit(self, items: Iterable[Publication]) -> None:
        """Deliver items in their order."""
        self.order.submit(items)

    async def count(self, items: Iterable[Item]) -> Reach:
        """How many subscribers items have, at this moment."""
        return self.intake.reach(items)

    def publish(self, item: Item) -> int:
        """Publish from inside; how many subscribers the item has."""
        count = self._registry.count(item)
        self.submit([item])
        return count

    def recover(self) -> None:
        """Forget all last ids, and have every hold ask its backend."""
        self.order.recover()
        self.intake.recover()

    def refresh_channel(self, channel: str) -> None:
        """Have all WebSockets of a channel ask their backends."""
        self.intake.refresh(channel)

    async def refresh_connection(self, name: bytes) -> bool:
        """Have a connection ask its backend, if it is a WebSocket; False if it is unknown."""
        return self._connections.refresh(name)

    async def connected(self, names: list[bytes]) -> list[bytes]:
        """Those of the names that are connections."""
        return self._connections.connected(names)

    def show_channels(self, topics: Topics) -> None:
        """From now on, have these know which channels are held."""
        self.order.show_channels(self.channels.names(), topics)

    # -- operators -------------------------------------------------------------------------

    @property
    def inspector(self) -> Inspector | None:
        """What knows the connections, once they are served."""
        return self.overview.inspector

    @inspector.setter
    def inspector(self, inspector: Inspector) -> None:
        self.overview.inspector = inspector

    async def dismiss_everywhere(self, which: ConnectionFilter, dismissal: Dismissal) -> None:
        """End the connections meant: all are of this process."""
        await self.overview.dismiss(which, dismissal)

    # -- the owner of channels ---------------------------------------------------------------

    def hold(self, channel: str) -> Grant:
        """Nobody else can have it: granted at once."""
        self.order.begin(channel)
        return self.order.grant(channel)

    def release(self, channel: str) -> None:
        """Nobody listens to a channel any more."""
        self.order.end(channel)

    def contradicted(self, channel: str, last_id: str) -> None:
        """A backend knows another last id of a channel than this."""
        self.order.contradicted(channel, last_id)
