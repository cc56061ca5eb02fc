"""A WebSocket client whose backend speaks HTTP: performs what its session asks for.

The watcher calls for input, channels for items, timers for keep-alives; none of these waits. A
task runs only while a request to the backend is under way.
"""

import contextlib
import random
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs
import structlog
import trio

from realtime_proxy.backend.response import BackendResponse
from realtime_proxy.channels.group import Subscription
from realtime_proxy.errors import (
    BackendError,
    BackendMisbehaved,
    BackendUnreachable,
    ProtocolError,
)
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
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import Action, Item, MessageType
from realtime_proxy.model.messages import RequestHead, ResponseHead
from realtime_proxy.net.timers import Timer
from realtime_proxy.pipeline.decision import CloseWith, Drop
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.pipeline.handler import WebSocketEvent
from realtime_proxy.serving.client_exchange import answer_for
from realtime_proxy.serving.live_route import LiveRoute, LiveTarget
from realtime_proxy.serving.upstream import BackendRequest, Upstream
from realtime_proxy.sessions.effects import (
    AcceptClient,
    CallBackend,
    Control,
    Effect,
    EndClient,
    PollAfter,
    RejectClient,
    SendClose,
    SendMessage,
)
from realtime_proxy.sessions.keep_alive import first_delay, idle_delay
from realtime_proxy.sessions.websocket_over_http import CONTENT_TYPE, WebSocketOverHttp
from realtime_proxy.wire.encodings import WireForm
from realtime_proxy.wire.http1_client import encode_request_head
from realtime_proxy.wire.http1_rules import parse_request_block
from realtime_proxy.wire.http1_server import (
    BodyForm,
    IncomingRequest,
    encode_response_head,
    response_form,
)
from realtime_proxy.wire.websocket import (
    NORMAL_CLOSURE,
    FrameReader,
    Message,
    Opcode,
    PeerClosed,
    PeerFailed,
    encode_close,
    encode_frame,
)

if TYPE_CHECKING:
    from realtime_proxy.serving.http_connection import HttpConnection

# The largest body of a backend's answer (websocket-over-http.md W-2.20).
MAX_ANSWER_BYTES = 1_000_000
# While a client owes so much reading, its backend is not asked for more (W-2.18).
MAX_UNREAD_BYTES = 200_000
CLOSE_SECONDS = 10.0
# A backend that can't be reached has got nothing, so it is asked again, while it restarts for
# example; after these pauses the client is given up (websocket-over-http.md W-5.3).
RETRY_SECONDS = (1, 2, 4, 8, 16)
OPCODES = {
    MessageType.TEXT: Opcode.TEXT,
    MessageType.BINARY: Opcode.BINARY,
    MessageType.PING: Opcode.PING,
    MessageType.PONG: Opcode.PONG,
}

log = structlog.get_logger()


@attrs.frozen
class WebSocketOrder:
    """Everything a session is made of."""

    connection: "HttpConnection"
    request: IncomingRequest
    route: LiveRoute
    targets: tuple[LiveTarget, ...]  # those of the route that take events over HTTP
    head: RequestHead  # as handlers left it, to be repeated with every event
    accept_token: bytes
    trusted: bool
    exchange: Exchange | None


@attrs.define
class _KeepAlive:
    """The keep-alive that the backend asked for, and its timer."""

    order: SetKeepAlive
    frame: bytes
    armed_at: float
    timer: Timer | None = None


