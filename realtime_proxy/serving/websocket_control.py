"""What a backend sets up for a WebSocket by control messages: channels, keep-alives, delays."""

from typing import TYPE_CHECKING

import attrs
import structlog

from realtime_proxy.channels.group import Subscription
from realtime_proxy.grip.control_message import (
    ControlMessage,
    FlushDelayed,
    KeepAliveOff,
    SendDelayed,
    SetKeepAlive,
    SetMeta,
    Subscribe,
    Unsubscribe,
)
from realtime_proxy.grip.keep_alive import KeepAliveMode
from realtime_proxy.model.item import MessageType
from realtime_proxy.net.timers import Timer
from realtime_proxy.sessions.keep_alive import first_delay, idle_delay
from realtime_proxy.wire.websocket import Opcode, encode_frame

if TYPE_CHECKING:
    from realtime_proxy.serving.websocket_connection import WebSocketConnection

_OPCODES = {
    MessageType.TEXT: Opcode.TEXT,
    MessageType.BINARY: Opcode.BINARY,
    MessageType.PING: Opcode.PING,
    MessageType.PONG: Opcode.PONG,
}

log = structlog.get_logger()


@attrs.define
class _KeepAlive:
    """The keep-alive that the backend asked for, and its timer."""

    order: SetKeepAlive
    frame: bytes
    armed_at: float = 0.0
    timer: Timer | None = None


class WebSocketControl:
    """Follows control messages for one WebSocket, and knows when it was last written to."""

    __slots__ = ("_delayed", "_keep_alive", "_meta", "_subscriptions", "_websocket", "sent_at")

    def __init__(self, websocket: "WebSocketConnection") -> None:
        self._websocket = websocket
        self._subscriptions: list[Subscription] = []
        self._meta: dict[str, str] | None = None
        self._keep_alive: _KeepAlive | None = None
        self._delayed: tuple[Timer, bytes] | None = None
        self.sent_at = 0.0

    def follow(self, message: ControlMessage) -> None:
        """Do what a control message says."""
        prefix = self._websocket.channel_prefix
        match message:
            case Subscribe():
                self.subscribe(prefix + message.channel)
            case Unsubscribe():
                self._unsubscribe(prefix + message.channel)
            case SetMeta():
                self._set_meta(message)
            case SetKeepAlive():
                self._set_keep_alive(message)
            case KeepAliveOff():
                self._stop_keep_alive()
            case SendDelayed():
                self._delay(message)
            case FlushDelayed():
                self._flush_delayed()

    def release(self) -> None:
        """Leave every channel, and forget the timers."""
        self.leave_channels()
        self._stop_keep_alive()
        if self._delayed is not None:
            self._delayed[0].cancel()
            self._delayed = None

    def last_write_at(self) -> float:
        """When something was last sent to the client, items included."""
        personal = self._websocket.personal
        at_latest = self.sent_at if personal is None else max(self.sent_at, personal.last_write_at)
        return max([at_latest, *(place.group.last_write_at for place in self._subscriptions)])

    # -- channels --------------------------------------------------------------------------

    def subscribe(self, channel: str) -> None:
        """Subscribe to a channel by its whole name, unless there are too many already."""
        context = self._websocket.connection.context
        subscriptions = self._subscriptions
        if self._find(channel) is not None or len(subscriptions) >= context.grip.max_channels:
            return
        if len(subscriptions) == 1:
            self._share_first_channel()
        subscriptions.append(
            context.registry.subscribe(channel, self._websocket, shared=bool(subscriptions))
        )
        log.debug("subscribe", channel=channel)

    def _find(self, channel: str) -> Subscription | None:
        """A list, since nearly all have one channel, and no one many."""
        for subscription in self._subscriptions:
            if subscription.group.channel == channel:
                return subscription
        return None

    def _share_first_channel(self) -> None:
        """With a second channel, the order between the two matters from now on."""
        registry = self._websocket.connection.context.registry
        first = self._subscriptions[0]
        self._subscriptions[0] = registry.subscribe(
            first.group.channel, self._websocket, shared=True
        )
        registry.unsubscribe(first)

    def _unsubscribe(self, channel: str) -> None:
        subscription = self._find(channel)
        if subscription is None or channel in self._websocket.implicit_channels:
            return
        self._subscriptions.remove(subscription)
        self._websocket.connection.context.registry.unsubscribe(subscription)

    def leave_channels(self) -> None:
        """Get no more items."""
        registry = self._websocket.connection.context.registry
        for subscription in self._subscriptions:
            registry.unsubscribe(subscription)
        self._subscriptions.clear()

    def _set_meta(self, message: SetMeta) -> None:
        meta = self._meta = self._meta or {}
        if message.value is None:
            meta.pop(message.name, None)
        else:
            meta[message.name] = message.value

    # -- keep-alive ------------------------------------------------------------------------

    def _set_keep_alive(self, message: SetKeepAlive) -> None:
        self._stop_keep_alive()
        frame = encode_frame(_OPCODES[message.type], message.content)
        self._keep_alive = _KeepAlive(message, frame)
        self._arm_keep_alive(self._keep_alive)

    def _arm_keep_alive(self, keep_alive: _KeepAlive) -> None:
        timers = self._websocket.connection.context.timers
        keep_alive.armed_at = timers.now()
        delay = first_delay(keep_alive.order.timeout_seconds)
        keep_alive.timer = timers.after(delay, self._keep_alive_due)

    def _stop_keep_alive(self) -> None:
        if self._keep_alive is not None and self._keep_alive.timer is not None:
            self._keep_alive.timer.cancel()
        self._keep_alive = None

    def _keep_alive_due(self) -> None:
        keep_alive = self._keep_alive
        if keep_alive is None:
            return
        timers = self._websocket.connection.context.timers
        if keep_alive.order.mode is KeepAliveMode.IDLE:
            silent = timers.now() - max(keep_alive.armed_at, self.last_write_at())
            if delay := idle_delay(keep_alive.order.timeout_seconds, silent):
                keep_alive.timer = timers.after(delay, self._keep_alive_due)
                return
        if not self._websocket.writer.backlog_bytes:
            self._websocket.send(keep_alive.frame)
        self._arm_keep_alive(keep_alive)

    # -- delayed messages ------------------------------------------------------------------

    def _delay(self, message: SendDelayed) -> None:
        self._flush_delayed()
        frame = encode_frame(_OPCODES[message.type], message.content)
        timers = self._websocket.connection.context.timers
        self._delayed = (timers.after(message.timeout_seconds, self._flush_delayed), frame)

    def _flush_delayed(self) -> None:
        if self._delayed is not None:
            timer, frame = self._delayed
            self._delayed = None
            timer.cancel()
            self._websocket.send(frame)
