"""What stands before a held connection that may not get each item: the route's handlers."""

from realtime_proxy.channels.subscriber import Subscriber
from realtime_proxy.model.item import Item
from realtime_proxy.net.timers import Timers
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.serving.live_route import LiveRoute


class PersonalDelivery:
    """Takes the items of one hold, and passes on those that handlers let through."""

    __slots__ = ("_exchange", "_hold", "_route", "_timers", "last_write_at")

    def __init__(
        self, hold: Subscriber, route: LiveRoute, exchange: Exchange | None, timers: Timers
    ) -> None:
        self._hold = hold
        self._route = route
        self._exchange = exchange
        self._timers = timers
        self.last_write_at = 0.0

    def give(self, item: Item, data: bytes | None) -> None:
        """Take the next item of any of the hold's channels."""
        chain, exchange = self._route.chain, self._exchange
        if chain is not None and exchange is not None and not chain.delivery(exchange, item):
            return
        if data is None:
            self._hold.item_arrived(item)
        else:
            self._hold.writer.write(data)
            self.last_write_at = self._timers.now()


def personal_delivery(
    hold: Subscriber, route: LiveRoute, exchange: Exchange | None, timers: Timers
) -> PersonalDelivery | None:
    """What a hold needs; None if it may have every item as it is."""
    if route.chain is None or not route.chain.has_delivery:
        return None
    return PersonalDelivery(hold, route, exchange, timers)
