"""The client's side of a WebSocket: performs what its session asks for.

The watcher calls for input, channels for items, timers for keep-alives; none of these waits.
"""

import contextlib
import time
from collections.abc import Iterable

import structlog
import trio

from realtime_proxy.errors import BackendTimeout, GripError
from realtime_proxy.grip.control_message import Subscribe
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead
from realtime_proxy.net.timers import Timer
from realtime_proxy.pipeline.decision import Refuse
from realtime_proxy.serving.websocket_input import WebSocketInput
from realtime_proxy.serving.websocket_opening import WebSocketOpening
from realtime_proxy.sessions.access_loss import AccessLoss
from realtime_proxy.sessions.effects import (
    AcceptClient,
    CallBackend,
    CloseBackend,
    Control,
    Effect,
    EndBackend,
    EndClient,
    RejectClient,
    SendClose,
    SendMessage,
    SendToBackend,
)
from realtime_proxy.sessions.expiry_notice import ExpiryNotice
from realtime_proxy.sessions.upgrade_answer import own_refusal
from realtime_proxy.wire.websocket_frame import SERVICE_RESTART, encode_close

CLOSE_SECONDS = 10.0
_TO_CLIENT = (SendMessage, SendClose, Control)
_TO_BACKEND = (CallBackend, SendToBackend, CloseBackend, EndBackend)
log = structlog.get_logger()


