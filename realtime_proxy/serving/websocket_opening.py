"""The request that opens a WebSocket, until it is answered."""

from collections.abc import Callable

import attrs

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, ResponseHead
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.serving.client_connection import ClientConnection
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.request_log import LoggedRequest
from realtime_proxy.sessions.compression import Agreement
from realtime_proxy.wire.encodings import WireForm
from realtime_proxy.wire.http1_rules import encode_head
from realtime_proxy.wire.http1_server import (
    BodyForm,
    IncomingRequest,
    encode_response_head,
    response_form,
)


@attrs.frozen
class WebSocketOpening:
    """An upgrade request: everything a session is made of, and how it may be answered."""

    connection: ClientConnection
    request: IncomingRequest
    route: LiveRoute
    head: RequestHead  # as handlers left it, to be repeated with every event
    connection_id: bytes
    accept_token: bytes
    trusted: bool
    exchange: Exchange | None
    compression: Agreement | None  # with the client
    logged: LoggedRequest | None  # for the record of how it was answered, if that is wanted

    @property
    def form(self) -> WireForm:
        """The form in which the client takes messages."""
        return WireForm.FRAME if self.compression is None else self.compression.form

    def accept(self, send: Callable[[bytes], None], headers: Headers) -> None:
        """Tell the client that it is accepted, with the backend's fields."""
        send(self._acceptance(headers))

    def refuse(
        self, send: Callable[[bytes], None], head: ResponseHead, body: bytes
    ) -> tuple[ResponseHead, int]:
        """Give the client the backend's response. What it is shown: head, bytes of the body."""
        shown, form = self._refusal(head, body)
        keep_alive = self.request.keep_alive and self.connection.context.drain is None
        data = encode_response_head(shown, form, len(body), keep_alive=keep_alive)
        send(data if form == BodyForm.NONE else data + body)
        return shown, 0 if form == BodyForm.NONE else len(body)

    def _acceptance(self, headers: Headers) -> bytes:
        own = [
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: " + self.accept_token,
        ]
        if self.compression is not None:
            own.append(b"Sec-WebSocket-Extensions: " + self.compression.answer)
        return encode_head(b"HTTP/1.1 101 Switching Protocols", headers, *own)

    def _refusal(self, head: ResponseHead, body: bytes) -> tuple[ResponseHead, str]:
        hidden = head.headers.hop_by_hop() | {b"content-length"}
        shown = ResponseHead(head.status, head.reason, head.headers.without(hidden))
        return shown, response_form(self.request.head, head.status, len(body))

    def log_answer(self, backend: str, status: int | None, body_bytes: int = 0) -> None:
        """Write the record of the request; without a status, it got no answer."""
        request = self.logged
        if request is None:
            return
        request.backend = backend
        if status is None:
            request.result = "error"
        request.status, request.body_bytes = status, body_bytes
        self.connection.context.request_log.write(request)
