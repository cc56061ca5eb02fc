"""A backend that speaks WebSocket, as one client has it: the handshake, then its own socket."""

from collections.abc import Callable

from realtime_proxy.backend.response import NetworkResponse
from realtime_proxy.errors import (
    BackendError,
    BackendMisbehaved,
    BackendUnreachable,
    ProtocolError,
)
from realtime_proxy.grip.websocket_extension import other_extensions
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, ResponseHead
from realtime_proxy.net.client_socket import ClientSocket
from realtime_proxy.net.timers import Timer
from realtime_proxy.net.watcher import Watched
from realtime_proxy.serving.upstream import BackendRequest, Upstream
from realtime_proxy.serving.websocket_opening import WebSocketOpening
from realtime_proxy.serving.websocket_request import MAX_ANSWER_BYTES, WebSocketRequest, whole_body
from realtime_proxy.sessions.compression import accepted_form
from realtime_proxy.sessions.effects import Effect
from realtime_proxy.sessions.websocket_pass_through import WebSocketPassThrough
from realtime_proxy.wire.encodings import WireForm
from realtime_proxy.wire.websocket_frame import masked
from realtime_proxy.wire.websocket_handshake import is_upgrade, new_key, token_for
from realtime_proxy.wire.websocket_reader import FrameEvent, FrameReader

# So long a backend that was told to close has for its own close, and then for its end.
CLOSE_SECONDS = 10.0
_LINGER_SECONDS = 2.0
_TOO_LARGE = f"Non-101 response body size exceeded limit of {MAX_ANSWER_BYTES} bytes."


