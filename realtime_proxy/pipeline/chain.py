"""The handlers of one route, run in order and failing closed.

Which handler acts at which moment is found out once, when the chain is built, so that a moment
nobody uses costs one truth test. Nothing here waits except for what a handler awaits itself.
"""

from collections.abc import Iterable, Mapping
from types import UnionType
from typing import TypeVar

import attrs

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import Item
from realtime_proxy.model.messages import RequestHead, ResponseHead, text_response
from realtime_proxy.model.shared_headers import SharedHeaders
from realtime_proxy.pipeline.decision import CONTINUE, Answer, CloseWith, Decision, Refuse, Renew
from realtime_proxy.pipeline.exchange import Exchange, Identity
from realtime_proxy.pipeline.handler import BaseHandler, EventOutcome, WebSocketEvent
from realtime_proxy.pipeline.known_clients import KnownClient, KnownClients

T = TypeVar("T")

# What handlers decide, and the name of the last that has found out who it is.
Asked = tuple[Refuse | Answer | None, str]

INTERNAL_ERROR_CLOSE = CloseWith(1011)


# So many pairs of credentials that come together are remembered.
_MAX_JOINED = 1_000


@attrs.frozen
class _Joined:
    """Two credentials that came together; kept with them, by whose ids it is found."""

    before: Identity
    identity: Identity
    credentials: Mapping[str, Identity]
    together: Identity


