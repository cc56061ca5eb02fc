"""What every client request goes through: route, trust, handlers."""

import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from realtime_proxy.errors import ProtocolError
from realtime_proxy.metrics.tally import Tally
from realtime_proxy.model.connection_record import ConnectionRecord
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.model.shared_headers import SharedHeaders
from realtime_proxy.pipeline.chain import Chain
from realtime_proxy.pipeline.decision import Answer, Refuse
from realtime_proxy.pipeline.exchange import Exchange, Identity
from realtime_proxy.routing.condition import host_of
from realtime_proxy.serving.answered_request import SCHEMES, After, AnsweredRequest
from realtime_proxy.serving.decision_endpoint import DecisionEndpoint
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.peeked_content import PeekedContent
from realtime_proxy.serving.request_body import RequestBody
from realtime_proxy.serving.roll import Roll
from realtime_proxy.wire.http1_client import encode_request_head

if TYPE_CHECKING:
    from realtime_proxy.serving.http_connection import HttpConnection


class ClientExchange(AnsweredRequest):
    """One request that is served; what is asked of backends is left to subclasses."""

    __slots__ = ()

    def run(self) -> Awaitable[After]:
        """Serve the request. Raises trio.BrokenResourceError when the client is gone."""
        roll = self._context.roll
        return self._guarded(self._serve) if roll is None else self._enrolled(roll)

    async def _enrolled(self, roll: Roll) -> After:
        number = self._connection.socket.number
        roll.began(number, self)
        after = await self._guarded(self._serve)
        if after is After.HELD:
            roll.held(number, self)
        return after

    async def _serve(self) -> After:
        tls = self._tls = self._connection.counts_as_tls(self._request.head)
        route = self._route = self._find_route(tls=tls)
        scheme = SCHEMES[self.is_websocket][tls]
        head = self._inbound_head(route, scheme)
        if self._context.tally is not None:
            self._arrived(self._context.tally, route)
        if route.origins is not None and (refusal := self._refusal(route)) is not None:
            return await self._decided(refusal, route)
        if route.max_connections:
            self._context.places.take(route.id, route.max_connections)
            self._connection.route_place = route.id
        if route.decides:
            endpoint = DecisionEndpoint(self._context, self._connection.peer, trusted=self._trusted)
            return await self._send_response(
                await endpoint.answer(self._request, route, is_tls=tls)
            )
        if route.chain is not None:
            exchange = self._exchange = self._new_exchange(head, route, scheme)
            self._record = exchange.record
            if route.recheck_seconds:
                exchange.came_as = encode_request_head(head)
            if isinstance(self._body, RequestBody):
                decision = await self._ask_about_body(route.chain, exchange, self._body)
            else:
                decision = await route.chain.request(exchange)
            if decision is not None:
                return await self._decided(decision, route)
            head = _as_known(exchange.request, head.headers)
        if route.edits is not None:
            head = route.edits.apply(head)
        return await self._ask(route, head)

    async def _ask_about_body(
        self, chain: Chain, exchange: Exchange, body: RequestBody
    ) -> Refuse | Answer | None:
        """Ask handlers, which may look into the body."""
        chunked = self._request.framing.chunked
        content = exchange.content = PeekedContent(body, exchange, chunked=chunked)
        decision = await chain.request(exchange)
        exchange.content = None  # what is held must not keep it
        content.check()
        return decision

    def _refusal(self, route: LiveRoute) -> Refuse | None:  # noqa: ARG002  for subclasses
        """What turns the request away by the route's rule for origins; None if nothing does."""
        return None

    async def _ask(self, route: LiveRoute, head: RequestHead) -> After:
        raise NotImplementedError

    def _arrived(self, tally: Tally, route: LiveRoute) -> None:
        """Count the client as present, until what becomes of the connection is over."""
        name, address = self._name(), self._client_address()
        size = self._request.head.content_bytes()
        presence = tally.begin(route.stats_id, name, address, is_tls=self._tls, header_bytes=size)
        self._connection.presence = presence
        self._tally = presence.route

    def _name(self) -> int | bytes:
        """What statistics call the client by."""
        return self._connection.request_number or 0

    def _find_route(self, *, tls: bool) -> LiveRoute:
        request, peer = self._request, self._connection.peer
        route = self._context.route_of(request, peer, websocket=self.is_websocket, tls=tls)
        if route is None:
            host = host_of(request.host)
            raise ProtocolError(502, f"No route for host: {host.decode(errors='replace')}")
        return route

    def _inbound_head(self, route: LiveRoute, scheme: str) -> RequestHead:
        """The request as handlers and the backend may see it."""
        if self._context.verifier is not None:
            self._trusted = self._context.is_trusted(self._request.head)
        head, peer, trusted = self._asked_head(route), self._connection.peer, self._trusted
        headers = self._context.forwarding.inbound_headers(
            head,
            peer,
            scheme,
            trusted=trusted,
            marks=route.marks,
            identity_headers=route.identity_headers,
        )
        if head.version == b"1.0" and not headers.has(b"host"):  # backends are spoken to in 1.1
            headers = headers.plus(SharedHeaders([(b"Host", self._request.host)]))
        return RequestHead(head.method, head.target, headers, head.version)

    def _asked_head(self, route: LiveRoute) -> RequestHead:  # noqa: ARG002  for subclasses
        """The head of the request that is asked for, which may be in the query of another."""
        return self._request.head

    def _new_exchange(self, head: RequestHead, route: LiveRoute, scheme: str) -> Exchange:
        exchange = Exchange(
            RequestHead(head.method, head.target, head.headers, head.version),
            route.id,
            scheme,
            self._client_address(),
            peer_address=self._connection.peer,
            client_certificate=self._connection.socket.client_certificate,
        )
        if route.chain is not None and route.chain.keeps_record:
            exchange.record = ConnectionRecord(time.time())
        return exchange

    async def _decided(self, decision: Refuse | Answer, route: LiveRoute) -> After:
        if isinstance(decision, Refuse):
            route.log.info("request refused", route=route.id, why=decision.why)
        return await self._send_response(decision.response)

    # -- what operators see ----------------------------------------------------------------

    channels: tuple[str, ...] = ()
    group_messages = 0

    @property
    def connection(self) -> "HttpConnection":
        """The connection it came on."""
        return self._connection

    @property
    def route(self) -> LiveRoute | None:
        """The route of the request; None if it is not known yet, or there is none."""
        return self._route

    @property
    def identity(self) -> Identity | None:
        """Who has sent it; None if no handler has found out yet."""
        return None if self._exchange is None else self._exchange.identity

    def came_for(self) -> tuple[bytes, bytes]:
        """The URI, with its secrets, and the client's address."""
        scheme = SCHEMES[self.is_websocket][self._tls].encode()
        uri = b"%b://%b%b" % (scheme, self._request.host, self._shown_head.target)
        return uri, self._client_address().encode()

    def dismiss(self, dismissal: Dismissal) -> None:
        """Cut it: nothing is known of its response."""
        self._connection.cut(dismissal.reason)


def _as_known(head: RequestHead, headers: Headers) -> RequestHead:
    """A head as handlers have left it, with the fields that it had if they are still the same."""
    if head.headers != headers:
        return head
    return RequestHead(head.method, head.target, headers, head.version)
