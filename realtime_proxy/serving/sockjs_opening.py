"""How clients of SockJS are told that their backend has accepted, or not."""

from collections.abc import Callable

import attrs

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead
from realtime_proxy.serving.sockjs_http_client import SockJsHttpClient
from realtime_proxy.serving.sockjs_websocket_client import SockJsWebSocketClient
from realtime_proxy.serving.websocket_opening import WebSocketOpening
from realtime_proxy.wire.http1_server import BodyForm


@attrs.frozen
class SockJsHttpOpening(WebSocketOpening):
    """The first request of a session over HTTP."""

    connection: SockJsHttpClient

    def accept(self, send: Callable[[bytes], None], headers: Headers) -> None:  # noqa: ARG002
        """Have the client told with the first frame. The fields are for WebSockets."""
        self.connection.accepted()

    def refuse(
        self,
        send: Callable[[bytes], None],  # noqa: ARG002  the answer is no frame
        head: ResponseHead,
        body: bytes,
    ) -> tuple[ResponseHead, int]:
        """Answer with the backend's response."""
        shown, form = self._refusal(head, body)
        self.connection.refused(shown, body)
        return shown, 0 if form == BodyForm.NONE else len(body)


@attrs.frozen
class SockJsWebSocketOpening(WebSocketOpening):
    """An upgrade request of a client that has its messages in frames of SockJS."""

    connection: SockJsWebSocketClient

    def accept(self, send: Callable[[bytes], None], headers: Headers) -> None:  # noqa: ARG002
        """Answer the upgrade, and tell the client that its session is open."""
        self.connection.accepted(self._acceptance(headers))

    def refuse(
        self,
        send: Callable[[bytes], None],  # noqa: ARG002  the answer is no frame
        head: ResponseHead,
        body: bytes,
    ) -> tuple[ResponseHead, int]:
        """Give the client the backend's response."""
        return super().refuse(self.connection.refused, head, body)