class WebSocketConnection:
    """One WebSocket: the client's side, its subscriptions, and its requests to the backend."""

    __slots__ = (
        "_close_timer",
        "_delayed",
        "_exchange",
        "_frames",
        "_heard_at",
        "_id",
        "_idle_timer",
        "_is_released",
        "_keep_alive",
        "_meta",
        "_next_call",
        "_opening",
        "_packed_head",
        "_poll_timer",
        "_route",
        "_sent_at",
        "_session",
        "_subscriptions",
        "_targets",
        "_trusted",
        "_working",
        "connection",
        "form",
        "personal",
        "writer",
    )

    def __init__(self, order: WebSocketOrder) -> None:
        self.connection = order.connection
        self.writer = order.connection.socket
        self.form = WireForm.FRAME
        chain = order.route.chain
        self.personal = chain is not None and chain.has_delivery
        self._route = order.route
        self._exchange = order.exchange
        self._trusted = order.trusted
        self._opening: WebSocketOrder | None = order
        self._targets = order.targets
        self._packed_head = encode_request_head(order.head)
        self._id = str(uuid.uuid4()).encode()
        relays = order.trusted or not order.route.grip
        self._session = WebSocketOverHttp(one_event=order.targets[0].one_event, trusted=relays)
        self._frames: FrameReader | None = None
        self._subscriptions: dict[str, Subscription] = {}
        self._meta: dict[str, str] | None = None
        self._keep_alive: _KeepAlive | None = None
        self._delayed: tuple[Timer, bytes] | None = None
        self._poll_timer: Timer | None = None
        self._close_timer: Timer | None = None
        self._idle_timer: Timer | None = None
        self._heard_at = 0.0
        self._sent_at = 0.0
        self._next_call: bytes | None = None
        self._working = True
        self._is_released = False

    async def begin(self) -> None:
        """Ask the backend whether it accepts, and go on with what follows from its answer."""
        self.connection.hold(self)
        self._perform(self._session.start())
        await self._work()

    # -- the client ------------------------------------------------------------------------

    def input_arrived(self) -> None:
        """Called by the watcher: frames of the client, or its end."""
        data = self.writer.receive()
        if data is None:
            return
        if not data:
            self.connection.close(CloseReason.CLIENT_GONE)
            return
        self._take(data)

    def _take(self, data: bytes) -> None:
        self._heard_at = self.connection.context.timers.now()
        if self._frames is None:
            self._frames = FrameReader(self.connection.context.server.max_message_bytes)
        for event in self._frames.feed(data):
            match event:
                case Message():
                    self._message_arrived(event)
                case PeerClosed():
                    self._perform(self._session.client_closed(event.code, event.reason))
                case PeerFailed():
                    self._client_failed(event)
        if self._frames.is_idle:
            self._frames = None
        if not self._session.takes_input:
            self.connection.stop_input()

    def _message_arrived(self, message: Message) -> None:
        chain, exchange = self._route.chain, self._exchange
        content = message.content
        if chain is not None and exchange is not None and chain.has_websocket_event:
            event = WebSocketEvent(message.opcode.name, content)
            outcome = chain.websocket_event(exchange, event)
            if isinstance(outcome, Drop):
                return
            if isinstance(outcome, CloseWith):
                self._perform(self._session.close(outcome.code, outcome.reason))
                return
            content = outcome.content
        self._perform(self._session.message_arrived(message.opcode, content))

    def _client_failed(self, failure: PeerFailed) -> None:
        log.info("websocket broke the protocol", peer=self.connection.peer, why=failure.reason)
        self.writer.write(encode_close(failure.code, failure.reason))
        effects = self._session.client_gone()
        self._end(CloseReason.CLIENT_MISBEHAVED)
        self._perform(effects)

    def client_gone(self, reason: CloseReason) -> None:
        """The client's connection has ended."""
        self._release(reason)
        self._perform(self._session.client_gone())

    # -- items -----------------------------------------------------------------------------

    def accepts(self, item: Item) -> bool:
        """Whether the route's handlers let this connection have an item."""
        chain, exchange = self._route.chain, self._exchange
        return chain is None or exchange is None or chain.delivery(exchange, item)

    def item_arrived(self, item: Item) -> None:
        """Act on an item that is not just a message: only a close means something here."""
        payload = item.ws_message
        if payload is not None and payload.action is Action.CLOSE:
            code = payload.close_code or NORMAL_CLOSURE
            self._perform(self._session.close(code, payload.close_reason))

    # -- effects ---------------------------------------------------------------------------

    def _perform(self, effects: Iterable[Effect]) -> None:
        """Do what the session asks for, in its order."""
        for effect in effects:
            if self._is_released and not isinstance(effect, CallBackend):
                continue  # the client is lost, maybe by the effect before: only its backend cares
            match effect:
                case CallBackend():
                    self._call_soon(effect.events)
                case SendMessage():
                    self._send(encode_frame(effect.opcode, effect.content))
                case Control():
                    self._control(effect.message)
                case AcceptClient():
                    self._accept(effect.headers)
                case RejectClient():
                    self._reject(effect.head, effect.body)
                case SendClose():
                    self._send_close(effect)
                case PollAfter():
                    self._poll_after(effect.seconds)
                case EndClient():
                    self._end(effect.reason)

    def _send(self, frame: bytes) -> None:
        self.writer.write(frame)
        self._sent_at = self.connection.context.timers.now()

    def _accept(self, headers: Headers) -> None:
        opening, self._opening = self._opening, None
        if opening is None:
            return
        lines = [
            b"HTTP/1.1 101 Switching Protocols",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: " + opening.accept_token,
            *(b"%b: %b" % field for field in headers),
            b"\r\n",
        ]
        self._send(b"\r\n".join(lines))
        for channel in self._targets[0].subscribe:
            self._subscribe(channel)
        chain, exchange = self._route.chain, self._exchange
        if chain is not None and exchange is not None:
            exchange.held = "websocket"
            chain.opened(exchange)
        self._watch_silence()

    def _read_on(self) -> None:
        """Take what the client sends, unless too much of it waits for the backend."""
        if self._is_released or not self._session.is_accepted or not self._session.takes_input:
            return
        self.connection.take_input(self)
        leftover = self.connection.take_leftover()
        if leftover:  # sent behind the upgrade request
            self._take(leftover)

    def _reject(self, head: ResponseHead, body: bytes) -> None:
        opening, self._opening = self._opening, None
        if opening is None:
            return
        request = opening.request
        hidden = head.headers.hop_by_hop() | {b"content-length"}
        shown = ResponseHead(head.status, head.reason, head.headers.without(hidden))
        form = response_form(request.head, head.status, len(body))
        data = encode_response_head(shown, form, len(body), keep_alive=request.keep_alive)
        self.writer.write(data if form == BodyForm.NONE else data + body)
        self._release(CloseReason.REFUSED)
        self.connection.resume(keep_alive=request.keep_alive)

    def _send_close(self, close: SendClose) -> None:
        self._send(encode_close(close.code, close.reason))
        self._leave_channels()
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
        self._leave_channels()
        self._stop_timers()
        chain, exchange = self._route.chain, self._exchange
        if chain is not None and exchange is not None:
            chain.closed(exchange, reason.value)
        return True

    def _stop_timers(self) -> None:
        for timer in (self._poll_timer, self._close_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        if self._keep_alive is not None and self._keep_alive.timer is not None:
            self._keep_alive.timer.cancel()
        if self._delayed is not None:
            self._delayed[0].cancel()

    # -- control messages ------------------------------------------------------------------

    def _control(self, message: ControlMessage) -> None:
        match message:
            case Subscribe():
                self._subscribe(self._route.channel_prefix + message.channel)
            case Unsubscribe():
                self._unsubscribe(self._route.channel_prefix + message.channel)
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

    def _subscribe(self, channel: str) -> None:
        limit = self.connection.context.grip.max_channels
        if channel in self._subscriptions or len(self._subscriptions) >= limit:
            return
        registry = self.connection.context.registry
        if len(self._subscriptions) == 1:
            self._share_first_channel()
        shared = bool(self._subscriptions)
        self._subscriptions[channel] = registry.subscribe(channel, self, shared=shared)
        log.debug("subscribe", channel=channel, route=self._route.id)

    def _share_first_channel(self) -> None:
        """With a second channel, the order between the two matters from now on."""
        registry = self.connection.context.registry
        for channel, subscription in list(self._subscriptions.items()):
            self._subscriptions[channel] = registry.subscribe(channel, self, shared=True)
            registry.unsubscribe(channel, subscription)

    def _unsubscribe(self, channel: str) -> None:
        if channel in self._targets[0].subscribe:
            return
        subscription = self._subscriptions.pop(channel, None)
        if subscription is not None:
            self.connection.context.registry.unsubscribe(channel, subscription)

    def _leave_channels(self) -> None:
        registry = self.connection.context.registry
        for channel, subscription in self._subscriptions.items():
            registry.unsubscribe(channel, subscription)
        self._subscriptions.clear()

    def _set_meta(self, message: SetMeta) -> None:
        meta = self._meta = self._meta or {}
        if message.value is None:
            meta.pop(message.name, None)
        else:
            meta[message.name] = message.value

    def _set_keep_alive(self, message: SetKeepAlive) -> None:
        self._stop_keep_alive()
        frame = encode_frame(OPCODES[message.type], message.content)
        keep_alive = self._keep_alive = _KeepAlive(message, frame, 0.0)
        self._arm_keep_alive(keep_alive)

    def _arm_keep_alive(self, keep_alive: _KeepAlive) -> None:
        timers = self.connection.context.timers
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
        timers = self.connection.context.timers
        if keep_alive.order.mode is KeepAliveMode.IDLE:
            silent = timers.now() - max(keep_alive.armed_at, self._last_write_at())
            if delay := idle_delay(keep_alive.order.timeout_seconds, silent):
                keep_alive.timer = timers.after(delay, self._keep_alive_due)
                return
        if not self.writer.backlog_bytes:
            self._send(keep_alive.frame)
        self._arm_keep_alive(keep_alive)

    def _last_write_at(self) -> float:
        groups = (subscription.group for subscription in self._subscriptions.values())
        return max([self._sent_at, *(group.last_write_at for group in groups)])

    def _delay(self, message: SendDelayed) -> None:
        self._flush_delayed()
        frame = encode_frame(OPCODES[message.type], message.content)
        timer = self.connection.context.timers.after(message.timeout_seconds, self._flush_delayed)
        self._delayed = (timer, frame)

    def _flush_delayed(self) -> None:
        if self._delayed is not None:
            timer, frame = self._delayed
            self._delayed = None
            timer.cancel()
            self._send(frame)

    # -- silence ---------------------------------------------------------------------------

    def _watch_silence(self) -> None:
        context = self.connection.context
        limit = context.server.hold_timeout_seconds
        if not limit:
            return
        silent = context.timers.now() - max(self._heard_at, self._last_write_at())
        if silent >= limit:
            self.connection.close(CloseReason.IDLE)
        else:
            self._idle_timer = context.timers.after(limit - silent, self._watch_silence)

    # -- the backend -----------------------------------------------------------------------

    def _poll_after(self, seconds: int) -> None:
        self._poll_timer = self.connection.context.timers.after(seconds, self._poll)

    def _poll(self) -> None:
        self._perform(self._session.poll_due())

    def _call_soon(self, events: bytes) -> None:
        self._next_call = events
        if self._poll_timer is not None:
            self._poll_timer.cancel()
            self._poll_timer = None
        if not self._working:
            self._working = True
            self.connection.context.nursery.start_soon(self._work)

    async def _work(self) -> None:
        """Send requests one after another, for as long as there is something to send."""
        try:
            while (events := self._next_call) is not None:
                self._next_call = None
                effects = await self._call(events)
                async with self.connection.context.holding(self._wanted_channels(effects)):
                    self._perform(effects)
                self._read_on()
        except Exception:
            log.exception("websocket session failed", peer=self.connection.peer)
            self.connection.close(CloseReason.INTERNAL_ERROR)
        finally:
            self._working = False

    def _wanted_channels(self, effects: list[Effect]) -> list[str]:
        """The channels that these effects subscribe to."""
        channels: list[str] = []
        for effect in effects:
            if isinstance(effect, AcceptClient):
                channels += self._targets[0].subscribe
            elif isinstance(effect, Control) and isinstance(effect.message, Subscribe):
                channels.append(self._route.channel_prefix + effect.message.channel)
        return channels

    async def _call(self, events: bytes) -> list[Effect]:
        if self.writer.backlog_bytes > MAX_UNREAD_BYTES:
            with contextlib.suppress(trio.BrokenResourceError):  # its end is reported elsewhere
                await self.connection.send(b"")
        upstream = Upstream(self.connection.context, self._route)
        request = self._request(events)
        pauses = iter(RETRY_SECONDS)
        while True:
            try:
                response = await upstream.ask_target(self._targets[0], request)
                return self._session.response_arrived(response.head, await _whole_body(response))
            except BackendUnreachable as error:
                if self._session.is_accepted:
                    pause = next(pauses, None)
                    if pause is None:
                        return self._failed(error)
                    log.warning("backend unreachable", route=self._route.id, problem=str(error))
                    await trio.sleep(pause + random.random())  # noqa: S311  not all at once
                elif len(self._targets) == 1:
                    return self._failed(error)
                else:
                    self._targets = self._targets[1:]
                    self._session.one_event = self._targets[0].one_event
            except (BackendError, ProtocolError) as error:
                return self._failed(error)

    def _failed(self, error: BackendError | ProtocolError) -> list[Effect]:
        self.connection.context.counters.backend_failures += 1
        route = self._route
        log.warning("backend failed", route=route.id, problem=str(error))
        if isinstance(error, BackendUnreachable) and not self._session.is_accepted:
            labels = ", ".join(target.label for target in self._route.targets if target.over_http)
            error = BackendUnreachable(f"Unable to connect to any targets. Tried: {labels}")
        answer = answer_for(error, debug=route.debug)
        return self._session.backend_failed(answer.status, answer.body)

    def _request(self, events: bytes) -> BackendRequest:
        """The same head for every request of the connection, around new events."""
        _, target, _, headers = parse_request_block(self._packed_head)
        headers += (
            (b"Accept", CONTENT_TYPE),
            (b"Connection-Id", self._id),
            (b"Content-Type", CONTENT_TYPE),
            (b"Content-Length", b"%d" % len(events)),
        )
        headers += ((b"Meta-" + name, value) for name, value in self._session.meta.values())
        return BackendRequest(
            RequestHead(b"POST", target, headers),
            events,
            trusted=self._trusted,
            once_only=True,
            exchange=self._exchange,
        )


async def _whole_body(response: BackendResponse) -> bytes:
    try:
        body = response.take()
        while not response.complete:
            body += await response.read()
            if len(body) > MAX_ANSWER_BYTES:
                raise BackendMisbehaved(f"answer exceeds {MAX_ANSWER_BYTES} bytes")
        return body
    finally:
        response.close()
