"""A SockJS client that has a WebSocket: its messages are in frames of SockJS, both ways.

To the session with its backend it is the connection of a WebSocket without those. Pings, pongs and
closes are passed on as they are.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from realtime_proxy.metrics.presence import Presence
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.net.timers import Timer
from realtime_proxy.serving.held_client import HeldClient
from realtime_proxy.serving.hold import Hold, InputHold
from realtime_proxy.serving.websocket_connection import WebSocketConnection
from realtime_proxy.serving.websocket_limits import WebSocketLimits
from realtime_proxy.sessions import sockjs_frames
from realtime_proxy.sessions.sockjs_session import HEARTBEAT_SECONDS
from realtime_proxy.wire.websocket_frame import Opcode, encode_frame, sent_frames
from realtime_proxy.wire.websocket_reader import FrameEvent, FrameReader, Message, PeerFailed

if TYPE_CHECKING:
    from realtime_proxy.serving.http_connection import HttpConnection

_UNSUPPORTED_DATA = 1003


class SockJsWebSocketClient:
    """One client with a WebSocket."""

    __slots__ = (
        "_connection",
        "_frames",
        "_heartbeat_timer",
        "_hold",
        "_limits",
        "_sent_at",
        "_websocket",
        "context",
        "peer",
    )

    def __init__(self, connection: "HttpConnection", limits: WebSocketLimits) -> None:
        self._connection = connection
        self._limits = limits
        self.context = connection.context
        self.peer = connection.peer
        self._websocket: WebSocketConnection | None = None
        self._hold: Hold | None = None
        self._frames: FrameReader | None = None
        self._heartbeat_timer: Timer | None = None
        self._sent_at = 0.0

    async def begin(self, websocket: WebSocketConnection) -> None:
        """Ask the backend whether it accepts, and go on with what follows from its answer."""
        self._websocket = websocket
        await websocket.begin()

    @property
    def held_client(self) -> HeldClient | None:
        """The client as handlers know it."""
        return None if self._hold is None else self._hold.held_client

    # -- what the client sends ---------------------------------------------------------------

    def input_arrived(self, data: bytes) -> None:
        """Take frames of the client."""
        if self._websocket is None:
            return
        if self._frames is None:
            self._frames = FrameReader(
                self._limits.max_message_bytes, max_frame_bytes=self._limits.max_frame_bytes
            )
        events = self._frames.feed(data)
        if self._frames.is_idle:
            self._frames = None
        self._websocket.events_arrived(_unpacked(events), len(data))

    def client_gone(self, reason: CloseReason) -> None:
        """The client has left."""
        self._stop_heartbeat()
        if self._hold is not None:
            self._hold.client_gone(reason)

    @property
    def reads_on(self) -> bool:
        """True while there is something to be read."""
        return self._hold is not None and self._hold.reads_on

    def let_go(self) -> bool:
        """End as it should end for a client that is to come back. False if that has to wait."""
        return self._hold is None or self._hold.let_go()

    # -- what goes to the client -------------------------------------------------------------

    def accepted(self, head: bytes) -> None:
        """The backend has accepted: answer the upgrade."""
        self._write(head + _text(sockjs_frames.OPEN))
        self._heartbeat_due()

    def refused(self, response: bytes) -> None:
        """The backend has refused, which this tells."""
        self._connection.socket.write(response)

    def write(self, data: bytes) -> None:
        """Pack the messages of these frames."""
        self._write(b"".join(self._packed(sent_frames(data))))

    def _packed(self, frames: Iterable[tuple[int, bytes]]) -> Iterable[bytes]:
        for opcode, content in frames:
            if opcode in (Opcode.TEXT, Opcode.BINARY):
                literal = sockjs_frames.quoted(content.decode(errors="replace"))
                yield _text(sockjs_frames.messages([literal]))
            else:
                yield encode_frame(opcode, content)

    def _write(self, data: bytes) -> None:
        self._sent_at = self.context.timers.now()
        self._connection.socket.write(data)

    def _heartbeat_due(self) -> None:
        timers = self.context.timers
        silent = timers.now() - self._sent_at
        if silent >= HEARTBEAT_SECONDS:
            silent = 0.0
            self._write(_text(sockjs_frames.HEARTBEAT))
        self._heartbeat_timer = timers.after(HEARTBEAT_SECONDS - silent, self._heartbeat_due)

    def _stop_heartbeat(self) -> None:
        if self._heartbeat_timer is not None:
            self._heartbeat_timer.cancel()

    # -- as the connection of a WebSocket ----------------------------------------------------

    @property
    def presence(self) -> Presence | None:
        """The client, for statistics, as long as it is there and anybody asks."""
        return self._connection.presence

    @property
    def socket(self) -> "SockJsWebSocketClient":
        """Its write side."""
        return self

    @property
    def backlog_bytes(self) -> int:
        """How much waits for the client to take it."""
        return self._connection.socket.backlog_bytes

    @property
    def number(self) -> int:
        """The descriptor; -1 once it is closed."""
        return self._connection.socket.number

    @property
    def bytes_sent(self) -> int | None:
        """How much the client has acknowledged; None if that is not known."""
        return self._connection.socket.bytes_sent

    @property
    def request_number(self) -> None:
        """None: it is a WebSocket, which has an id."""
        return

    def counts_as_tls(self, head: RequestHead) -> bool:
        """True if a request came over TLS, here or (if that is believed) at a proxy before us."""
        return self._connection.counts_as_tls(head)

    def hold(self, hold: Hold) -> None:
        """Belong to a hold until it calls `resume` or `finish`, or the client leaves."""
        self._hold = hold
        self._connection.hold(self)

    def take_input(self, _hold: InputHold) -> None:
        """From now on the hold also takes what the client sends."""
        self._connection.take_input(self)

    def look_for_input(self) -> None:
        """Take now what the client has sent, if its hold takes that."""
        self._connection.look_for_input()

    def stop_input(self) -> None:
        """Leave what the client sends where it is, for now."""
        self._connection.stop_input()

    def take_leftover(self) -> bytes:
        """Nothing: what the client has sent behind its request is unpacked first."""
        if leftover := self._connection.take_leftover():
            self.input_arrived(leftover)
        return b""

    def resume(self, *, keep_alive: bool) -> None:
        """The client was refused."""
        self._connection.resume(keep_alive=keep_alive)

    def finish(self) -> None:
        """A hold has sent all it had to, and the connection is to end."""
        self._stop_heartbeat()
        self._connection.finish()

    def close(self, reason: CloseReason) -> None:
        """Close at once. Whoever holds the connection is told."""
        self._connection.close(reason)

    async def send(self, data: bytes) -> None:
        """Send, and wait until the client has taken it. Raises trio.BrokenResourceError."""
        if data:
            self.write(data)
        await self._connection.send(b"")


def _text(frame: str) -> bytes:
    return encode_frame(Opcode.TEXT, frame.encode())


def _unpacked(events: Iterable[FrameEvent]) -> Iterable[FrameEvent]:
    """The messages that a client means, up to what makes no sense."""
    for event in events:
        if not isinstance(event, Message) or event.opcode not in (Opcode.TEXT, Opcode.BINARY):
            yield event
            continue
        try:
            texts = sockjs_frames.decode_websocket_payload(event.content)
        except ValueError:
            yield PeerFailed(_UNSUPPORTED_DATA, "a list of strings in JSON is expected")
            return
        for text in texts:
            yield Message(Opcode.TEXT, text.encode())
