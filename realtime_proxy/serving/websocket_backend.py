"""The requests that carry a WebSocket's events to its backend (WebSocket-over-HTTP)."""

import random

import trio

from realtime_proxy.errors import (
    BackendError,
    BackendMisbehaved,
    BackendUnreachable,
    GripError,
    ProtocolError,
)
from realtime_proxy.grip.websocket_events import CONTENT_TYPE
from realtime_proxy.model.messages import RequestHead, ResponseHead
from realtime_proxy.serving.upstream import BackendRequest, Upstream
from realtime_proxy.serving.websocket_request import MAX_ANSWER_BYTES, WebSocketRequest, whole_body
from realtime_proxy.sessions.effects import Effect
from realtime_proxy.sessions.websocket_over_http import WebSocketOverHttp

# A backend that can't be reached has got nothing, so it is asked again, while it restarts for
# example; after these pauses the client is given up (websocket-over-http.md W-5.3).
RETRY_SECONDS = (1, 2, 4, 8, 16)
_TOO_LARGE = f"answer exceeds {MAX_ANSWER_BYTES} bytes"


class WebSocketBackend(WebSocketRequest):
    """The backend of one WebSocket: the same request head every time, around new events."""

    __slots__ = ()

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
                return response.head, await whole_body(response, BackendMisbehaved(_TOO_LARGE))
            except BackendUnreachable as error:
                if not session.is_accepted:
                    self._pass_over(error)
                    session.one_event = self.target.one_event
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
        refusal = self.refusal(error)
        if self._route.debug:
            return session.backend_failed(refusal, refusal.body.decode().strip())
        return session.backend_failed(refusal)

    def _request(self, session: WebSocketOverHttp, events: bytes) -> BackendRequest:
        head = self._head()
        headers = head.headers
        headers += (
            (b"Accept", CONTENT_TYPE),
            (b"Connection-Id", self.id),
            (b"Content-Type", CONTENT_TYPE),
            (b"Content-Length", b"%d" % len(events)),
        )
        if session.replayed_bytes:
            headers.append((b"Content-Bytes-Replayed", b"%d" % session.replayed_bytes))
        headers += ((b"Meta-" + name, value) for name, value in session.meta.values())
        return BackendRequest(
            RequestHead(b"POST", head.target, headers),
            events,
            trusted=self._trusted,
            tls=self._scheme == "https",
            once_only=True,
            exchange=self._exchange,
        )
