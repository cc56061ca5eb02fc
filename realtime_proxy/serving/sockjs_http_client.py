"""A SockJS client that comes with one HTTP request after another.

To the session with its backend it is the connection of a WebSocket: frames that are written become
what its receivers get, and what it sends becomes messages.
"""

from collections.abc import Callable
from functools import partial

import structlog
import trio

from realtime_proxy.metrics.presence import Presence
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.messages import RequestHead, Response, ResponseHead, text_response
from realtime_proxy.net.timers import Timer
from realtime_proxy.serving.context import ServingContext
from realtime_proxy.serving.held_client import HeldClient
from realtime_proxy.serving.hold import Hold, InputHold
from realtime_proxy.serving.sockjs_receiver import SockJsReceiver
from realtime_proxy.serving.sockjs_sessions import User
from realtime_proxy.serving.websocket_connection import WebSocketConnection
from realtime_proxy.sessions.sockjs_session import SockJsSession
from realtime_proxy.wire.websocket_frame import Opcode, parse_close, sent_frames
from realtime_proxy.wire.websocket_reader import FrameEvent, Message, PeerClosed

log = structlog.get_logger()


class SockJsHttpClient:
    """One client over HTTP. `user` is who it is, if handlers have found out."""

    __slots__ = (
        "_change",
        "_counted_bytes",
        "_has_moved",
        "_hold",
        "_is_finished",
        "_on_over",
        "_overflowed",
        "_receiver",
        "_session",
        "_takes_input",
        "_timer",
        "_tls",
        "_websocket",
        "context",
        "is_sending",
        "number",
        "peer",
        "presence",
        "user",
    )

    def __init__(
        self,
        context: ServingContext,
        peer: str,
        *,
        tls: bool,
        user: User,
        on_over: Callable[[], None],
    ) -> None:
        """`on_over` is called when there is nothing more to be told to anybody."""
        self.context = context
        self.peer = peer
        self.user = user
        self.presence: Presence | None = None  # while anybody asks for statistics
        self.is_sending = False
        self.number = -1  # that of the session, once it has one: it is on no connection
        self._counted_bytes = 0
        self._has_moved = False
        self._overflowed = ""
        self._tls = tls
        self._on_over = on_over
        self._session = SockJsSession()
        self._websocket: WebSocketConnection | None = None
        self._hold: Hold | None = None
        self._takes_input = False
        self._is_finished = False  # the session with the backend has ended
        self._receiver: SockJsReceiver | None = None
        self._timer: Timer | None = None
        self._change: trio.Event | None = None  # that somebody waits for

    def begin(self, websocket: WebSocketConnection) -> None:
        """Have the backend asked whether it accepts."""
        self._websocket = websocket

        async def begin(_scope: trio.CancelScope) -> None:
            if not self._session.is_over:
                await websocket.begin()

        self.context.crew.start(begin)

    @property
    def held_client(self) -> HeldClient | None:
        """The client as handlers know it."""
        return None if self._hold is None else self._hold.held_client

    # -- before a stop -----------------------------------------------------------------------

    @property
    def is_held(self) -> bool:
        """True until the session with the backend has ended."""
        return not self._is_finished

    def leave_if_idle(self) -> None:
        """It never is."""

    def let_go(self) -> bool:
        """End as it should end for a client that is to come back. False if that has to wait."""
        return self._hold is None or self._hold.let_go()

    # -- what its requests ask for -----------------------------------------------------------

    @property
    def is_receiving(self) -> bool:
        """True while a request waits for frames."""
        return self._receiver is not None

    def take(self) -> str | None:
        """A frame that is there already; None if there is none."""
        frame = self._session.take()
        if frame is not None:
            self._has_moved = True
            self._wait_anew()
            self._changed()
        return frame

    def attach(self, receiver: SockJsReceiver) -> None:
        """Have a request that waits for frames."""
        self._receiver = receiver
        self._session.has_receiver = True
        if self._session.is_accepted:
            receiver.begin()
        self._wait_anew()
        self._pump()

    def receiver_gone(self, receiver: SockJsReceiver) -> None:
        """Its client has left."""
        if receiver is self._receiver:
            self._detach()
            self._wait_anew()
            self._changed()

    async def pass_on(self, messages: list[str]) -> bool:
        """Take messages of the client as soon as its backend can; False if there is none."""
        self.is_sending = True
        try:
            while not self._takes_input and self._is_heard:
                await self._next_change()
        finally:
            self.is_sending = False
        if not self._is_heard:
            return False
        contents = [message.encode() for message in messages]
        events = [Message(Opcode.TEXT, content) for content in contents]
        self._events_arrived(events, sum(map(len, contents)))
        return True

    @property
    def _is_heard(self) -> bool:
        """True while the backend would take messages, now or later."""
        return not (self._is_finished or self._session.is_closed)

    def _events_arrived(self, events: list[FrameEvent] | list[Message], size: int) -> None:
        if self._websocket is not None and not self._is_finished:
            self._websocket.events_arrived(events, size)

    # -- what goes to the client -------------------------------------------------------------

    def accepted(self) -> None:
        """The backend has accepted."""
        self._session.accepted()
        if self._receiver is not None:
            self._receiver.begin()
            self._wait_anew()
        self._pump()

    def refused(self, head: ResponseHead, body: bytes) -> None:
        """The backend has refused, with this response."""
        receiver = self._receiver
        if receiver is not None:
            self._detach()
            receiver.answer(Response(head.status, head.headers, body, head.reason))

    def write(self, data: bytes) -> None:
        """Have frames of WebSocket told. Pings and pongs of the backend mean nothing here."""
        for opcode, content in sent_frames(data):
            if opcode in (Opcode.TEXT, Opcode.BINARY):
                self._session.message(content)
            elif opcode == Opcode.CLOSE:
                self._close_written(*parse_close(content))
            elif opcode == Opcode.PING:
                self._ping_written(Message(Opcode.PONG, content))
        self._pump()

    def _close_written(self, code: int | None, reason: str) -> None:
        self._session.close(code, reason)
        # There is no close of the client to wait for.
        closed: list[FrameEvent] = [PeerClosed(code, reason)]
        self.context.timers.after(0, partial(self._events_arrived, closed, 0))

    def _ping_written(self, pong: Message) -> None:
        """Answer pings of our own: that the client asks for messages tells that it is there."""
        if self._websocket is not None and self._websocket.is_own_pong(pong):
            self.context.timers.after(0, partial(self._events_arrived, [pong], 0))

    def _pump(self) -> None:
        """Give the receiver what there is."""
        while self._receiver is not None and (frame := self._session.take()) is not None:
            self._deliver(self._receiver, frame)
        self._changed()

    def _deliver(self, receiver: SockJsReceiver, frame: str) -> None:
        if not receiver.deliver(frame):
            self._detach()
        self._wait_anew()

    def _detach(self) -> None:
        self._receiver = None
        self._session.has_receiver = False

    # -- time --------------------------------------------------------------------------------

    def _wait_anew(self) -> None:
        """The client has been told something, or who receives has changed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        patience_seconds = self._session.patience_seconds
        if patience_seconds is not None and not self._session.is_over:
            self._timer = self.context.timers.after(patience_seconds, self._due)

    def _changed(self) -> None:
        """Have those who wait for something look whether it is there."""
        self._count_waiting()
        change, self._change = self._change, None
        if change is not None:
            change.set()

    # -- what waits --------------------------------------------------------------------------

    def _count_waiting(self) -> None:
        """Have what waits counted with that of all other clients."""
        backlogs, waiting = self.context.backlogs, self._session.waiting_bytes
        counted, self._counted_bytes = self._counted_bytes, waiting
        if waiting > counted:
            if not counted:
                backlogs.begin(self)
            backlogs.grown(self, waiting - counted, is_first=not counted)
        elif counted and not waiting:
            backlogs.end(self, counted)

    def has_moved(self) -> bool:
        """True if anything was taken since this was last asked."""
        has_moved, self._has_moved = self._has_moved, False
        return has_moved

    def cut(self, limit: str) -> None:
        """Give the client up, because of a limit."""
        self._overflowed = limit
        self._session.overflow()
        self._count_waiting()
        # Not at once: it may be in the middle of a delivery.
        self.context.timers.after(0, partial(self.close, CloseReason.CLIENT_TOO_SLOW))

    async def _next_change(self) -> None:
        self._change = self._change or trio.Event()
        await self._change.wait()

    def _due(self) -> None:
        frame = self._session.due()
        if self._receiver is not None and frame is not None:
            self._deliver(self._receiver, frame)
        else:
            self.close(CloseReason.CLIENT_GONE)

    # -- as the connection of a WebSocket ----------------------------------------------------

    @property
    def socket(self) -> "SockJsHttpClient":
        """Its write side."""
        return self

    @property
    def backlog_bytes(self) -> int:
        """How much waits for the client to take it."""
        receiver = self._receiver
        return self._session.waiting_bytes + (0 if receiver is None else receiver.backlog_bytes)

    @property
    def bytes_sent(self) -> int | None:
        """Not known: many connections have had a part."""
        return None

    @property
    def request_number(self) -> None:
        """None: it is a WebSocket, which has an id."""
        return

    def counts_as_tls(self, _head: RequestHead) -> bool:
        """True if its first request counted as such."""
        return self._tls

    def hold(self, hold: Hold) -> None:
        """Belong to a hold until it calls `resume` or `finish`, or the client leaves."""
        self._hold = hold
        if (drain := self.context.drain) is not None:
            drain.held(self)

    def take_input(self, _hold: InputHold) -> None:
        """From now on the hold also takes what the client sends."""
        self._takes_input = True
        self._changed()

    def look_for_input(self) -> None:
        """Nothing: it comes by itself."""

    def stop_input(self) -> None:
        """Leave what the client sends to wait, for now."""
        self._takes_input = False

    def take_leftover(self) -> bytes:
        """Nothing comes behind a request."""
        return b""

    async def send(self, data: bytes) -> None:
        """Send, and wait until the client has taken it. Raises trio.BrokenResourceError."""
        if data:
            self.write(data)
        while self.backlog_bytes and not self._is_finished:
            if self._receiver is not None:
                await self._receiver.client_reads()
            else:
                await self._next_change()
        if self._session.is_over:
            raise trio.BrokenResourceError("the client is gone")

    def resume(self, *, keep_alive: bool) -> None:  # noqa: ARG002  each request has its own
        """The client was refused."""
        self._end()

    def finish(self) -> None:
        """The session with the backend has ended. If it was closed, who asks is told so."""
        self._hold = None
        self._finished()
        if self._session.is_closed:
            self._changed()
        else:
            self._end()

    def close(self, reason: CloseReason) -> None:
        """Have no client any more, at once. The hold is told."""
        if self._session.is_over:
            return
        if reason is CloseReason.CLIENT_TOO_SLOW:
            self.context.counters.clients_too_slow += 1
            limit = self._overflowed
            log.warning("client closed", peer=self.peer, reason=reason.label, limit=limit)
        self._session.end()
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.client_gone(reason)
        self._end()

    def _end(self) -> None:
        self._session.end()
        self._finished()
        receiver = self._receiver
        if receiver is not None:
            self._detach()
            receiver.answer(text_response(410, "Session terminated"))
        self._wait_anew()
        self._changed()
        self._on_over()

    def _finished(self) -> None:
        self._is_finished = True
        if (roll := self.context.roll) is not None:
            roll.session_over(self.number)
        presence, self.presence = self.presence, None
        if presence is not None:
            presence.end()
