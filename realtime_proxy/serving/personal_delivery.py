"""What stands before a held client that may not get each item as it is: handlers and filters."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import structlog
import trio

from realtime_proxy.channels.subscriber import Subscriber
from realtime_proxy.errors import FilterError
from realtime_proxy.grip.filters import FilterChain
from realtime_proxy.grip.http_filter import FilterReply, FilterRequest
from realtime_proxy.metrics.traffic import Traffic
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.item import Item
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.serving.client_connection import ClientConnection
from realtime_proxy.serving.context import ServingContext
from realtime_proxy.serving.errand import Errand
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.sessions.filtered_items import (
    ComeTooEarly,
    Deliver,
    FilteredItems,
    Outcome,
    Skip,
)
from realtime_proxy.wire.encodings import WireForm

log = structlog.get_logger()


class PersonalHold(Subscriber, Protocol):
    """A hold, as what stands before it knows it."""

    @property
    def connection(self) -> ClientConnection:
        """The client's end."""

    def last_ids(self) -> dict[str, str | None]:
        """Its channels, as the backend names them, with the last ids that the client has."""

    def as_seen(self, item: Item) -> Item:
        """An item as filters see it: with the content that this very client would get."""

    def is_tracked(self, channel: str) -> bool:
        """True if items of this channel have to follow each other."""

    def skipped(self, item: Item, error: FilterError) -> None:
        """Do without an item on which a filter failed."""

    def sent(self) -> None:
        """Note that a message has gone to this client alone."""

    def fall_back(self, channel: str, position: str) -> None:
        """Be at this earlier place in a channel. Nothing may be on its way round."""


