"""The contract of a handler: the moments at which it may act.

A handler is a class named `Handler` in `handlers/NAME.py`, derived from `BaseHandler`. Only the
moments it overrides cost anything.
"""

from collections.abc import Set as AbstractSet
from typing import Any, ClassVar

import attrs

from realtime_proxy.model.item import Item
from realtime_proxy.model.messages import RequestHead, ResponseHead
from realtime_proxy.pipeline.decision import CONTINUE, CloseWith, Decision, Drop, Renew, Renewed
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.pipeline.http_client import HttpClient
from realtime_proxy.pipeline.key_set import KeySets
from realtime_proxy.pipeline.redis_connection import RedisConnection, RedisSettings
from realtime_proxy.pipeline.services import HandlerServices, LiveConnections
from realtime_proxy.pipeline.stored_consumers import StoredConsumers


@attrs.frozen
class NoConfig:
    """The settings of a handler that has none."""


@attrs.frozen
class WebSocketEvent:
    """A message of a client on its way to the backend: `TEXT`, `BINARY`, `PING` or `PONG`."""

    type: str
    content: bytes


EventOutcome = WebSocketEvent | Drop | CloseWith | Renew


@attrs.frozen
class HandlerContext:
    """What a handler may use besides its settings."""

    name: str  # as routes call it
    logger: Any  # structlog-like: .info(event, **fields)
    # Parameters and headers with credentials, as all handlers say; complete once all are made.
    secret_names: AbstractSet[str] = frozenset()
    services: HandlerServices | None = None

    @property
    def http(self) -> HttpClient:
        """Asks servers over HTTP: `response = await self.context.http.ask("GET", url)`."""
        return self._while_serving.http

    @property
    def connections(self) -> LiveConnections:
        """The clients that this worker holds: `self.context.connections.revoke(...)`."""
        return self._while_serving.connections

    @property
    def key_sets(self) -> KeySets:
        """The key sets that issuers publish: `await self.context.key_sets.for_token(...)`."""
        return self._while_serving.key_sets

    def count_dropped_records(self, count: int) -> None:
        """Count records that no log will have: `realtime_proxy_log_records_dropped_total`."""
        if self.services is not None:
            self.services.counters.log_records_dropped += count

    @property
    def stored(self) -> StoredConsumers:
        """The consumers of the store (`[consumers]`), as they are now."""
        return self._while_serving.stored

    def redis(self, settings: RedisSettings) -> RedisConnection:
        """A connection of the handler's own, for which it has to run `attend`."""
        return self._while_serving.redis(settings)

    @property
    def _while_serving(self) -> HandlerServices:
        if self.services is None:
            raise RuntimeError("handlers can call others only while they serve")
        return self.services


@attrs.frozen
class SoleCredential:
    """What alone decides about a request that is no WebSocket: one header field.

    `header` is its name in lower case; empty for handlers that only look at who it is. Requests
    that may have one of `arguments` in their query are looked at further. `most` is how many may
    be remembered, on each route.
    """

    header: str = ""
    arguments: frozenset[str] = frozenset()
    most: int = 10_000


class BaseHandler:
    """A handler that does nothing at any moment. Raising refuses (500), except as noted."""

    Config: ClassVar[type] = NoConfig
    # Identity headers this handler sets, in lower case: removed from every inbound request on all
    # routes, so that nobody can claim to be someone. An instance may add names of its settings.
    sets_headers: frozenset[str] = frozenset()
    # Identity headers, in lower case, that this handler reads as proxies in front have set them. On
    # its routes they stay if one of `[forwarded] trusted_proxies` sent them, or `upstream_key`
    # signed for them; all other requests lose them, on all routes. An instance may add names.
    accepts_headers: frozenset[str] = frozenset()
    # Query parameters and headers that this handler takes credentials from, in lower case: their
    # values are in no log. An instance may add names of its settings.
    secret_names: frozenset[str] = frozenset()
    # True: `exchange.record` is kept for requests of the handler's routes. It costs a held
    # connection some memory, and each delivery to it a little.
    keeps_record: ClassVar[bool] = False
    # What `on_request` decides by, if that is so little, besides the identity that earlier handlers
    # have found: it is then not asked again about requests with the same, for as long as what came
    # of it counts (`Identity.counts`). If it continues it must do no more than set the identity,
    # and add headers that are in `sets_headers`.
    sole_credential: SoleCredential | None = None
    # Moments, by the names of their methods, that an instance has no use for by its settings: they
    # then cost nothing.
    unused_moments: frozenset[str] = frozenset()
    # The statuses with which a response's head concerns `on_response_head`; None: it always does.
    head_statuses: frozenset[int] | None = None

    def __init__(self, config: Any, context: HandlerContext) -> None:
        self.config = config
        self.context = context

    async def on_request(self, exchange: Exchange) -> Decision:
        """Before the backend is asked: continue, not mine, refuse or answer."""
        return CONTINUE

    def on_response_head(self, exchange: Exchange, response: ResponseHead) -> None:
        """The backend has answered: change status and headers, GRIP instructions included."""

    def on_websocket_event(self, exchange: Exchange, event: WebSocketEvent) -> EventOutcome:
        """A message of the client: pass it (changed or not), drop it, close, or renew."""
        return event

    def on_delivery(self, exchange: Exchange, item: Item) -> bool:
        """A published item for this connection: False skips it. Raising skips and counts it."""
        return True

    def on_backend_request(self, exchange: Exchange, request: RequestHead) -> None:
        """Every request to the backend, WebSocket events and repeats too: change headers.

        Each gets a copy of `exchange.request`, so what `on_request` changed need not be repeated.
        """

    def on_open(self, exchange: Exchange) -> None:
        """A connection is held open. Raising is only logged."""

    def on_close(self, exchange: Exchange, reason: str) -> None:
        """The exchange has ended, held or not. Raising is only logged."""

    async def renewed(self, credential: bytes) -> Renewed | None:
        """Who a held client is by a renewed credential; None if that does not count.

        For those who answer requests by `answer_renewal`: it is asked in the worker that has the
        client.
        """
        return None

    async def run(self) -> None:
        """In the background while the configuration is live."""