class Chain:
    """One route's handlers. `sets_headers` has the identity headers (lower case) of all of them.

    `accepts_headers` has those that they take from proxies in front.

    `has_websocket_event`, `has_delivery` and `has_backend_request` say whether a handler has a use
    for that moment: a client's messages, items on their way to it, requests to backends.
    `delivery_failures` counts the items that were skipped because a handler raised.
    """

    __slots__ = (
        "_backend_request",
        "_closed",
        "_delivery",
        "_further",
        "_head_statuses",
        "_joined",
        "_known",
        "_opened",
        "_request",
        "_response_head",
        "_websocket_event",
        "accepts_headers",
        "delivery_failures",
        "handlers",
        "has_backend_request",
        "has_delivery",
        "has_websocket_event",
        "keeps_record",
        "sets_headers",
    )

    def __init__(self, handlers: Iterable[BaseHandler] = ()) -> None:
        self.handlers = tuple(handlers)
        self.sets_headers = frozenset(
            name.lower() for handler in self.handlers for name in handler.sets_headers
        )
        self.accepts_headers = frozenset(
            name.lower() for handler in self.handlers for name in handler.accepts_headers
        )
        self.keeps_record = any(handler.keeps_record for handler in self.handlers)
        self.delivery_failures = 0
        self._joined: dict[tuple[str, str, int, int], _Joined] = {}
        self._request = self._acting_at("on_request")
        self._known = KnownClients(self._request, self.sets_headers - self.accepts_headers)
        self._further = self._request[len(self._known.handlers) :]
        self._response_head = self._acting_at("on_response_head")
        self._head_statuses = _united(handler.head_statuses for handler in self._response_head)
        self._websocket_event = self._acting_at("on_websocket_event")
        self._delivery = self._acting_at("on_delivery")
        self._backend_request = self._acting_at("on_backend_request")
        self._opened = self._acting_at("on_open")
        self._closed = self._acting_at("on_close")
        self.has_websocket_event = bool(self._websocket_event)
        self.has_delivery = bool(self._delivery)
        self.has_backend_request = bool(self._backend_request)

    def _acting_at(self, moment: str) -> tuple[BaseHandler, ...]:
        nothing = getattr(BaseHandler, moment)
        return tuple(
            handler
            for handler in self.handlers
            if getattr(type(handler), moment) is not nothing
            and moment not in handler.unused_moments
        )

    def has(self, handler: str) -> bool:
        """True if the handler of this name is one of them."""
        return any(one.context.name == handler for one in self.handlers)

    async def request(self, exchange: Exchange) -> Refuse | Answer | None:
        """Ask each handler in turn; the first that refuses or answers ends it. None: go on."""
        known = self._known
        shown = known.shown(exchange) if known.handlers else None
        if shown is None:
            return (await self._ask(self._request, exchange))[0]
        if (client := known.admit(shown, exchange)) is not None:
            found_by = client.found_by
        else:
            decision, found_by = await self._get_to_know(shown, exchange)
            if decision is not None:
                return decision
        return (await self._ask(self._further, exchange, found_by))[0] if self._further else None

    async def _get_to_know(self, shown: bytes, exchange: Exchange) -> Asked:
        """Ask those who decide by credentials alone, and remember what comes of it."""
        came = attrs.evolve(exchange.request, headers=Headers(exchange.request.headers))
        before = attrs.evolve(exchange, request=came)
        asked = decision, found_by = await self._ask(self._known.handlers, exchange)
        if decision is None and (client := KnownClient.of(before, exchange, found_by)) is not None:
            self._known.keep(shown, client)
        return asked

    async def _ask(
        self, handlers: tuple[BaseHandler, ...], exchange: Exchange, found_by: str = ""
    ) -> Asked:
        """Ask some handlers: what they decide, and which of them knew best who it is."""
        if handlers and isinstance(exchange.request.headers, SharedHeaders):
            exchange.request.headers = Headers(exchange.request.headers)  # they may change them
        for handler in handlers:
            before = exchange.identity
            try:
                decision = await handler.on_request(exchange)
                if decision is not CONTINUE:  # what nearly all say is not looked at further
                    decision = _checked(decision, Decision)
            except Exception as error:  # noqa: BLE001 - whatever a handler raises refuses
                return _refusal(handler, exchange, "request", error), found_by
            if decision is not CONTINUE and isinstance(decision, Refuse | Answer):
                return decision, found_by
            if exchange.identity is not before:
                name = handler.context.name
                if before is not None:
                    self._join(exchange, before, found_by, name)
                found_by = name
        return None, found_by

    def _join(self, exchange: Exchange, before: Identity, found_by: str, handler: str) -> None:
        """Have the end of no credential be lost because a later handler has found out more."""
        identity = exchange.identity or before
        # Most handlers say the same of the same credential, by the same object.
        pair = found_by, handler, id(before), id(identity)
        joined = self._joined.get(pair)
        if joined is None:
            credentials = {**(exchange.credentials or {found_by: before}), handler: identity}
            together = identity.within(credentials.values())
            joined = _Joined(before, identity, credentials, together)
            if len(self._joined) >= _MAX_JOINED:
                del self._joined[next(iter(self._joined))]
            self._joined[pair] = joined
        exchange.credentials, exchange.identity = joined.credentials, joined.together

    def may_change_head(self, status: int) -> bool:
        """True if the head of a response with this status concerns a handler."""
        return self._head_statuses is None or status in self._head_statuses

    def response_head(self, exchange: Exchange, response: ResponseHead) -> Refuse | None:
        """Let handlers change the backend's response head; a Refuse replaces the response."""
        for handler in self._response_head:
            if handler.head_statuses is not None and response.status not in handler.head_statuses:
                continue
            try:
                handler.on_response_head(exchange, response)
            except Exception as error:  # noqa: BLE001 - whatever a handler raises refuses
                return _refusal(handler, exchange, "response head", error)
        return None

    def backend_request(self, exchange: Exchange, request: RequestHead) -> Refuse | None:
        """Let handlers change a request to the backend; with a Refuse it must not be sent."""
        for handler in self._backend_request:
            try:
                handler.on_backend_request(exchange, request)
            except Exception as error:  # noqa: BLE001 - whatever a handler raises refuses
                return _refusal(handler, exchange, "backend request", error)
        return None

    def websocket_event(self, exchange: Exchange, event: WebSocketEvent) -> EventOutcome:
        """Pass a client's message through the handlers; the first that drops or closes ends it."""
        for handler in self._websocket_event:
            try:
                outcome = _checked(handler.on_websocket_event(exchange, event), EventOutcome)
            except Exception as error:  # noqa: BLE001 - whatever a handler raises closes
                _log_failure(handler, exchange, "websocket event", error)
                return INTERNAL_ERROR_CLOSE
            if isinstance(outcome, Renew):
                return attrs.evolve(outcome, handler=handler.context.name)
            if not isinstance(outcome, WebSocketEvent):
                return outcome
            event = outcome
        return event

    def delivery(self, exchange: Exchange, item: Item) -> bool:
        """False if a handler keeps the item from this connection, or raised (counted)."""
        for handler in self._delivery:
            try:
                if not handler.on_delivery(exchange, item):
                    return False
            except Exception as error:  # noqa: BLE001 - whatever a handler raises skips the item
                self.delivery_failures += 1
                _log_failure(handler, exchange, "delivery", error)
                return False
        return True

    def opened(self, exchange: Exchange) -> None:
        """Tell each handler that the connection is held open now."""
        for handler in self._opened:
            try:
                handler.on_open(exchange)
            except Exception as error:  # noqa: BLE001 - an observer must not end what it observes
                _log_failure(handler, exchange, "open", error)

    def closed(self, exchange: Exchange, reason: str) -> None:
        """Tell each handler that the exchange has ended, and why."""
        for handler in self._closed:
            try:
                handler.on_close(exchange, reason)
            except Exception as error:  # noqa: BLE001 - the others still have to hear of it
                _log_failure(handler, exchange, "close", error)


def _united(statuses: Iterable[frozenset[int] | None]) -> frozenset[int] | None:
    united: frozenset[int] = frozenset()
    for some in statuses:
        if some is None:
            return None
        united |= some
    return united


def _checked(outcome: T, accepted: UnionType) -> T:
    """A forgotten `return` gives None, which must not count as consent."""
    if not isinstance(outcome, accepted):
        raise TypeError(f"a handler returned {outcome!r}, which is not among {accepted}")
    return outcome


def _refusal(handler: BaseHandler, exchange: Exchange, moment: str, error: Exception) -> Refuse:
    """What becomes of a request whose handler raised. The client learns nothing about it."""
    _log_failure(handler, exchange, moment, error)
    return Refuse(
        text_response(500, "Internal Server Error"), why=f"handler {handler.context.name} failed"
    )


def _log_failure(handler: BaseHandler, exchange: Exchange, moment: str, error: Exception) -> None:
    handler.context.logger.error(
        "handler failed",
        handler=handler.context.name,
        route=exchange.route_id,
        moment=moment,
        exc_info=error,
    )
