"""What a backend sets up for a WebSocket by control messages: channels, keep-alives, delays."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from realtime_proxy.channels.group import Subscription
from realtime_proxy.errors import GripError
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
from realtime_proxy.grip.filters import NO_FILTERS, FilterChain
from realtime_proxy.grip.hold import MAX_FILTERS
from realtime_proxy.grip.keep_alive import KeepAliveMode
from realtime_proxy.net.timers import Timer
from realtime_proxy.sessions.keep_alive import first_delay, idle_delay
from realtime_proxy.wire.encodings import OPCODES

if TYPE_CHECKING:
    from realtime_proxy.serving.websocket_hold import WebSocketHold


@attrs.define
class _KeepAlive:
    """The keep-alive that the backend asked for, and its timer."""

    order: SetKeepAlive
    frame: bytes
    armed_at: float = 0.0
    timer: Timer | None = None


class WebSocketControl:
    """Follows control messages for one WebSocket, and knows when it was last written to."""

    __slots__ = (
        "_delayed",
        "_keep_alive",
        "_meta",
        "_subscriptions",
        "_websocket",
        "sent_at",
    )

    def __init__(self, websocket: "WebSocketHold") -> None:
        self._websocket = websocket
        self._subscriptions: tuple[Subscription, ...] = ()
        self._meta: dict[str, str] | None = None
        self._keep_alive: _KeepAlive | None = None
        self._delayed: tuple[Timer, bytes] | None = None
        self.sent_at = 0.0

    def follow(self, message: ControlMessage) -> None:
        """Do what a control message says."""
        match message:
            case Subscribe():
                self._follow_subscribe(message)
            case Unsubscribe():
                for channel in self._channels_called(message.channel):
                    self._unsubscribe(channel)
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
        """Send nothing any more: leave every channel, and forget the timers."""
        registry = self._websocket.connection.context.registry
        for subscription in self._subscriptions:
            registry.unsubscribe(subscription)
        self._subscriptions = ()
        if self._websocket.personal is not None:
            self._websocket.personal.close()
        if self._keep_alive is not None:
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

    @property
    def places(self) -> tuple[Subscription, ...]:
        """The places in channels that are subscribed to."""
        return self._subscriptions

    def subscribe(self, channel: str) -> bool:
        """Subscribe to a channel by its whole name; False if there are too many already."""
        context = self._websocket.connection.context
        count = len(self._subscriptions)
        if (place := self._find(channel)) is not None:
            if place.group.scope != self._websocket.scope_on(channel):
                self._join_anew()  # only now its name says whom its items are for
            return True
        if count >= context.grip.max_channels:
            return False
        if count == 1:
            self._join_anew()
        self._subscriptions += (
            context.registry.subscribe(channel, self._websocket, shared=count > 0),
        )
        self._websocket.log_subscription(channel)
        return True

    def _channels_called(self, name: str) -> tuple[str, ...]:
        try:
            return self._websocket.channels_called(name)
        except GripError as error:
            self._websocket.fail(str(error))
            return ()

    def _follow_subscribe(self, message: Subscribe) -> None:
        if len(message.filters) > MAX_FILTERS:
            self._websocket.fail(f"too many filters for channel '{message.channel}'")
            return
        for channel in self._channels_called(message.channel):
            if self.subscribe(channel):
                self._set_filters(channel, FilterChain(message.filters))

    def _set_filters(self, channel: str, chain: FilterChain) -> None:
        """Have a channel filtered so from now on; without any filter, as most are."""
        personal = self._websocket.personal
        others = {} if personal is None else dict(personal.chains)
        if others.pop(channel, None) is None and not chain:
            return
        self._websocket.filter_by({**others, channel: chain} if chain else others, self.meta)
        if personal is None:
            self._join_anew()

    @property
    def meta(self) -> Mapping[str, str]:
        """What was set for filters."""
        return self._meta or {}

    def _find(self, channel: str) -> Subscription | None:
        """Looked through, since nearly all have one channel, and no one many."""
        for subscription in self._subscriptions:
            if subscription.group.channel == channel:
                return subscription
        return None

    def _join_anew(self) -> None:
        """Change groups: with a second channel, the order matters; with filters, who it is."""
        registry = self._websocket.connection.context.registry
        old = self._subscriptions
        self._subscriptions = tuple(
            registry.subscribe(place.group.channel, self._websocket, shared=True) for place in old
        )
        for place in old:
            self._websocket.sent(place.messages)
            registry.unsubscribe(place)

    def _unsubscribe(self, channel: str) -> None:
        subscription = self._find(channel)
        if subscription is None or channel in self._websocket.implicit_channels:
            return
        self._subscriptions = tuple(p for p in self._subscriptions if p is not subscription)
        self._set_filters(channel, NO_FILTERS)
        self._websocket.sent(subscription.messages)
        self._websocket.connection.context.registry.unsubscribe(subscription)

    def _set_meta(self, message: SetMeta) -> None:
        meta = dict(self.meta)  # items that wait go by what it was
        if message.value is None:
            meta.pop(message.name, None)
        else:
            meta[message.name] = message.value
        self._meta = meta or None
        personal = self._websocket.personal
        if personal is not None and personal.chains:
            self._websocket.filter_by(personal.chains, meta)

    # -- keep-alive ------------------------------------------------------------------------

    def _set_keep_alive(self, message: SetKeepAlive) -> None:
        self._stop_keep_alive()
        frame = self._websocket.form.frame(OPCODES[message.type], message.content)
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
        if not self._websocket.connection.socket.backlog_bytes:
            self._websocket.send(keep_alive.frame)
            self._websocket.count_activity()
        self._arm_keep_alive(keep_alive)

    # -- delayed messages ------------------------------------------------------------------

    def _delay(self, message: SendDelayed) -> None:
        self._flush_delayed()
        frame = self._websocket.form.frame(OPCODES[message.type], message.content)
        timers = self._websocket.connection.context.timers
        self._delayed = (timers.after(message.timeout_seconds, self._flush_delayed), frame)

    def _flush_delayed(self) -> None:
        if self._delayed is not None:
            timer, frame = self._delayed
            self._delayed = None
            timer.cancel()
            self._websocket.send(frame)
