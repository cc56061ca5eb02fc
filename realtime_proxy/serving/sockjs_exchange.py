"""Requests of SockJS over HTTP: what there is to ask for, and the sessions of clients."""

import json
import random
import uuid
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import attrs

from realtime_proxy.config.checks import is_callback
from realtime_proxy.metrics.tally import Tally
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response, text_response
from realtime_proxy.pipeline.decision import Refuse
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.routing.cross_origin import CrossOrigin
from realtime_proxy.routing.sockjs_rules import Endpoint, Kind, SockJsRules
from realtime_proxy.serving.answered_request import After
from realtime_proxy.serving.delivery_scope import take_scope
from realtime_proxy.serving.http_exchange import HttpExchange
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.request_body import RequestBody, StoredBody
from realtime_proxy.serving.sockjs_http_client import SockJsHttpClient
from realtime_proxy.serving.sockjs_opening import SockJsHttpOpening
from realtime_proxy.serving.sockjs_receiver import (
    COMMON_FIELDS,
    ReceiverOrder,
    SockJsReceiver,
    frame_response,
)
from realtime_proxy.serving.sockjs_sessions import User
from realtime_proxy.serving.websocket_upgrade import head_for_backend, websocket_of
from realtime_proxy.sessions.sockjs_frames import decode_payload
from realtime_proxy.sessions.sockjs_session import ANOTHER_IS_OPEN
from realtime_proxy.sessions.sockjs_transport import NEEDS_CALLBACK, TRANSPORTS, Transport
from realtime_proxy.wire.http1_server import IncomingRequest

if TYPE_CHECKING:
    from realtime_proxy.serving.http_connection import HttpConnection

# The largest body of a request, as of Pushpin.
MAX_SEND_BYTES = 100_000
_AS_WEBSOCKET = {"http": "ws", "https": "wss"}
_POST, _GET = frozenset((b"POST",)), frozenset((b"GET",))
_EITHER = _POST | _GET
_METHODS = {
    b"xhr": _POST,
    b"xhr_streaming": _POST,
    b"xhr_send": _POST,
    b"eventsource": _GET,
    b"htmlfile": _GET,
    b"jsonp": _EITHER,
    b"jsonp_send": _EITHER,
}
# Pages use these without saying whose they are.
_WITHOUT_ORIGIN = frozenset((b"htmlfile", b"jsonp", b"jsonp_send"))
# Of the request that begins a session: what was said of its body.
_OF_BODY = frozenset((b"content-length", b"content-type"))
_YEAR = b"public, max-age=31536000"


