"""A WebSocket client whose backend speaks WebSocket, too: messages go from socket to socket.

Both sockets sit with the watcher. A task runs only for the handshake, while one side does not take
what the other sends, and while the backend subscribes the client to a channel.
"""

import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import trio

from realtime_proxy.channels.counted import counting
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.serving.patient_writer import PatientWriter
from realtime_proxy.serving.websocket_connection import WebSocketConnection
from realtime_proxy.serving.websocket_opening import WebSocketOpening
from realtime_proxy.serving.websocket_origin import WebSocketOrigin
from realtime_proxy.sessions.effects import (
    CloseBackend,
    Effect,
    EndBackend,
    SendClose,
    SendToBackend,
)
from realtime_proxy.sessions.websocket_pass_through import WebSocketPassThrough
from realtime_proxy.wire.websocket_frame import encode_close
from realtime_proxy.wire.websocket_reader import FrameEvent, Message, PeerClosed

log = structlog.get_logger()


class PassThroughConnection(WebSocketConnection):
    """One WebSocket, and the one that its backend has for it."""

    __slots__ = (
        "_arrived",
        "_backend_was_told",
        "_direct",
        "_is_draining",
        "_is_working",
        "_patient",
        "_scope",
    )

    _backend: WebSocketOrigin
    _session: WebSocketPassThrough

    def __init__(self, opening: WebSocketOpening) -> None:
        super().__init__(opening)
        self._backend = WebSocketOrigin(opening)
        self._session = WebSocketPassThrough(trusted=opening.trusted or not opening.route.grip)
        # Items wait while the backend is within a message; what it sends itself does not.
        self._patient = PatientWriter(self.connection.socket)
        self._direct = self.writer
        self.writer = counting(self._patient, self._record)
        self._arrived: deque[FrameEvent] | None = None  # of the backend, while it can't go on
        self._backend_was_told = False
        self._is_working = True
        self._is_draining = False
        self._scope: trio.CancelScope | None = None  # of the handshake

    async def begin(self) -> None:
        """Ask the backend whether it accepts, and go on with what follows from its answer."""
        self._take_connection()
        await self._guarded(partial(self._work, self._open))
        self.ready(0)  # what came with the backend's answer is not told of by the watcher

    async def _open(self) -> None:
        with trio.CancelScope() as self._scope:
            await self._follow(await self._backend.shake_hands(self._session, self))
            self._note_channels()
            if self._session.is_accepted:
                self._tell_opened()
            self._read_on()
        self._scope = None

    def send(self, frame: bytes) -> None:
        """Send a frame of this connection's own, and note when."""
        self._direct.write(frame)
        self._control.sent_at = self.connection.context.timers.now()

    def _send_close(self, close: SendClose) -> None:
        self._patient.go_on()
        super()._send_close(close)

    def _release(self, reason: CloseReason) -> bool:
        if self._scope is not None:
            self._scope.cancel()
        return super()._release(reason)

    # -- to the backend --------------------------------------------------------------------

    @property
    def _takes_input(self) -> bool:
        return not self._is_draining

    def _serve_backend(self, effect: Effect) -> None:
        match effect:
            case SendToBackend():
                self._send_to_backend(effect)
            case CloseBackend():
                self._backend_was_told = True
                self._backend.send(encode_close(effect.code, effect.reason))
                self._backend.await_close(self._backend_overdue)
            case EndBackend():
                self._patient.go_on()
                self._backend.end(lingers=self._backend_was_told)

    def _send_to_backend(self, message: SendToBackend) -> None:
        if (counts := self._counts()) is not None:
            counts.server_content_bytes_sent += len(message.content)
        self._backend.send(self._backend.form.frame(message.opcode, message.content))
        if self._backend.backlog_bytes and not self._is_draining:
            self._is_draining = True
            self._start(self._drain)

    async def _drain(self) -> None:
        """Read on once the backend has taken what it was sent."""
        with contextlib.suppress(trio.BrokenResourceError):  # its end is reported elsewhere
            await self._backend.reads()
        self._is_draining = False
        self._read_on()

    def _backend_overdue(self) -> None:
        self._perform(self._session.backend_gone())

    # -- from the backend ------------------------------------------------------------------

    def ready(self, _events: int) -> None:
        """Called by the watcher: frames of the backend, or its end."""
        if self._is_working:
            return
        events = self._backend.receive()
        if events is None:
            self._perform(self._session.backend_gone())
        elif events:
            self._arrived = deque(events)
            self._relay(self._arrived)
        elif self._backend.is_within_message:
            self._patient.pause()

    def _relay(self, arrived: deque[FrameEvent]) -> None:
        """Do what follows from what the backend sent, one after the other, until that has to wait.

        The backend is not read meanwhile.
        """
        while arrived:
            if self.connection.socket.backlog_bytes:
                self._pause_for(self._client_reads)
                return
            effects = self._effects_of(arrived.popleft())
            if self._wanted_channels(effects):
                self._pause_for(partial(self._follow, effects))
                return
            self._perform(effects)
        self._arrived = None
        if self._backend.is_within_message:
            self._patient.pause()
        else:
            self._patient.go_on()
        if self._backend.has_more:
            self._pause_for(trio.lowlevel.checkpoint)

    def _effects_of(self, event: FrameEvent) -> list[Effect]:
        session = self._session
        if isinstance(event, Message):
            if (counts := self._counts()) is not None:
                counts.server_content_bytes_received += len(event.content)
            return session.backend_message_arrived(event.opcode, event.content)
        if isinstance(event, PeerClosed):
            return session.backend_closed(event.code, event.reason)
        self._route.log.warning(
            "backend broke the protocol", route=self._route.id, why=event.reason
        )
        return session.backend_failed(event.code, event.reason)

    def _pause_for(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that takes its time; what the backend sends stays where it is."""
        self._is_working = True
        self._backend.pause()
        self._start(partial(self._work, work))

    def _start(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run(_scope: trio.CancelScope) -> None:
            await self._guarded(work)

        self.connection.context.crew.start(run)

    async def _work(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that takes its time, and read the backend again after it."""
        await work()
        self._note_channels()
        self._is_working = False
        if self._arrived:
            self._relay(self._arrived)
        if not self._is_working:
            self._backend.watch()
            if self._backend.has_more:
                self.ready(0)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have a defect end this connection, and nothing else."""
        try:
            await work()
        except Exception:
            log.exception("websocket session failed", peer=self.connection.peer)
            self.connection.close(CloseReason.INTERNAL_ERROR)
