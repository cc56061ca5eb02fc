"""A WebSocket whose silence is attended to: pinged, found lost, or idle for too long."""

import os

from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.net.timers import Timer
from realtime_proxy.serving.websocket_hold import WebSocketHold
from realtime_proxy.serving.websocket_opening import WebSocketOpening
from realtime_proxy.sessions.silence import JUST_HEARD, Finding, Silence
from realtime_proxy.wire.websocket_frame import INTERNAL_ERROR, Opcode, encode_frame
from realtime_proxy.wire.websocket_reader import Message

# What pings of our own carry, so that their pongs are told from others, which are the backend's.
# Random, since the client may be a proxy like this one.
_TOKEN = b"rp" + os.urandom(8)
_PING = encode_frame(Opcode.PING, _TOKEN)


class AttendedWebSocket(WebSocketHold):
    """Looks after the client by one timer: that of the handshake, then that of silence."""

    __slots__ = ("_heard_at", "_pinged_at", "_timer")

    def __init__(self, opening: WebSocketOpening) -> None:
        super().__init__(opening)
        self._timer: Timer | None = None
        self._heard_at = 0.0
        self._pinged_at: float | None = None  # while its pong is awaited

    # -- the handshake ---------------------------------------------------------------------

    def _limit_handshake(self) -> None:
        """Have the request refused if it is not answered in time."""
        if seconds := self._route.websocket.handshake_seconds:
            timers = self.connection.context.timers
            self._timer = timers.after(seconds, self._handshake_overdue)

    def _handshake_overdue(self) -> None:
        raise NotImplementedError

    # -- silence ---------------------------------------------------------------------------

    @property
    def _takes_input(self) -> bool:
        """False while so much waits for the backend that the client should not be read."""
        raise NotImplementedError

    def _attend(self) -> None:
        """From now on, when it has just been accepted, attend to the client's silence."""
        self._stop_attending()
        context = self.connection.context
        # One object for both, which each keeps for as long as nothing passes.
        self._heard_at = self._control.sent_at = context.timers.now()
        rules, max_idle_seconds = self._route.websocket.silence, context.server.hold_timeout_seconds
        if wait := rules.judge(JUST_HEARD, max_idle_seconds)[1]:
            self._timer = context.timers.after(wait, self._look)

    def _stop_attending(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _heard(self) -> None:
        """Note that something came from the client."""
        self._heard_at = self.connection.context.timers.now()
        self._pinged_at = None

    @staticmethod
    def is_own_pong(message: Message) -> bool:
        """True for the answer to a ping of our own, which is nobody else's business."""
        return message.opcode is Opcode.PONG and message.content == _TOKEN

    def _look(self) -> None:
        """Find out whether the client has been quiet for too long, and when to look again."""
        if self._pinged_at is not None and self._takes_input:
            self.connection.look_for_input()  # what came while this process was kept from reading
        if self._is_released:
            return
        context, socket = self.connection.context, self.connection.socket
        now = context.timers.now()
        silence = Silence(
            unheard_seconds=now - self._heard_at,
            idle_seconds=now - max(self._heard_at, self._control.last_write_at()),
            unanswered_seconds=self._unanswered_seconds(now),
            is_stalled=bool(socket.backlog_bytes) or not self._takes_input,
        )
        rules, max_idle_seconds = self._route.websocket.silence, context.server.hold_timeout_seconds
        finding, wait = rules.judge(silence, max_idle_seconds)
        match finding:
            case Finding.IDLE:
                self.connection.close(CloseReason.IDLE)
            case Finding.LOST:
                self._route.log.info("websocket does not answer pings", peer=self.connection.peer)
                self._give_up(INTERNAL_ERROR, "ping timeout", CloseReason.PING_TIMEOUT)
            case Finding.PING if self._may_ping:
                self._pinged_at = now
                self.writer.write(_PING)
            case Finding.STALLED if self._pinged_at is not None:
                self._pinged_at = now  # its time begins when it can be heard again
        if wait and not self._is_released:
            self._timer = context.timers.after(wait, self._look)

    def _unanswered_seconds(self, now: float) -> float | None:
        return now - self._pinged_at if self._pinged_at is not None and self._may_ping else None

    @property
    def _may_ping(self) -> bool:
        """False once either side has sent its close: it sends nothing more (RFC 6455 5.5.1)."""
        raise NotImplementedError

    def _give_up(self, code: int, why: str, reason: CloseReason) -> None:
        """End the connection for a fault of the client's, which is told by a close frame."""
        raise NotImplementedError
