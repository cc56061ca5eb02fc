"""The request that opened a WebSocket, kept for as long as that lasts, and its targets."""

from collections.abc import Callable

from realtime_proxy.backend.response import BackendResponse
from realtime_proxy.errors import (
    BackendError,
    BackendUnreachable,
    GripError,
    ProtocolError,
)
from realtime_proxy.model.messages import RequestHead, Response
from realtime_proxy.model.uri import Uri
from realtime_proxy.serving.errand import Errand
from realtime_proxy.serving.failure_answer import answer_for
from realtime_proxy.serving.live_target import LiveTarget
from realtime_proxy.serving.websocket_opening import WebSocketOpening
from realtime_proxy.wire.http1_client import decode_request_head, encode_request_head

# The largest body of a backend's answer (websocket-over-http.md W-2.20).
MAX_ANSWER_BYTES = 1_000_000


class WebSocketRequest:
    """What is asked of the backend of one WebSocket.

    Once it was sent, the head is kept as one block of bytes: a quiet connection can afford that.
    """

    __slots__ = (
        "_context",
        "_exchange",
        "_kept_head",
        "_route",
        "_scheme",
        "_targets",
        "_trusted",
        "id",
    )

    def __init__(self, opening: WebSocketOpening) -> None:
        self._context = opening.connection.context
        self._route = opening.route
        self._targets = opening.route.websocket_targets
        self._kept_head: RequestHead | bytes = opening.head
        self._exchange = opening.exchange
        self._trusted = opening.trusted
        tls = opening.connection.counts_as_tls(opening.request.head)
        self._scheme = "https" if tls else "http"
        self.id = opening.connection_id

    @property
    def target(self) -> LiveTarget:
        """The target that is asked, or that accepted."""
        return self._targets[0]

    def logged_uri(self) -> str:
        """What the client asked for, as logs show it."""
        head = self._head()
        scheme = "wss" if self._scheme == "https" else "ws"
        return self._context.request_log.uri(scheme, head.headers.get(b"host") or b"", head.target)

    def errand(self) -> Errand | None:
        """For requests on behalf of the client; None if what it asked for is no URI."""
        head = self._head()
        try:
            uri = Uri.of_request(self._scheme, head.headers.get(b"host") or b"", head.target)
        except ValueError:
            return None
        return Errand(self._context, self._route, self._exchange, uri)

    def _head(self) -> RequestHead:
        """The head as handlers left it, to be changed as one likes."""
        kept, encoded = self._kept_head, self._encoded_head()
        return kept if isinstance(kept, RequestHead) else decode_request_head(encoded)

    def _encoded_head(self) -> bytes:
        """The same as bytes. Raises ProtocolError (400) for a target with blanks."""
        kept = self._kept_head
        if isinstance(kept, bytes):
            return kept
        if len(kept.target.split()) != 1:  # as a handler may have made it
            raise ProtocolError(400, "The request target must not be empty or have blanks.")
        encoded = self._kept_head = encode_request_head(kept)
        return encoded

    def _pass_over(self, error: BackendUnreachable) -> None:
        """Go on to the next target. Raises BackendUnreachable if there is none."""
        if len(self._targets) == 1:
            labels = ", ".join(target.label for target in self._route.websocket_targets)
            message = f"Unable to connect to any targets. Tried: {labels}"
            raise BackendUnreachable(message, timed_out=error.status == 504) from error
        self._targets = self._targets[1:]

    def refusal(self, error: BackendError | GripError | ProtocolError) -> Response:
        """Log and count that there is no usable answer. What a client is told of it."""
        self._context.counters.backend_failures += 1
        error.target = error.target or self.target.label
        self._route.log.warning(
            "backend failed", route=self._route.id, backend=error.target, problem=str(error)
        )
        return answer_for(error, self._route)


async def whole_body(
    response: BackendResponse, too_large: Callable[[], BackendError | ProtocolError]
) -> bytes:
    """The body of a backend's answer. Raises BackendError, and `too_large()` if it is that."""
    try:
        body = response.take()
        while not response.complete:
            body += await response.read()
            if len(body) > MAX_ANSWER_BYTES:
                raise too_large()
        return body
    finally:
        response.close()
