"""What the client of a WebSocket sends: frames, read as far as its backend keeps up."""

from collections.abc import Iterable

import structlog
import trio

from realtime_proxy.metrics.traffic import Traffic
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.pipeline.decision import CloseWith, Drop, Renew
from realtime_proxy.pipeline.exchange import Identity
from realtime_proxy.pipeline.handler import WebSocketEvent
from realtime_proxy.serving.attended_websocket import AttendedWebSocket
from realtime_proxy.serving.websocket_opening import WebSocketOpening
from realtime_proxy.sessions.effects import Effect
from realtime_proxy.wire.websocket_frame import Opcode
from realtime_proxy.wire.websocket_reader import (
    FrameEvent,
    FrameReader,
    Message,
    PeerClosed,
    PeerFailed,
)

log = structlog.get_logger()


class WebSocketInput(AttendedWebSocket):
    """Gives its session what the client says, message by message."""

    __slots__ = ("_frames", "_is_read")

    def __init__(self, opening: WebSocketOpening) -> None:
        super().__init__(opening)
        self._frames: FrameReader | None = None
        self._is_read = False  # what the client sends, as it comes

    def _perform(self, effects: Iterable[Effect]) -> None:
        """Do what the session asks for, in its order."""
        raise NotImplementedError

    def client_gone(self, reason: CloseReason) -> None:
        """The client's connection has ended."""
        raise NotImplementedError

    def let_go(self) -> bool:
        """Have both sides close; not before the backend has said whether it accepts."""
        raise NotImplementedError

    def input_arrived(self, data: bytes) -> None:
        """Take frames of the client."""
        if self._frames is None:
            limits = self._route.websocket
            self._frames = FrameReader(
                limits.max_message_bytes,
                max_frame_bytes=limits.max_frame_bytes,
                inflates=self.form.is_deflated,
            )
        self._heard_in(len(data))
        self._follow_client(self._frames, data)
        self._pause_unless_ready()

    def events_arrived(self, events: Iterable[FrameEvent], size: int) -> None:
        """Take what the client has sent in so many bytes, message by message."""
        self._heard_in(size)
        self._follow_events(events)
        self._pause_unless_ready()

    def _heard_in(self, size: int) -> None:
        self._heard()
        if (record := self._record) is not None:
            record.bytes_in += size

    def _pause_unless_ready(self) -> None:
        if not self._takes_input or self._has_more:
            self._is_read = False
            self.connection.stop_input()
            self._read_on()

    def _follow_client(self, frames: FrameReader, data: bytes) -> None:
        self._follow_events(frames.feed(data))
        if frames.is_idle:
            self._frames = None

    def _follow_events(self, events: Iterable[FrameEvent]) -> None:
        for event in events:
            match event:
                case Message():
                    if not self.is_own_pong(event):
                        self._message_arrived(event)
                case PeerClosed():
                    self._note_close(event.code)
                    self._perform(self._session.client_closed(event.code, event.reason))
                case PeerFailed():
                    self._client_failed(event)

    async def _take_rest(self, _scope: trio.CancelScope) -> None:
        """Take what there is more of deflated messages, with others between."""
        try:
            while (frames := self._frames) is not None and frames.has_more and self._can_read:
                self._follow_client(frames, b"")
                if self._has_more:  # else nothing may come between this and reading on
                    await trio.lowlevel.checkpoint()
            self._read_on()
        except Exception:
            log.exception("websocket session failed", peer=self.connection.peer)
            self.connection.close(CloseReason.INTERNAL_ERROR)

    @property
    def _has_more(self) -> bool:
        """True while there are messages in what was read that have still to be made."""
        return self._frames is not None and self._frames.has_more

    @property
    def reads_on(self) -> bool:
        """True while its backend is so slow that the client is not read, or not to the end."""
        return self._session.is_accepted and (not self._takes_input or self._has_more)

    def _message_arrived(self, message: Message) -> None:
        chain, exchange = self._route.chain, self._exchange
        content = message.content
        if (record := self._record) is not None:
            record.messages_in += 1
        if (counts := self._counts_of_message()) is not None:
            counts.client_messages_received += 1
            counts.client_content_bytes_received += len(content)
            counts.server_messages_sent += 1
        if chain is not None and exchange is not None and chain.has_websocket_event:
            event = WebSocketEvent(message.opcode.name, content)
            outcome = chain.websocket_event(exchange, event)
            if isinstance(outcome, Drop):
                return
            if isinstance(outcome, Renew):
                self.connection.context.renewals.begin(self, outcome)
                return
            if isinstance(outcome, CloseWith):
                self._perform(self._session.close(outcome.code, outcome.reason))
                return
            content = outcome.content
        self._perform(self._session.message_arrived(message.opcode, content))

    def _client_failed(self, failure: PeerFailed) -> None:
        self._route.log.info(
            "websocket broke the protocol", peer=self.connection.peer, why=failure.reason
        )
        self._give_up(failure.code, failure.reason, CloseReason.CLIENT_MISBEHAVED)

    def _counts_of_message(self) -> Traffic | None:
        """The counts of its route, as a message comes or goes; None if nobody asks."""
        if (presence := self.connection.presence) is None:
            return self._counts()
        presence.has_traffic = True
        return presence.route.counts()

    def _note_close(self, code: int | None) -> None:
        if (record := self._record) is not None and record.close_code is None:
            record.close_code = code

    @property
    def _can_read(self) -> bool:
        return not self._is_released and self._session.is_accepted and self._takes_input

    def _read_on(self) -> None:
        """Take what the client sends, unless too much of it waits for the backend."""
        if self._is_read or not self._can_read:
            return
        if self._has_more:
            self.connection.context.crew.start(self._take_rest)
            return
        self._is_read = True
        self.connection.take_input(self)
        leftover = self.connection.take_leftover()
        if leftover:  # sent behind the upgrade request
            self.input_arrived(leftover)

    def _say(self, text: str) -> None:
        self.send(self.form.frame(Opcode.TEXT, text.encode()))

    def renewed(self, renew: Renew, identity: Identity) -> None:
        """Tell the client that its new credential counts."""
        if (text := renew.accepted(identity)) and self._session.is_open:
            self._say(text)