class SockJsExchange(HttpExchange):
    """One request where some routes serve SockJS."""

    __slots__ = ("_endpoint",)

    def __init__(
        self,
        connection: "HttpConnection",
        request: IncomingRequest,
        body: RequestBody | StoredBody,
    ) -> None:
        super().__init__(connection, request, body)
        self._endpoint: Endpoint | None = None  # what it is on its route, if it has one

    def _inbound_head(self, route: LiveRoute, scheme: str) -> RequestHead:
        path = self._request.head.path
        self._endpoint = None if route.sockjs is None else route.sockjs.endpoint(path)
        if self._endpoint is not None and self._endpoint.is_of_session:
            scheme = _AS_WEBSOCKET[scheme]
        return super()._inbound_head(route, scheme)

    def _asked_head(self, route: LiveRoute) -> RequestHead:
        """A session's requests are for the WebSocket that it is to handlers and backends."""
        head = self._request.head
        if route.sockjs is None or self._endpoint is None:
            return super()._asked_head(route)
        self._for_page = CrossOrigin.of(head.headers)
        if not self._endpoint.is_of_session:
            return head
        return attrs.evolve(head, target=route.sockjs.backend_target(head.target, websocket=False))

    def _new_exchange(self, head: RequestHead, route: LiveRoute, scheme: str) -> Exchange:
        if self._endpoint is not None and self._endpoint.is_of_session:
            scheme = _AS_WEBSOCKET[scheme]
        return super()._new_exchange(head, route, scheme)

    def _refusal(self, route: LiveRoute) -> Refuse | None:
        """As of WebSockets: what pages of others could use must not be there for them."""
        endpoint, headers = self._endpoint, self._request.head.headers
        if endpoint is None or route.origins is None:
            return super()._refusal(route)
        is_unsaid = endpoint.transport in _WITHOUT_ORIGIN and not headers.has(b"origin")
        if endpoint.kind is Kind.IFRAME or is_unsaid or not route.origins.allows(headers):
            return Refuse(text_response(403, "Origin not allowed."), "origin not allowed")
        return None

    def _arrived(self, tally: Tally, route: LiveRoute) -> None:
        """It is the session that is counted as present, and not each of its requests."""
        if self._endpoint is None or not self._endpoint.is_of_session:
            super()._arrived(tally, route)
            return
        self._tally = tally.routes[route.stats_id]
        received = self._request.head.content_bytes()
        self._tally.counts().client_header_bytes_received += received

    @property
    def _shown_head(self) -> RequestHead:
        """Who reads logs, or lists connections, must not be able to join a session."""
        head = self._request.head
        if self._endpoint is None or not self._endpoint.session:
            return head
        target = head.target.replace(b"/" + self._endpoint.session + b"/", b"/***/")
        return attrs.evolve(head, target=target)

    async def _ask(self, route: LiveRoute, head: RequestHead) -> After:
        endpoint, rules = self._endpoint, route.sockjs
        if endpoint is None or rules is None:
            return await super()._ask(route, head)
        if self._request.head.method == b"OPTIONS":
            return await self._send_response(_response(204, b"text/plain", b""))
        if not self._is_there(endpoint):
            return await self._say(404, "Not Found")
        if not endpoint.is_of_session:
            return await self._send_response(self._page(endpoint, rules))
        if (refusal := take_scope(route, self._exchange)) is not None:
            return await self._decided(refusal, route)
        payload = await self._whole_body()
        if payload is None:
            return await self._say(400, "Request too large.")
        if endpoint.kind is Kind.SEND:
            return await self._take(route, endpoint, payload)
        return await self._receive(route, head, endpoint)

    def _is_there(self, endpoint: Endpoint) -> bool:
        method = self._request.head.method
        if endpoint.is_of_session:
            return method in _METHODS[endpoint.transport]
        there = (Kind.GREETING, Kind.INFO, Kind.IFRAME)
        return endpoint.kind in there and method in (b"GET", b"HEAD")

    async def _say(self, status: int, text: str) -> After:
        response = text_response(status, text)
        response.headers.extend(COMMON_FIELDS)
        return await self._send_response(response)

    def _page(self, endpoint: Endpoint, rules: SockJsRules) -> Response:
        """What does not belong to a session."""
        if endpoint.kind is Kind.GREETING:
            return _response(200, b"text/plain; charset=UTF-8", b"Welcome to SockJS!\n")
        if endpoint.kind is Kind.INFO:
            info = {
                "websocket": True,
                "origins": ["*:*"],
                "cookie_needed": False,
                "entropy": random.SystemRandom().getrandbits(32),
            }
            return _response(200, b"text/plain", json.dumps(info).encode() + b"\n")
        headers = Headers([(b"Cache-Control", _YEAR), (b"ETag", rules.etag)])
        if self._request.head.headers.get(b"if-none-match") == rules.etag:
            return Response(304, headers)
        headers.append((b"Content-Type", b"text/html; charset=UTF-8"))
        return Response(200, headers, rules.page)

    async def _whole_body(self) -> bytes | None:
        """The body of the request; None if it is too large."""
        body = self._body
        if not isinstance(body, RequestBody):
            return body.remembered
        data = body.take()
        while not body.complete and len(data) <= MAX_SEND_BYTES:
            data += await body.read()
        return data if len(data) <= MAX_SEND_BYTES else None

    # -- sessions --------------------------------------------------------------------------

    @property
    def _user(self) -> User:
        exchange = self._exchange
        if exchange is None or exchange.identity is None:
            return None
        scope = () if exchange.scope is None else exchange.scope.values
        return exchange.identity.consumer, exchange.identity.subject, scope

    async def _take(self, route: LiveRoute, endpoint: Endpoint, payload: bytes) -> After:
        """Pass messages of the client on."""
        client = self._context.sockjs.find((route.id, endpoint.session), self._user)
        if client is None:
            return await self._say(404, "Not Found")
        try:
            messages = decode_payload(self._sent(endpoint, payload))
        except ValueError:
            return await self._say(400, "Payload expected")
        if any(len(text.encode()) > route.websocket.max_message_bytes for text in messages):
            return await self._say(400, "Message too large")
        if client.is_sending:
            return await self._say(400, "Already sending")
        if not await client.pass_on(messages):
            return await self._say(404, "Not Found")
        return await self._send_response(_response(200, b"text/plain; charset=UTF-8", b"ok"))

    def _sent(self, endpoint: Endpoint, payload: bytes) -> bytes:
        """The list of messages that a request has, wherever that is."""
        head = self._request.head
        if head.method == b"GET":
            return _parameter(head.target.partition(b"?")[2], b"d") or b""
        content_type = head.headers.get(b"content-type") or b""
        if endpoint.transport == b"jsonp_send" and b"form-urlencoded" in content_type.lower():
            return _parameter(payload, b"d") or b""
        return payload

    async def _receive(self, route: LiveRoute, head: RequestHead, endpoint: Endpoint) -> After:
        """Give the client a frame, or have its request wait for one."""
        transport = self._transport(endpoint)
        if isinstance(transport, str):
            return await self._say(400, transport)
        sessions, key = self._context.sockjs, (route.id, endpoint.session)
        client = sessions.find(key, self._user)
        if client is not None and client.is_receiving:
            return await self._send_response(frame_response(transport, ANOTHER_IS_OPEN))
        if client is None:
            if sessions.is_taken(key):
                return await self._say(404, "Not Found")
            if sessions.is_full:
                return await self._say(503, "Too many sessions.")
            client = self._begin_session(route, head, endpoint)
            exchange = None  # the session's
        else:
            if not transport.streams and (frame := client.take()) is not None:
                return await self._send_response(frame_response(transport, frame))
            exchange = self._exchange
            if exchange is not None:
                exchange.held = "response"  # the receiver tells handlers of its end
        self._wait(client, route, transport, exchange)
        return After.HELD

    def _wait(
        self,
        client: SockJsHttpClient,
        route: LiveRoute,
        transport: Transport,
        exchange: Exchange | None,
    ) -> None:
        for_page = CrossOrigin.of(self._request.head.headers)
        order = ReceiverOrder(self._connection, self._request, route, transport, for_page, exchange)
        client.attach(SockJsReceiver(order, client))

    def _transport(self, endpoint: Endpoint) -> Transport | str:
        """How the client wants its frames, or what is wrong with how it asks."""
        transport = TRANSPORTS[endpoint.transport]
        if endpoint.transport not in NEEDS_CALLBACK:
            return transport
        query = self._request.head.target.partition(b"?")[2]
        callback = _parameter(query, b"c") or _parameter(query, b"callback") or b""
        if not callback:
            return "Bad Request"
        text = callback.decode("latin-1")
        if not is_callback(text):
            return "Invalid callback parameter."
        return attrs.evolve(transport, callback=text)

    def _begin_session(
        self, route: LiveRoute, head: RequestHead, endpoint: Endpoint
    ) -> SockJsHttpClient:
        sessions, key = self._context.sockjs, (route.id, endpoint.session)
        client = SockJsHttpClient(
            self._context,
            self._connection.peer,
            tls=self._tls,
            user=self._user,
            on_over=lambda: sessions.forget(key),
        )
        sessions.add(key, client)
        opening = self._opening(client, route, head)
        if (tally := self._context.tally) is not None:
            name, address = opening.connection_id, self._client_address()
            client.presence = tally.begin(route.stats_id, name, address, is_tls=self._tls)
        if self._exchange is not None:
            self._exchange.held = "websocket"  # the session tells handlers of its end
        if (roll := self._context.roll) is not None:
            roll.session_began(client.number, self)
        client.begin(websocket_of(opening))
        return client

    def _opening(
        self, client: SockJsHttpClient, route: LiveRoute, head: RequestHead
    ) -> SockJsHttpOpening:
        as_get = RequestHead(b"GET", head.target, head.headers.without(_OF_BODY))
        return SockJsHttpOpening(
            connection=client,
            request=self._request,
            route=route,
            head=head_for_backend(route, as_get, trusted=self._trusted),
            connection_id=str(uuid.uuid4()).encode(),
            accept_token=b"",
            logged=None,
            trusted=self._trusted,
            exchange=self._exchange,
            compression=None,
        )


def _response(status: int, content_type: bytes, body: bytes) -> Response:
    return Response(status, Headers([(b"Content-Type", content_type), *COMMON_FIELDS]), body)


def _parameter(query: bytes, name: bytes) -> bytes | None:
    """The first value of a parameter of a query or a form."""
    for item in query.split(b"&"):
        key, _, value = item.partition(b"=")
        if key == name:
            return unquote_to_bytes(value.replace(b"+", b" "))
    return None
