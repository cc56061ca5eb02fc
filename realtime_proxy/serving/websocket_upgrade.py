"""An upgrade request: a WebSocket begins, or is refused before any 101."""

import uuid

from realtime_proxy.errors import ProtocolError
from realtime_proxy.grip.features import OWN_FIELDS
from realtime_proxy.model.headers import CANONICAL, Headers
from realtime_proxy.model.messages import RequestHead, Response, text_response
from realtime_proxy.pipeline.decision import Refuse
from realtime_proxy.serving.answered_request import After
from realtime_proxy.serving.client_exchange import ClientExchange
from realtime_proxy.serving.delivery_scope import take_scope
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.over_http_connection import OverHttpConnection
from realtime_proxy.serving.pass_through_connection import PassThroughConnection
from realtime_proxy.serving.websocket_connection import WebSocketConnection
from realtime_proxy.serving.websocket_opening import WebSocketOpening
from realtime_proxy.sessions.compression import OFFER, agreement
from realtime_proxy.wire.websocket_handshake import accept_token

_INVALID = (
    'Request contained an Upgrade header with value "websocket" but the request was not a valid '
    "WebSocket request."
)
# Replaced by what WebSocket-over-HTTP says itself, or made anew for each request.
_NOT_FOR_EVENTS = frozenset(
    (
        b"accept",
        b"connection-id",
        b"content-bytes-replayed",
        b"content-length",
        b"content-type",
        b"sec-websocket-extensions",
    )
)
_NOT_IF_SIGNED = _NOT_FOR_EVENTS | OWN_FIELDS
# Agreed on anew with a backend that speaks WebSocket.
_NOT_FOR_ORIGINS = frozenset(
    (
        b"content-length",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-version",
    )
)


class WebSocketUpgrade(ClientExchange):
    """The request that opens a WebSocket."""

    __slots__ = ("_accept_token", "_connection_id")

    is_websocket = True

    async def _serve(self) -> After:
        token = accept_token(self._request.head)
        if token is None or self._request.framing.has_body:
            raise ProtocolError(400, _INVALID)
        self._accept_token = token
        self._connection_id = str(uuid.uuid4()).encode()
        return await super()._serve()

    def _refusal(self, route: LiveRoute) -> Refuse | None:
        if route.origins is None or route.origins.allows(self._request.head.headers):
            return None
        return Refuse(text_response(403, "Origin not allowed."), "origin not allowed")

    async def _ask(self, route: LiveRoute, head: RequestHead) -> After:
        if (refusal := take_scope(route, self._exchange)) is not None:
            return await self._decided(refusal, route)
        head = head_for_backend(route, head, trusted=self._trusted)
        opening = self._opening(route, head)
        if self._exchange is not None:
            self._exchange.held = "websocket"  # the session tells handlers of its end
        await self._begin(opening)
        return After.HELD

    def _opening(self, route: LiveRoute, head: RequestHead) -> WebSocketOpening:
        return WebSocketOpening(
            connection=self._connection,
            request=self._request,
            route=route,
            head=head,
            connection_id=self._connection_id,
            accept_token=self._accept_token,
            logged=self._logged() if self._context.request_log.wants(route) else None,
            trusted=self._trusted,
            exchange=self._exchange,
            compression=agreement(self._request.head.headers) if route.compression else None,
        )

    async def _begin(self, opening: WebSocketOpening) -> None:
        await websocket_of(opening).begin()

    def _log(self, after: After | None) -> None:
        if after is not After.HELD:  # else the session tells whether it was accepted
            super()._log(after)

    @property
    def id(self) -> str:
        """The `Connection-Id` that the WebSocket will have."""
        return self._connection_id.decode()

    def _name(self) -> bytes:
        return self._connection_id

    async def _send_response(self, response: Response) -> After:
        """Refusals of the proxy itself carry no type where a WebSocket was asked for."""
        if response.status == 502:
            response.headers = Headers()
        return await super()._send_response(response)


def head_for_backend(route: LiveRoute, head: RequestHead, *, trusted: bool) -> RequestHead:
    """The head of a request for a WebSocket, without what is said anew to backends."""
    method, offered = head.method, [b"grip"] if route.grip else []
    if route.over_http_targets:
        method = b"POST"
        signs = route.grip and not trusted
        headers = _for_events(head.headers, _NOT_IF_SIGNED if signs else _NOT_FOR_EVENTS)
    else:
        headers = head.headers.without(_NOT_FOR_ORIGINS)
        if route.compression:
            offered.append(OFFER)
    if offered:
        headers.append((b"Sec-WebSocket-Extensions", b", ".join(offered)))
    return RequestHead(method, head.target, headers)


def _for_events(headers: Headers, hidden: frozenset[bytes]) -> Headers:
    """The fields that go with events. Host is the first: a target may want another in its place.

    `hidden` are names by CANONICAL: else a client could say what only its backend may, of itself.
    """
    kept, hosts = Headers(), 0
    for field in headers:
        name = field[0].translate(CANONICAL)
        if name == b"host":
            kept.insert(hosts, (b"Host", field[1]))
            hosts += 1
        elif name not in hidden and not name.startswith(b"meta-"):
            kept.append(field)
    return kept


def websocket_of(opening: WebSocketOpening) -> WebSocketConnection:
    """The WebSocket that a request opens, by what its backend speaks."""
    if opening.route.over_http_targets:
        return OverHttpConnection(opening)
    return PassThroughConnection(opening)