class WebSocketOrigin(WebSocketRequest):
    """The backend's side of one WebSocket. `backlog_bytes` wait until it takes them."""

    __slots__ = ("_early", "_frames", "_limits", "_socket", "_timer", "form")

    def __init__(self, opening: WebSocketOpening) -> None:
        super().__init__(opening)
        self._limits = self._route.websocket
        self.form = WireForm.FRAME
        self._frames: FrameReader | None = None
        self._socket: ClientSocket | None = None
        self._early = b""
        self._timer: Timer | None = None

    # -- the handshake ---------------------------------------------------------------------

    async def shake_hands(self, session: WebSocketPassThrough, owner: Watched) -> list[Effect]:
        """Ask for a WebSocket. What the session makes of the answer, or of there being none.

        From an acceptance on, `owner.ready` is called when something arrives.
        """
        try:
            response, key = await self._answer()
            if response.head.status == 101:
                self._switch(response, key, owner)
                return session.answered(response.head)
            body = await whole_body(response, lambda: ProtocolError(500, _TOO_LARGE))
            return session.answered(response.head, body)
        except (BackendError, ProtocolError) as error:
            return session.unanswered(self.refusal(error))

    async def _answer(self) -> tuple[NetworkResponse, bytes]:
        """The answer of the first target that can be reached, and the key that it was sent."""
        upstream = Upstream(self._context, self._route)
        while True:
            key = new_key()
            try:
                return await upstream.shake_hands(self.target, self._request(key)), key
            except BackendUnreachable as error:
                self._route.log.warning(
                    "backend unreachable", route=self._route.id, problem=str(error)
                )
                self._pass_over(error)

    def _request(self, key: bytes) -> BackendRequest:
        head = self._head()
        fields = [
            (b"Connection", b"Upgrade"),
            (b"Upgrade", b"websocket"),
            (b"Sec-WebSocket-Version", b"13"),
            (b"Sec-WebSocket-Key", key),
        ]
        return BackendRequest(
            RequestHead(b"GET", head.target, Headers([*head.headers, *fields])),
            trusted=self._trusted,
            tls=self._scheme == "https",
            exchange=self._exchange,
        )

    def _switch(self, response: NetworkResponse, key: bytes, owner: Watched) -> None:
        """Have the connection for frames from now on. Raises BackendMisbehaved."""
        connection, self._early = response.take_over()
        try:
            _check(response.head, key)
            self.form = _form(response.head, offers_compression=self._route.compression)
        except BackendMisbehaved:
            connection.close()
            raise
        raw, tls = connection.leave()
        self._socket = ClientSocket(raw, tls, self._context.watcher, self._context.unsent)
        self._socket.owner = owner

    # -- frames ----------------------------------------------------------------------------

    @property
    def backlog_bytes(self) -> int:
        """How much waits to be sent."""
        return 0 if self._socket is None else self._socket.backlog_bytes

    @property
    def is_within_message(self) -> bool:
        """True after a fragment of the backend's that was not the last."""
        return self._frames is not None and self._frames.is_within_message

    @property
    def has_more(self) -> bool:
        """True if there may be more to receive that has come already."""
        return self._frames is not None and self._frames.has_more

    def send(self, frame: bytes) -> None:
        """Send a frame, which is masked here."""
        if self._socket is not None:
            self._socket.write(masked(frame))

    def receive(self) -> list[FrameEvent] | None:
        """What has arrived of the backend; None at its end."""
        if self._socket is None:
            return []
        if self._frames is not None and self._frames.has_more:
            return self._read(self._frames, b"")
        data, self._early = self._early or self._socket.receive(), b""
        if data is None:
            return []
        if not data:
            return None
        if self._frames is None:
            self._frames = FrameReader(
                self._limits.max_message_bytes,
                max_frame_bytes=self._limits.max_frame_bytes,
                of_client=False,
                inflates=self.form.is_deflated,
            )
        return self._read(self._frames, data)

    def _read(self, frames: FrameReader, data: bytes) -> list[FrameEvent]:
        events = frames.feed(data)
        if frames.is_idle:
            self._frames = None
        return events

    def watch(self) -> None:
        """Have the owner called for as long as there is something to receive."""
        if self._socket is not None:
            self._socket.watch_input()

    def pause(self) -> None:
        """Leave what the backend sends where it is, for now."""
        if self._socket is not None:
            self._socket.watch_arrivals()

    async def reads(self) -> None:
        """Wait until the backend has taken all. Raises trio.BrokenResourceError if it does not."""
        if self._socket is not None:
            await self._socket.send_all(b"")

    # -- the end ---------------------------------------------------------------------------

    def await_close(self, overdue: Callable[[], None]) -> None:
        """Call back if the backend does not close within the time that it has for that."""
        self._cancel_timer()
        self._timer = self._context.timers.after(CLOSE_SECONDS, overdue)

    def end(self, *, lingers: bool) -> None:
        """Send nothing more. Closed at once, or (if it has been told) when the backend closes."""
        self._cancel_timer()
        self._frames, self._early = None, b""
        if self._socket is None:
            return
        if not lingers:
            self.close()
            return
        self._socket.owner = self
        self._socket.end_output()
        self._socket.watch_input()
        self._timer = self._context.timers.after(_LINGER_SECONDS, self.close)

    def ready(self, _events: int) -> None:
        """Called by the watcher while the backend's end is awaited: what it still sends is late."""
        if self._socket is not None and self._socket.receive() == b"":
            self.close()

    def close(self) -> None:
        """Close at once; what waits is dropped."""
        self._cancel_timer()
        if self._socket is not None:
            self._socket.close()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _form(head: ResponseHead, *, offers_compression: bool) -> WireForm:
    """The form in which the backend takes messages. Raises BackendMisbehaved."""
    accepted = other_extensions(head.headers)
    if not accepted:
        return WireForm.FRAME
    if offers_compression and (form := accepted_form(accepted)) is not None:
        return form
    names = b", ".join(accepted).decode(errors="replace")
    raise BackendMisbehaved(f"backend accepted extensions that were not offered: {names}")


def _check(head: ResponseHead, key: bytes) -> None:
    """Raises BackendMisbehaved unless this accepts what was asked for (RFC 6455 4.1)."""
    if not is_upgrade(head.headers):
        raise BackendMisbehaved("backend switched to another protocol than WebSocket")
    if head.headers.get(b"sec-websocket-accept") != token_for(key):
        raise BackendMisbehaved("backend accepted a WebSocket with a wrong Sec-WebSocket-Accept")
