"""Held clients: what holds over HTTP and WebSockets have in common.

A held client has no task. Items, timers and the watcher call it; what it does never waits.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self

from realtime_proxy.channels.counted import counting
from realtime_proxy.channels.group import Subscription
from realtime_proxy.channels.scope import Scope
from realtime_proxy.channels.subscriber import Writer
from realtime_proxy.errors import FilterError
from realtime_proxy.grip.filters import FilterChain
from realtime_proxy.metrics.traffic import Traffic
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.connection_record import ConnectionRecord
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.item import Item
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.pipeline.exchange import NO_CREDENTIALS, Exchange, Identity
from realtime_proxy.serving.client_connection import ClientConnection
from realtime_proxy.serving.delivery_scope import scope_of
from realtime_proxy.serving.errand import Errand
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.personal_delivery import (
    PersonalDelivery,
    note_skipped,
    personal_delivery,
)
from realtime_proxy.sessions.access_loss import AccessLoss
from realtime_proxy.sessions.expiry_notice import ExpiryNotice
from realtime_proxy.wire.encodings import WireForm
from realtime_proxy.wire.http1_rules import parse_request_block


class HeldClient:
    """A client held open: where its bytes go, and the handlers and filters before them."""

    __slots__ = ("_exchange", "_route", "connection", "form", "personal", "writer")

    def __init__(
        self,
        connection: ClientConnection,
        route: LiveRoute,
        exchange: Exchange | None,
        form: WireForm,
    ) -> None:
        self.connection = connection
        self.form = form
        self._route = route
        self._exchange = exchange
        self.writer: Writer = connection.socket
        self.personal: PersonalDelivery | None = None
        if route.chain is not None:  # most routes have no handlers
            self.writer = counting(connection.socket, self._record)
            self.personal = personal_delivery(self, route, exchange)

    @property
    def route_id(self) -> str:
        """The id that the configuration gives its route, empty if it gives none."""
        return self._route.stats_id

    @property
    def held_client(self) -> Self:
        """Itself, as whoever holds a connection tells."""
        return self

    # -- who it is -------------------------------------------------------------------------

    @property
    def identity(self) -> Identity | None:
        """Who it is, by the latest credential; None if no handler has found out."""
        return None if self._exchange is None else self._exchange.identity

    @property
    def is_held(self) -> bool:
        """False once it is over; also while it is only being made."""
        return self.connection.held_client is self

    @property
    def connection_id(self) -> str:
        """By what its client can renew its credential; empty if it can't."""
        return "" if self._exchange is None else self._exchange.connection_id

    @property
    def recheck_seconds(self) -> float:
        """How often it is asked whether it may stay; 0: never."""
        return self._route.recheck_seconds

    @property
    def credentials(self) -> Mapping[str, Identity]:
        """What each handler says it is, if there are several."""
        return NO_CREDENTIALS if self._exchange is None else self._exchange.credentials

    def adopt(self, identity: Identity | None, credentials: Mapping[str, Identity]) -> None:
        """Be known by a renewed credential."""
        if self._exchange is not None:
            self._exchange.identity, self._exchange.credentials = identity, credentials

    def note(self, notes: Mapping[str, Any]) -> None:
        """Keep what a handler wants to know of it later."""
        if self._exchange is not None:
            self._exchange.notes = {**self._exchange.notes, **notes}

    def question(self) -> tuple[LiveRoute, Exchange] | None:
        """Its route, and its request anew for handlers; None if there are none to ask."""
        exchange = self._exchange
        if exchange is None or not exchange.came_as:
            return None
        method, target, _, headers = parse_request_block(exchange.came_as)
        return self._route, Exchange(
            RequestHead(method, target, headers),
            exchange.route_id,
            exchange.scheme,
            exchange.client_address,
            peer_address=exchange.peer_address,
            client_certificate=exchange.client_certificate,
            is_recheck=True,
            notes=exchange.notes,
        )

    @property
    def expiry_notice(self) -> ExpiryNotice | None:
        """What it is to be told before its credential expires."""
        return self._route.expiry_notice

    def tell_expiry(self, notice: ExpiryNotice, expires_at: float, now: float) -> None:
        """Tell it, if it is of a kind that can be told."""

    def lose_access(self, loss: AccessLoss) -> None:
        """Close it in the way of its kind, and say why."""
        raise NotImplementedError

    # -- what operators see ----------------------------------------------------------------

    @property
    def route(self) -> LiveRoute:
        """The route it was held with."""
        return self._route

    @property
    def channels(self) -> list[str]:
        """The channels subscribed to, by their whole names."""
        return [place.group.channel for place in self._places]

    @property
    def group_messages(self) -> int:
        """How many messages its groups have been given since it is in them."""
        return sum(place.messages for place in self._places)

    @property
    def _places(self) -> tuple[Subscription, ...]:
        raise NotImplementedError

    def sent(self, messages: int = 1) -> None:
        """Note messages that its groups do not count, or that those counted which it leaves."""
        if messages and (roll := self.connection.context.roll) is not None:
            roll.sent(self.connection.socket.number, messages)

    @property
    def may_end(self) -> bool:
        """False while something for it is on its way, after which it should rather end."""
        return not self.is_filtering

    def dismiss(self, dismissal: Dismissal) -> None:
        """End before its time, in the way of its kind."""
        raise NotImplementedError

    def cut(self, reason: CloseReason) -> None:
        """End at once, in the middle of whatever it is."""
        self.connection.close(reason)

    # -- what it may have ------------------------------------------------------------------

    def scope_on(self, channel: str) -> Scope | None:
        """What it may have of a channel's items; None if its route knows no such limit."""
        claim = self._route.scope_claim
        if not claim:
            return None
        scope = scope_of(self._route, self._exchange)
        return Scope(claim, ()) if scope is None else scope.on(channel)

    def keeps_scope(self, identity: Identity | None) -> bool:
        """True if by this identity it may have the same items as before."""
        scope = scope_of(self._route, self._exchange)
        return scope is None or (identity is not None and scope.is_of(identity.claims))

    # -- items -----------------------------------------------------------------------------

    @property
    def is_filtering(self) -> bool:
        """True while items for this client are on their way through its filters."""
        return self.personal is not None and self.personal.is_busy

    def item_arrived(self, item: Item) -> None:
        """Act on an item that is more than bytes to append."""
        raise NotImplementedError

    def skipped(self, item: Item, error: FilterError) -> None:
        """Do without an item on which a filter failed."""
        note_skipped(self.connection.context, self._route, item, error)

    @property
    def reads_on(self) -> bool:
        """True while there is something to be read of the client later."""
        return False

    def as_seen(self, item: Item) -> Item:
        """An item with the content that this client would get without filters."""
        return item

    def last_ids(self) -> dict[str, str | None]:
        """The channels, as the backend names them, with the last ids that the client has."""
        raise NotImplementedError

    def is_tracked(self, channel: str) -> bool:  # noqa: ARG002  for subclasses
        """True if items of this channel have to follow each other."""
        return False

    def fall_back(self, channel: str, position: str) -> None:
        """Be at this earlier place in a channel, if its places count."""

    def fell_behind(self, item: Item) -> None:
        """Ask the backend for what is missing, if there is a way to."""

    def update(self) -> None:
        """Ask the backend for news, if there is a way to."""

    def _filter(
        self,
        filters: dict[str, FilterChain],
        meta: Mapping[str, str],
        make_errand: Callable[[], Errand | None],
    ) -> None:
        """From the next item on, use these filters, by whole names of channels, and this meta."""
        if self.personal is None:
            self.personal = PersonalDelivery(self, self._route, self._exchange)
        self.personal.filter_by(filters, meta)
        if any(chain.asks for chain in filters.values()):
            self.personal.go_by(make_errand())

    def _counts(self) -> Traffic | None:
        """The counts of its route, to add to now; None if nobody asks."""
        tally = self.connection.context.tally
        return None if tally is None else tally.routes[self._route.stats_id].counts()

    # -- what is told of it ----------------------------------------------------------------

    @property
    def _record(self) -> ConnectionRecord | None:
        return None if self._exchange is None else self._exchange.record

    def _tell_closed(self, reason: CloseReason) -> None:
        context = self.connection.context
        reason = context.lifetimes.end(self, reason)
        if self._route.max_age_seconds:
            context.ages.end(self)
        if (presence := self.connection.presence) is not None:
            presence.route.closed(reason.label)
        if self._exchange is not None and self._route.chain is not None:
            self._route.chain.closed(self._exchange, reason.label)