class PersonalDelivery:
    """Takes the items of one hold, and passes on what handlers and filters leave of them.

    A task runs only while a filter has a backend asked.
    """

    __slots__ = (
        "_errand",
        "_exchange",
        "_hold",
        "_is_over",
        "_items",
        "_request",
        "_route",
        "_scope",
        "_steps",
        "last_write_at",
    )

    def __init__(self, hold: PersonalHold, route: LiveRoute, exchange: Exchange | None) -> None:
        self._hold = hold
        self._route = route
        self._exchange = exchange
        self._items: FilteredItems | None = None
        self._errand: Errand | None = None
        self._request: FilterRequest | None = None
        self._scope: trio.CancelScope | None = None
        self._steps: list[Callable[[], None]] | None = None
        self._is_over = False
        self.last_write_at = 0.0

    @property
    def chains(self) -> dict[str, FilterChain]:
        """The filters in use."""
        return {} if self._items is None else self._items.chains

    def filter_by(self, chains: dict[str, FilterChain], meta: Mapping[str, str]) -> None:
        """From the next item on, use these filters, by whole names of channels, and this meta."""
        if self._items is None:
            self._items = FilteredItems(self._hold.form, chains, meta)
        else:
            self._items.chains, self._items.meta = chains, meta

    def go_by(self, errand: Errand | None) -> None:
        """Send requests of filters from there."""
        self._errand = errand

    def give(self, item: Item, data: bytes | None) -> None:
        """Take the next item of any of the hold's channels."""
        chain, exchange = self._route.chain, self._exchange
        if chain is not None and exchange is not None and not chain.delivery(exchange, item):
            return
        if self._items is None:
            self._pass_on(item, data)
        else:
            hold = self._hold
            is_tracked = hold.is_tracked(item.channel)
            outcomes = self._items.arrived(
                hold.as_seen(item), data, hold.last_ids(), is_tracked=is_tracked
            )
            self._perform(outcomes)

    @property
    def is_busy(self) -> bool:
        """True while items wait for a filter."""
        return self._scope is not None

    def when_settled(self, step: Callable[[], None]) -> None:
        """Do something once no item waits for a filter: now, or later."""
        if self._scope is None:
            step()
        elif self._steps is None:
            self._steps = [step]
        else:
            self._steps.append(step)

    def close(self) -> None:
        """Pass nothing on any more."""
        self._is_over = True
        if self._items is not None:
            self._items.clear()
        if self._scope is not None:
            self._scope.cancel()

    def _perform(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            if self._is_over:
                return  # an answer, a close: the hold ended with the outcome before
            if isinstance(outcome, Deliver):
                self._pass_on(outcome.item, outcome.data)
            elif isinstance(outcome, Skip):
                self._hold.skipped(outcome.item, outcome.error)
                if outcome.is_gap:
                    self._at_rest(partial(self._fall_back, outcome.item))
            elif isinstance(outcome, ComeTooEarly):
                self._at_rest(partial(self._hold.fell_behind, outcome.item))
            else:
                self._ask_soon(outcome.request)

    def _at_rest(self, step: Callable[[], None]) -> None:
        """Do something when nothing is on its way round, unless the hold is over by then."""

        def unless_over() -> None:
            if not self._is_over:
                step()

        self._hold.connection.context.intake.at_rest(unless_over)

    def _fall_back(self, item: Item) -> None:
        """Be where the client is without an item: what follows it will be found to be early."""
        if self._items is not None:
            self._items.set_back(item.channel)
        self._hold.fall_back(item.channel, item.prev_id or "")

    def _pass_on(self, item: Item, data: bytes | None) -> None:
        hold = self._hold
        if data is None:
            data = hold.form.encode(item)
        if data is None:
            hold.item_arrived(item)
        else:
            hold.writer.write(data)
            hold.sent()
            if self._exchange is not None and self._exchange.record is not None:
                self._exchange.record.messages_out += 1
            if (tally := hold.connection.context.tally) is not None:
                _count_passed(tally.routes[hold.route_id].counts(), hold.form, item)
            self.last_write_at = hold.connection.context.timers.now()

    def _ask_soon(self, request: FilterRequest) -> None:
        self._request = request
        if self._scope is None:
            self._scope = trio.CancelScope()
            self._hold.connection.context.crew.start(partial(self._work, self._scope))

    async def _work(self, scope: trio.CancelScope, _of_task: trio.CancelScope) -> None:
        """Ask for filters, for as long as an item waits for one."""
        try:
            try:
                with scope:
                    while (request := self._request) is not None:
                        self._request = None
                        self._perform(await self._answered(request))
            finally:
                self._settle()
        except Exception:
            log.exception("delivery failed", route=self._route.id)
            self._hold.connection.close(CloseReason.INTERNAL_ERROR)

    def _settle(self) -> None:
        """No item waits for a filter any more: do what was to be done then."""
        self._scope = None
        steps, self._steps = self._steps or (), None
        for step in steps:
            step()

    async def _answered(self, request: FilterRequest) -> list[Outcome]:
        answer: FilterReply | FilterError
        try:
            answer = await self._hold.connection.context.filter_requests.ask(self._errand, request)
        except FilterError as error:
            answer = error
        if self._items is None or self._is_over:  # the answer came just when the hold ended
            return []
        if isinstance(answer, FilterError):
            return self._items.failed(answer)
        return self._items.replied(answer)


def _count_passed(traffic: Traffic, form: WireForm, item: Item) -> None:
    """Count an item that a client gets as bytes."""
    if form.is_websocket and item.ws_message is not None:
        traffic.client_messages_sent += 1
        traffic.client_content_bytes_sent += len(item.ws_message.content)
    elif item.http_stream is not None:
        traffic.client_content_bytes_sent += len(item.http_stream.content)


def note_skipped(context: ServingContext, route: LiveRoute, item: Item, error: FilterError) -> None:
    """Count, and log for who looks closely, that a client does without an item."""
    context.counters.items_skipped += 1
    log.debug("item skipped", channel=item.channel, route=route.id, why=error.reason)


def personal_delivery(
    hold: PersonalHold, route: LiveRoute, exchange: Exchange | None
) -> PersonalDelivery | None:
    """What a hold without filters needs; None if it may have every item as it is."""
    if route.chain is None or not route.chain.has_delivery:
        return None
    return PersonalDelivery(hold, route, exchange)
