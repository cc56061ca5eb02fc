"""The requests that carry a WebSocket's events to its backend (WebSocket-over-HTTP)."""

import random

import trio

from realtime_proxy.backend.response import BackendResponse
from realtime_proxy.errors import (
    BackendError,
    BackendMisbehaved,
    BackendUnreachable,
    GripError,
    ProtocolError,
)
from realtime_proxy.model.messages import RequestHead, ResponseHead
from realtime_proxy.model.uri import Uri
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.serving.client_exchange import answer_for
from realtime_proxy.serving.context import ServingContext
from realtime_proxy.serving.errand import Errand
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.live_target import LiveTarget
from realtime_proxy.serving.upstream import BackendRequest, Upstream
from realtime_proxy.sessions.effects import Effect
from realtime_proxy.sessions.websocket_over_http import CONTENT_TYPE, WebSocketOverHttp
from realtime_proxy.wire.http1_client import encode_request_head
from realtime_proxy.wire.http1_rules import parse_request_block

# The largest body of a backend's answer (websocket-over-http.md W-2.20).
MAX_ANSWER_BYTES = 1_000_000
# A backend that can't be reached has got nothing, so it is asked again, while it restarts for
# example; after these pauses the client is given up (websocket-over-http.md W-5.3).
RETRY_SECONDS = (1, 2, 4, 8, 16)


class WebSocketBackend:
    """The backend of one WebSocket: the same request head every time, around new events.

    The head is kept as one block of bytes, which is what a quiet connection can afford.
    """

    __slots__ = (
        "_context",
        "_exchange",
        "_packed_head",
        "_route",
        "_scheme",
        "_targets",
        "_trusted",
        "id",
    )

    def __init__(
        self,
        context: ServingContext,
        route: LiveRoute,
        head: RequestHead,
        exchange: Exchange | None,
        connection_id: str,
        *,
        trusted: bool,
        tls: bool,
    ) -> None:
        """`head` is the upgrade request as handlers left it; `tls` tells how the client came."""
        self._context = context
        self._route = route
        self._targets = route.over_http_targets
        self._packed_head = encode_request_head(head)
        self._exchange = exchange
        self._trusted = trusted
        self._scheme = "https" if tls else "http"
        self.id = connection_id.encode()

    @property
    def target(self) -> LiveTarget:
        """The target that is asked, or that accepted."""
        return self._targets[0]

    def logged_uri(self) -> str:
        """What the client asked for, as logs show it."""
        _, target, _, headers = parse_request_block(self._packed_head)
        scheme = "wss" if self._scheme == "https" else "ws"
        return self._context.request_log.uri(scheme, headers.get(b"host") or b"", target)

    def errand(self) -> Errand | None:
        """For requests on behalf of the client; None if what it asked for is no URI."""
        _, target, _, headers = parse_request_block(self._packed_head)
        try:
            uri = Uri.of_request(self._scheme, headers.get(b"host") or b"", target)
        except ValueError:
            return None
        return Errand(self._context, self._route, self._exchange, uri)

    async def ask(self, session: WebSocketOverHttp, events: bytes) -> list[Effect]:
        """Send some events. What the session makes of the answer, or of there being none."""
        try:
            head, body = await self._answer(session, events)
            return session.response_arrived(head, body)
        except (BackendError, GripError, ProtocolError) as error:
            return self._failed(session, error)

    async def _answer(
        self, session: WebSocketOverHttp, events: bytes
    ) -> tuple[ResponseHead, bytes]:
        """The whole answer to some events. Raises BackendError, or ProtocolError.

        Before the client is accepted, targets that can't be reached are passed over; after, the
        one that accepted is asked again for a while.
        """
        upstream = Upstream(self._context, self._route)
        request = self._request(session, events)
        pauses = iter(RETRY_SECONDS)
        while True:
            try:
                response = await upstream.ask_target(self.target, request)
                return response.head, await _whole_body(response)
            except BackendUnreachable as error:
                if not session.is_accepted:
                    self._pass_over(session, error)
                    continue
                pause = next(pauses, None)
                if pause is None:
                    raise
                self._route.log.warning(
                    "backend unreachable", route=self._route.id, problem=str(error)
                )
                await trio.sleep(pause + random.random())  # noqa: S311  not all at once

    def _failed(
        self, session: WebSocketOverHttp, error: BackendError | GripError | ProtocolError
    ) -> list[Effect]:
        self._context.counters.backend_failures += 1
        error.target = error.target or self.target.label
        self._route.log.warning(
            "backend failed", route=self._route.id, backend=error.target, problem=str(error)
        )
        refusal = answer_for(error, self._route)
        if self._route.debug:
            return session.backend_failed(refusal, refusal.body.decode().strip())
        return session.backend_failed(refusal)

    def _pass_over(self, session: WebSocketOverHttp, error: BackendUnreachable) -> None:
        if len(self._targets) == 1:
            labels = ", ".join(target.label for target in self._route.over_http_targets)
            message = f"Unable to connect to any targets. Tried: {labels}"
            raise BackendUnreachable(message, timed_out=error.status == 504) from error
        self._targets = self._targets[1:]
        session.one_event = self.target.one_event

    def _request(self, session: WebSocketOverHttp, events: bytes) -> BackendRequest:
        _, target, _, headers = parse_request_block(self._packed_head)
        headers += (
            (b"Accept", CONTENT_TYPE),
            (b"Connection-Id", self.id),
            (b"Content-Type", CONTENT_TYPE),
            (b"Content-Length", b"%d" % len(events)),
        )
        headers += ((b"Meta-" + name, value) for name, value in session.meta.values())
        return BackendRequest(
            RequestHead(b"POST", target, headers),
            events,
            trusted=self._trusted,
            tls=self._scheme == "https",
            once_only=True,
            exchange=self._exchange,
        )


async def _whole_body(response: BackendResponse) -> bytes:
    try:
        body = response.take()
        while not response.complete:
            body += await response.read()
            if len(body) > MAX_ANSWER_BYTES:
                raise BackendMisbehaved(f"answer exceeds {MAX_ANSWER_BYTES} bytes")
        return body
    finally:
        response.close()