class WebSocketConnection(WebSocketInput):
    """One WebSocket; subclasses have its session and its backend."""

    __slots__ = ("_close_timer", "_opening")

    def __init__(self, opening: WebSocketOpening) -> None:
        super().__init__(opening)
        self._opening: WebSocketOpening | None = opening
        self._close_timer: Timer | None = None

    def _take_connection(self) -> None:
        """Have the client's connection, and be found by the id."""
        self.connection.hold(self)
        self.connection.context.connections.websockets[self._backend.id] = self
        self._limit_handshake()

    def _handshake_overdue(self) -> None:
        refusal = self._backend.refusal(BackendTimeout("backend has not accepted in time"))
        self._perform([own_refusal(refusal.head(), refusal.body), *self._session.client_gone()])

    async def begin(self) -> None:
        """Ask the backend whether it accepts, and go on with what follows from its answer."""
        raise NotImplementedError

    # -- the client ------------------------------------------------------------------------

    def _give_up(self, code: int, why: str, reason: CloseReason) -> None:
        self.send(encode_close(code, why))
        effects = self._session.client_gone()
        self._end(reason)
        self._perform(effects)

    @property
    def _may_ping(self) -> bool:
        return self._close_timer is None and not self._session.has_client_closed

    def tell_expiry(self, notice: ExpiryNotice, expires_at: float, now: float) -> None:
        """Send the notice as a message."""
        if self._session.is_open:
            self._say(notice.text(expires_at, now, self.connection_id))

    def lose_access(self, loss: AccessLoss) -> None:
        """Close both sides, with a code that says why."""
        self._perform(self._session.close(loss.close_code, loss.text))

    def client_gone(self, reason: CloseReason) -> None:
        """The client's connection has ended."""
        self._release(reason)
        self._perform(self._session.client_gone())

    def let_go(self) -> bool:
        """Have both sides close; not before the backend has said whether it accepts."""
        if not self._session.is_accepted:
            return False
        self._perform(self._session.close(SERVICE_RESTART, "", CloseReason.SHUTDOWN))
        return True

    def dismiss(self, dismissal: Dismissal) -> None:
        """Have both sides close; what the backend has not accepted yet is cut."""
        if self._session.is_accepted:
            loss = AccessLoss(dismissal.reason, dismissal.code, dismissal.text)
            self.connection.context.lifetimes.lose(self, loss)
        else:
            self.connection.close(dismissal.reason)

    # -- effects ---------------------------------------------------------------------------

    def _perform(self, effects: Iterable[Effect]) -> None:
        """Do what the session asks for, in its order."""
        for effect in effects:
            if self._is_released and not isinstance(effect, _TO_BACKEND):
                continue  # the client is lost, maybe by the effect before: only its backend cares
            if self._close_timer is not None and isinstance(effect, _TO_CLIENT):
                continue  # nothing comes after a close frame (RFC 6455 5.5.1)
            match effect:
                case SendMessage():
                    if (record := self._record) is not None:
                        record.messages_out += 1
                    self.sent()
                    self._send_message(effect)
                case Control():
                    self._control.follow(effect.message)
                case AcceptClient():
                    self._accept(effect.headers)
                case RejectClient():
                    if not effect.is_ours:
                        forwarding = self.connection.context.forwarding
                        effect.head.headers = forwarding.marked_response(effect.head.headers)
                    self._reject(effect.head, effect.body)
                case SendClose():
                    self._send_close(effect)
                case EndClient():
                    self._end(effect.reason)
                case _:
                    self._serve_backend(effect)

    def _serve_backend(self, effect: Effect) -> None:
        """Do what the session asks for towards its backend."""
        raise NotImplementedError

    def _send_message(self, message: SendMessage) -> None:
        if (counts := self._counts_of_message()) is not None:
            counts.server_messages_received += 1
            counts.client_messages_sent += 1
            counts.client_content_bytes_sent += len(message.content)
        self.send(self.form.frame(message.opcode, message.content))

    def _accept(self, headers: Headers) -> None:
        head = ResponseHead(101, b"Switching Protocols", headers)
        if (refusal := self._shown_to_handlers(head)) is not None:
            self._reject(refusal.response.head(), refusal.response.body)
            self._perform(self._session.client_gone())
            return
        opening, self._opening = self._opening, None
        if opening is None:
            return
        headers = self.connection.context.forwarding.marked_response(head.headers)
        head.headers = headers
        opening.accept(self.writer.write, headers)
        opening.log_answer(self._backend.target.label, 101)
        if (presence := self.connection.presence) is not None:
            presence.hold("websocket")
            presence.route.counts().client_header_bytes_sent += head.content_bytes()
        for channel in self.implicit_channels:
            self._control.subscribe(channel)
        if (record := self._record) is not None:
            record.opened_at, record.holds = time.time(), 1
            record.status, record.response_headers = 101, Headers(headers)
            record.backend, record.backend_status = self._backend.target.label, 101
            record.backend_seconds = record.opened_at - record.started_at
        context = self.connection.context
        context.lifetimes.begin(self)
        if max_seconds := self._route.max_age_seconds:
            context.ages.begin(self, max_seconds)
        self._attend()

    def _shown_to_handlers(self, head: ResponseHead) -> Refuse | None:
        """Let handlers change the backend's answer; with a Refuse it must not reach the client."""
        chain, exchange = self._route.chain, self._exchange
        return None if chain is None or exchange is None else chain.response_head(exchange, head)

    def _note_channels(self) -> None:
        if (record := self._record) is not None and not self._is_released:
            record.channels = tuple(self.channels)

    def _tell_opened(self) -> None:
        """Tell handlers that the client was accepted, with its first channels."""
        chain, exchange = self._route.chain, self._exchange
        if chain is not None and exchange is not None and not self._is_released:
            exchange.held = "websocket"
            chain.opened(exchange)

    def _reject(self, head: ResponseHead, body: bytes) -> None:
        opening, self._opening = self._opening, None
        if opening is None:
            return
        shown, body_bytes = opening.refuse(self.writer.write, head, body)
        if (record := self._record) is not None:
            record.status, record.response_headers = head.status, shown.headers
        opening.log_answer(self._backend.target.label, head.status, body_bytes)
        if (counts := self._counts()) is not None:
            counts.client_header_bytes_sent += shown.content_bytes()
            counts.client_content_bytes_sent += len(body)
        self._release(CloseReason.REFUSED)
        self.connection.resume(keep_alive=opening.request.keep_alive)

    def _send_close(self, close: SendClose) -> None:
        self._note_close(close.code)
        self.send(encode_close(close.code, close.reason))
        self._control.release()
        if self._close_timer is None:
            timers = self.connection.context.timers
            self._close_timer = timers.after(CLOSE_SECONDS, self._close_unanswered)

    def _close_unanswered(self) -> None:
        effects = self._session.client_gone()
        self._end(CloseReason.CLIENT_GONE)
        self._perform(effects)

    def _end(self, reason: CloseReason) -> None:
        """Nothing more reaches the client."""
        if self._release(reason):
            self.connection.finish()

    def _release(self, reason: CloseReason) -> bool:
        """Leave channels and timers, once; False if that was done before."""
        if self._is_released:
            return False
        self._is_released = True
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.log_answer(self._backend.target.label, None)
        del self.connection.context.connections.websockets[self._backend.id]
        self._control.release()
        self._stop_timers()
        self._tell_closed(reason)
        return True

    def _stop_timers(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._close_timer is not None:
            self._close_timer.cancel()

    # -- channels --------------------------------------------------------------------------

    async def _follow(self, effects: list[Effect]) -> None:
        """Do what the session asks for; if that subscribes, when it can be done."""
        channels = self._wanted_channels(effects)
        if channels:
            await self._subscribe_and_perform(channels, effects)
        else:
            self._perform(effects)

    async def _subscribe_and_perform(self, channels: list[str], effects: list[Effect]) -> None:
        """Do what the session asks for while nothing is on its way round.

        Who changes from one group to another within a round could miss an item of it.
        """
        context = self.connection.context
        async with context.holding(channels):
            await context.intake.result_at_rest(lambda: self._perform(effects))

    def _wanted_channels(self, effects: list[Effect]) -> list[str]:
        """The channels that these effects subscribe to."""
        channels: list[str] = []
        for effect in effects:
            if isinstance(effect, AcceptClient):
                channels += self.implicit_channels
            elif isinstance(effect, Control) and isinstance(effect.message, Subscribe):
                with contextlib.suppress(GripError):  # told when the message is followed
                    channels += self.channels_called(effect.message.channel)
        return channels

    async def _client_reads(self) -> None:
        """Wait until the client owes less reading."""
        with contextlib.suppress(trio.BrokenResourceError):  # its end is reported elsewhere
            await self.connection.send(b"")
