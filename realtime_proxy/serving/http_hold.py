"""Holds over HTTP: what streams and long-polls have in common."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from realtime_proxy.channels.group import Subscription
from realtime_proxy.channels.subscriber import Subscriber
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.headers import Headers
from realtime_proxy.net.timers import Timer
from realtime_proxy.serving.held_client import HeldClient
from realtime_proxy.serving.hold_order import HoldOrder
from realtime_proxy.wire.encodings import WireForm

if TYPE_CHECKING:
    from realtime_proxy.serving.http_connection import HttpConnection


class HttpHold(HeldClient):
    """What both kinds share: subscriptions, a timer, those that are told of them."""

    __slots__ = ("_subscriptions", "_timer")

    connection: "HttpConnection"
    kind = ""

    def __init__(self, order: HoldOrder, form: WireForm) -> None:
        super().__init__(order.connection, order.route, order.exchange, form)
        if order.filters:
            self._filter(order.filters, order.meta, order.errand)
        self._timer: Timer | None = None
        self._subscriptions: tuple[Subscription, ...] = ()

    @property
    def _places(self) -> tuple[Subscription, ...]:
        return self._subscriptions

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
                self.sent(place.messages)
                registry.unsubscribe(place)
        self._subscriptions = tuple(places)

    def _subscribe(self, order: HoldOrder, positions: Mapping[str, str | None]) -> None:
        self._join(positions, self)
        if max_seconds := self._route.max_age_seconds:
            self.connection.context.ages.begin(self, max_seconds, order.ends_at)
        if self._route.logs_requests:
            order.log_subscriptions()
        if (presence := self.connection.presence) is not None:
            presence.hold(self.kind)
        if self._exchange is not None and self._route.chain is not None:
            self._exchange.held = self.kind
            request = self._exchange.request
            request.headers = Headers(request.headers)  # without what is known of them
            if (record := self._record) is not None:
                record.opened_at = record.opened_at or time.time()
                record.holds += 1
                record.channels = tuple(positions)
            self._route.chain.opened(self._exchange)
            self.connection.context.lifetimes.begin(self)

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

    def _count_item(self) -> None:
        """Count an item that this hold has acted on by itself."""
        self.sent()
        if self._exchange is not None and (record := self._exchange.record) is not None:
            record.messages_out += 1

    def client_gone(self, reason: CloseReason) -> None:
        """The client's connection has ended, whatever the reason."""
        self._release()
        self._tell_closed(reason)

    def _last_delivery_at(self) -> float:
        at_latest = 0.0 if self.personal is None else self.personal.last_write_at
        return max([at_latest, *(place.group.last_write_at for place in self._subscriptions)])
