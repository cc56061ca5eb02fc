"""HTTP clients held open: what streams and long-polls share.

A hold has no task. Items, timers and the watcher call it; what it does never waits.
"""

import time
from collections.abc import Callable, Mapping

from realtime_proxy.channels.counted import counting
from realtime_proxy.channels.group import Subscription
from realtime_proxy.channels.subscriber import Subscriber
from realtime_proxy.errors import FilterError
from realtime_proxy.grip.filters import FilterChain
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.connection_record import ConnectionRecord
from realtime_proxy.model.item import Item
from realtime_proxy.net.timers import Timer
from realtime_proxy.serving.errand import Errand
from realtime_proxy.serving.hold_order import HoldOrder
from realtime_proxy.serving.personal_delivery import (
    PersonalDelivery,
    note_skipped,
    personal_delivery,
)
from realtime_proxy.wire.encodings import WireForm


class HttpHold:
    """What both kinds share: subscriptions, a timer, handlers and filters, those that watch."""

    __slots__ = (
        "_exchange",
        "_route",
        "_subscriptions",
        "_timer",
        "connection",
        "form",
        "personal",
        "writer",
    )

    kind = ""

    def __init__(self, order: HoldOrder, form: WireForm) -> None:
        self.connection = order.connection
        record = None if order.exchange is None else order.exchange.record
        self.writer = counting(order.connection.socket, record)
        self.form = form
        self._route = order.route
        self._exchange = order.exchange
        self.personal = personal_delivery(self, order.route, order.exchange)
        if order.filters:
            self._filter(order.filters, order.meta, order.errand)
        self._timer: Timer | None = None
        self._subscriptions: tuple[Subscription, ...] = ()

    @property
    def route_id(self) -> str:
        """The id that the configuration gives its route, empty if it gives none."""
        return self._route.stats_id

    def item_arrived(self, item: Item) -> None:
        """Act on an item that is more than bytes to append."""
        raise NotImplementedError

    def skipped(self, item: Item, error: FilterError) -> None:
        """Do without an item on which a filter failed."""
        note_skipped(self.connection.context, self._route, item, error)

    def as_seen(self, item: Item) -> Item:
        """An item with the content that this client would get without filters."""
        return item

    def last_ids(self) -> dict[str, str | None]:
        """The channels, as the backend names them, with the last ids that the client has."""
        prefix = self._route.channel_prefix
        return {
            place.group.channel.removeprefix(prefix): place.group.position
            for place in self._subscriptions
        }

    def is_tracked(self, channel: str) -> bool:
        """True if items of this channel have to follow each other."""
        return any(
            place.group.channel == channel and place.group.position is not None
            for place in self._subscriptions
        )

    def fall_back(self, channel: str, position: str) -> None:
        """Be at this earlier place in a channel, if its places count."""
        registry = self.connection.context.registry
        places = list(self._subscriptions)
        for index, place in enumerate(places):
            group = place.group
            if group.channel == channel and group.position is not None:
                places[index] = registry.subscribe(
                    channel, self, shared=group.is_shared, position=position
                )
                registry.unsubscribe(place)
        self._subscriptions = tuple(places)

    def _filter(
        self,
        filters: dict[str, FilterChain],
        meta: Mapping[str, str],
        make_errand: Callable[[], Errand | None],
    ) -> None:
        if self.personal is None:
            self.personal = PersonalDelivery(self, self._route, self._exchange)
        self.personal.filter_by(filters, meta)
        if any(chain.asks for chain in filters.values()):
            self.personal.go_by(make_errand())

    def fell_behind(self, item: Item) -> None:
        """Ask the backend for what is missing, if there is a way to."""

    def update(self) -> None:
        """Ask the backend for news, if there is a way to."""

    def _subscribe(self, order: HoldOrder, positions: Mapping[str, str | None]) -> None:
        self._join(positions, self)
        if self._route.logs_requests:
            order.log_subscriptions()
        if (tally := self.connection.context.tally) is not None:
            tally.hold(self.connection, self.kind)
        if self._exchange is not None and self._route.chain is not None:
            self._exchange.held = self.kind
            if (record := self._record) is not None:
                record.opened_at = record.opened_at or time.time()
                record.holds += 1
                record.channels = tuple(positions)
            self._route.chain.opened(self._exchange)

    def _join(self, positions: Mapping[str, str | None], subscriber: Subscriber) -> None:
        registry = self.connection.context.registry
        shared = len(positions) > 1
        for channel, position in positions.items():
            place = registry.subscribe(channel, subscriber, shared=shared, position=position)
            self._subscriptions += (place,)

    def _release(self) -> None:
        """Leave every channel, and forget the timer."""
        registry = self.connection.context.registry
        for subscription in self._subscriptions:
            registry.unsubscribe(subscription)
        self._subscriptions = ()
        if self.personal is not None:
            self.personal.close()
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _record(self) -> ConnectionRecord | None:
        return None if self._exchange is None else self._exchange.record

    def _count_item(self) -> None:
        """Count an item that this hold has acted on by itself."""
        if (record := self._record) is not None:
            record.messages_out += 1

    def _tell_closed(self, reason: CloseReason) -> None:
        if (tally := self.connection.context.tally) is not None:
            tally.closed(self.connection, reason.value)
        if self._exchange is not None and self._route.chain is not None:
            self._route.chain.closed(self._exchange, reason.value)

    def client_gone(self, reason: CloseReason) -> None:
        """The client's connection has ended, whatever the reason."""
        self._release()
        self._tell_closed(reason)

    def _last_delivery_at(self) -> float:
        at_latest = 0.0 if self.personal is None else self.personal.last_write_at
        return max([at_latest, *(place.group.last_write_at for place in self._subscriptions)])
