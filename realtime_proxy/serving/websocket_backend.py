"""The requests that carry a WebSocket's events to its backend (WebSocket-over-HTTP)."""

import random
import time
from collections.abc import Awaitable, Iterator

import trio

from realtime_proxy.backend.request import OutgoingRequest
from realtime_proxy.backend.response import BackendResponse
from realtime_proxy.errors import (
    BackendError,
    BackendMisbehaved,
    BackendUnreachable,
    GripError,
    ProtocolError,
)
from realtime_proxy.grip.features import GRIP_FEATURE
from realtime_proxy.grip.websocket_events import CONTENT_TYPE
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.routing.condition import host_of
from realtime_proxy.serving.live_target import LiveTarget
from realtime_proxy.serving.upstream import BackendRequest, Upstream
from realtime_proxy.serving.websocket_request import MAX_ANSWER_BYTES, WebSocketRequest, whole_body
from realtime_proxy.sessions.effects import Effect
from realtime_proxy.sessions.websocket_over_http import WebSocketOverHttp
from realtime_proxy.wire.event_request import (
    encode_event_head,
    head_content_bytes,
    host_of_head,
    with_host,
)
from realtime_proxy.wire.http1_rules import encode_fields

# A backend that can't be reached has got nothing, so it is asked again, while it restarts for
# example; after these pauses the client is given up (websocket-over-http.md W-5.3).
RETRY_SECONDS = (1, 2, 4, 8, 16)
_FEATURE_LINE = b"Grip-Feature: %b\r\n" % GRIP_FEATURE


class WebSocketBackend(WebSocketRequest):
    """The backend of one WebSocket: the same request head every time, around new events."""

    __slots__ = ()

    async def ask(self, session: WebSocketOverHttp, events: bytes) -> list[Effect]:
        """Send some events. What the session makes of the answer, or of there being none.

        Before the client is accepted, targets that can't be reached are passed over; after, the
        one that accepted is asked again for a while.
        """
        pauses = iter(RETRY_SECONDS)
        try:
            while True:
                try:
                    response = await self._trip(session, events)
                    body = await whole_body(response, _too_large)
                except BackendUnreachable as error:
                    await self._before_next(session, error, pauses)
                    continue
                return session.response_arrived(response.head, body)
        except (BackendError, GripError, ProtocolError) as error:
            return self._failed(session, error)

    async def _before_next(
        self, session: WebSocketOverHttp, error: BackendUnreachable, pauses: Iterator[int]
    ) -> None:
        """Go on to the next target, or wait. Raises BackendUnreachable if it was tried enough."""
        if not session.is_accepted:
            self._pass_over(error)
            session.one_event = self.target.one_event
            return
        pause = next(pauses, None)
        if pause is None:
            raise error
        self._route.log.warning("backend unreachable", route=self._route.id, problem=str(error))
        await trio.sleep(pause + random.random())  # noqa: S311  not all at once

    def _failed(
        self, session: WebSocketOverHttp, error: BackendError | GripError | ProtocolError
    ) -> list[Effect]:
        refusal = self.refusal(error)
        if self._route.debug:
            return session.backend_failed(refusal, refusal.body.decode().strip())
        return session.backend_failed(refusal)

    def _trip(self, session: WebSocketOverHttp, events: bytes) -> Awaitable[BackendResponse]:
        """The answer of the target that is next. Raises BackendError, or ProtocolError."""
        target, upstream = self._targets[0], Upstream(self._context, self._route)
        origin, chain = target.origin, self._route.chain
        is_changed = chain is not None and chain.has_backend_request and self._exchange is not None
        if origin is None or is_changed:
            return upstream.ask_target(target, self._request(session, events))
        head = self._head_around(target, session, events)
        if target.verifies_host:
            origin = origin.verified_as(host_of(host_of_head(head)))
        request = OutgoingRequest(b"POST", head + events, repeatable=False)
        return upstream.send(target, origin, request, (head_content_bytes(head), len(events)))

    def _head_around(self, target: LiveTarget, session: WebSocketOverHttp, events: bytes) -> bytes:
        """The head for some events, of what is kept and what varies: nothing is decoded for it."""
        kept = self._encoded_head()
        if target.host is not None:
            kept = with_host(kept, target.host)
        varying = b""
        if session.meta or session.replayed_bytes:
            varying = encode_fields(_stored(session))
        if self._route.grip and not self._trusted:
            if self._route.signer is not None:
                varying += b"Grip-Sig: %b\r\n" % self._route.signer.token(time.time())
            varying += _FEATURE_LINE
        return encode_event_head(kept, self.id, len(events), varying)

    def _request(self, session: WebSocketOverHttp, events: bytes) -> BackendRequest:
        """The same as a head of fields, for all that is no plain request over the network."""
        head = self._head()
        headers = head.headers
        headers += (
            (b"Accept", CONTENT_TYPE),
            (b"Connection-Id", self.id),
            (b"Content-Type", CONTENT_TYPE),
            (b"Content-Length", b"%d" % len(events)),
            *_stored(session),
        )
        return BackendRequest(
            RequestHead(b"POST", head.target, headers),
            events,
            trusted=self._trusted,
            tls=self._scheme == "https",
            once_only=True,
            exchange=self._exchange,
        )


def _too_large() -> BackendMisbehaved:
    return BackendMisbehaved(f"answer exceeds {MAX_ANSWER_BYTES} bytes")


def _stored(session: WebSocketOverHttp) -> Headers:
    """The fields that come from what the backend has said before."""
    fields = Headers()
    if session.replayed_bytes:
        fields.append((b"Content-Bytes-Replayed", b"%d" % session.replayed_bytes))
    for name, value in (session.meta or {}).values():
        fields.append((b"Meta-" + name, value))
    return fields
