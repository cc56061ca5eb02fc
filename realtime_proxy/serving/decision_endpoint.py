"""Other gateways ask whether a request may pass (`decisions`): the handlers of its route say.

The answer is 200 with the headers that they have set, or their refusal; no backend is asked, and
no protocol switched.
"""

import time
from typing import TYPE_CHECKING

from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.connection_record import ConnectionRecord
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response, text_response
from realtime_proxy.pipeline.chain import Chain
from realtime_proxy.pipeline.decision import Answer, Refuse
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.routing.condition import host_of
from realtime_proxy.routing.described_request import DescribedRequest
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.wire.http1_server import IncomingRequest

if TYPE_CHECKING:
    from realtime_proxy.serving.context import ServingContext

# Set by handlers for backends at most to take something away, or about the question itself.
_NOT_TOLD = frozenset((b"cookie", b"host", b"sec-websocket-protocol"))


class DecisionEndpoint:
    """Answers one gateway; `trusted`: `upstream_key` signed its question, `peer` is its address."""

    __slots__ = ("_context", "_peer", "_trusted")

    def __init__(self, context: "ServingContext", peer: str, *, trusted: bool) -> None:
        self._context = context
        self._peer = peer
        self._trusted = trusted

    async def answer(
        self, question: IncomingRequest, route: LiveRoute, *, is_tls: bool
    ) -> Response:
        """What to tell the gateway that has asked on this route. Raises ProtocolError."""
        if not (self._trusted or self._context.proxies.trusts(self._peer)):
            return text_response(403, "Only `[forwarded] trusted_proxies` may ask.")
        prefix = route.condition.path
        described = DescribedRequest.read(
            question.head, question.host, prefix=prefix, is_tls=is_tls
        )
        asked = self._route_of(described)
        if asked is None or asked.decides:
            return text_response(404, "No route for what is asked about.")
        if described.is_websocket and not _comes_from_allowed_page(described, asked):
            return text_response(403, "Origin not allowed.")
        if asked.chain is None:
            return _yes(Headers())
        return await self._decide(described, asked, asked.chain)

    def _route_of(self, described: DescribedRequest) -> LiveRoute | None:
        path, host = described.head.path, host_of(described.host)
        return self._context.routes.find(host, path, described.is_websocket, described.is_tls)

    async def _decide(
        self, described: DescribedRequest, route: LiveRoute, chain: Chain
    ) -> Response:
        exchange = self._exchange(described, route)
        before = frozenset(exchange.request.headers)
        if chain.keeps_record:
            exchange.record = ConnectionRecord(time.time())
        try:
            decision = await chain.request(exchange)
            if decision is None:  # some is said to backends alone
                request = exchange.request
                request.headers = Headers(request.headers)  # of known clients they are shared
                decision = chain.backend_request(exchange, request)
        finally:
            chain.closed(exchange, CloseReason.FINISHED.label)
        if decision is None:
            return _yes(_told(exchange, before))
        if isinstance(decision, Refuse):
            route.log.info("request refused", route=route.id, why=decision.why)
        return _no(decision)

    def _exchange(self, described: DescribedRequest, route: LiveRoute) -> Exchange:
        head, peer, trusted = described.head, self._peer, self._trusted
        # Identity headers are not taken: in a question they are as the client wrote them.
        headers = self._context.forwarding.inbound_headers(
            head,
            peer,
            described.scheme,
            trusted=trusted,
        )
        return Exchange(
            RequestHead(head.method, head.target, Headers(headers)),
            route.id,
            described.scheme,
            self._context.proxies.client_address(head.headers, peer, trusted=trusted),
            peer_address=peer,
        )


def _comes_from_allowed_page(described: DescribedRequest, route: LiveRoute) -> bool:
    return route.origins is None or route.origins.allows(described.head.headers)


def _told(exchange: Exchange, before: frozenset[tuple[bytes, bytes]]) -> Headers:
    """What handlers have set in the request, and how long the credential counts."""
    told = Headers(
        field
        for field in exchange.request.headers
        if field not in before and field[0].lower() not in _NOT_TOLD
    )
    identity = exchange.identity
    if identity is not None and identity.expires_at is not None:
        seconds = max(0.0, identity.expires_at - time.time())
        told.append((b"Credential-Expires-In", b"%.3f" % seconds))
    return told


def _yes(told: Headers) -> Response:
    return Response(200, Headers([(b"Cache-Control", b"no-store"), *told]))


def _no(decision: Refuse | Answer) -> Response:
    """What turns the request away. What a handler answers itself, no gateway can pass on."""
    if decision.response.status < 300:  # and must not take for a yes
        return text_response(403, "The answer to this request is not the backend's.")
    return decision.response
