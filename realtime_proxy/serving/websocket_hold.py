"""A WebSocket as channels and control messages know it: a held client that takes frames."""

from collections.abc import Iterable, Mapping

from realtime_proxy.channels.group import Subscription
from realtime_proxy.errors import FilterError
from realtime_proxy.grip.filters import FilterChain, mismatch_without_filters
from realtime_proxy.model.item import Action, Item
from realtime_proxy.serving.delivery_scope import channels_called, implicit_channels
from realtime_proxy.serving.held_client import HeldClient
from realtime_proxy.serving.websocket_control import WebSocketControl
from realtime_proxy.serving.websocket_opening import WebSocketOpening
from realtime_proxy.serving.websocket_request import WebSocketRequest
from realtime_proxy.sessions.effects import (
    Effect,
)
from realtime_proxy.sessions.websocket_session import WebSocketSession
from realtime_proxy.wire.websocket_frame import INTERNAL_ERROR, NORMAL_CLOSURE


class WebSocketHold(HeldClient):
    """Takes items for one WebSocket. Last ids are never known of it: it takes what comes."""

    __slots__ = ("_backend", "_control", "_is_released", "_session")

    _backend: WebSocketRequest
    _session: WebSocketSession

    def __init__(self, opening: WebSocketOpening) -> None:
        super().__init__(opening.connection, opening.route, opening.exchange, opening.form)
        self._control = WebSocketControl(self)
        self._is_released = False

    @property
    def id(self) -> str:
        """Its `Connection-Id`."""
        return self._backend.id.decode()

    @property
    def _places(self) -> tuple[Subscription, ...]:
        return self._control.places

    @property
    def channel_prefix(self) -> str:
        """What the route puts before the names of channels."""
        return self._route.channel_prefix

    @property
    def implicit_channels(self) -> tuple[str, ...]:
        """The channels that the target adds, which can't be left."""
        return implicit_channels(self._backend.target, self._route, self._exchange)

    def channels_called(self, name: str) -> tuple[str, ...]:
        """The whole names of the channels that the backend calls so. Raises GripError."""
        return channels_called(name, self._route, self._exchange)

    def log_subscription(self, channel: str) -> None:
        """Write a record of a channel subscribed to."""
        if self._route.logs_requests:
            uri = self._backend.logged_uri()
            self._route.log.info("subscribe", uri=uri, channel=channel)

    def send(self, frame: bytes) -> None:
        """Send a frame of this connection's own, and note when."""
        self.writer.write(frame)
        self._control.sent_at = self.connection.context.timers.now()

    def count_activity(self) -> None:
        """Count that a keep-alive was sent."""
        if (counts := self._counts()) is not None:
            counts.activity += 1

    def item_arrived(self, item: Item) -> None:
        """Act on an item that is not just a message: a close, or a refresh."""
        payload = item.ws_message
        if payload is None:
            return
        if payload.action is Action.CLOSE:
            code = payload.close_code or NORMAL_CLOSURE
            self._perform(self._session.close(code, payload.close_reason))
        elif payload.action is Action.REFRESH:
            self.update()
        elif payload.content_filters:
            self.skipped(item, mismatch_without_filters(payload.content_filters))

    def skipped(self, item: Item, error: FilterError) -> None:
        """Do without an item on which a filter failed; with `debug`, close with the reason."""
        super().skipped(item, error)
        if self._route.debug:
            self.fail(error.reason)

    def fail(self, problem: str) -> None:
        """Close for a problem, which is told on routes with `debug`."""
        self._perform(self._session.close(INTERNAL_ERROR, problem if self._route.debug else ""))

    def last_ids(self) -> dict[str, str | None]:
        """The channels, as the backend names them; last ids are never known of a WebSocket."""
        prefix = self.channel_prefix
        return {name.removeprefix(prefix): None for name in self.channels}

    def filter_by(self, chains: dict[str, FilterChain], meta: Mapping[str, str]) -> None:
        """From the next item on, use these filters, by whole names of channels, and this meta."""
        self._filter(chains, meta, self._backend.errand)

    def _perform(self, effects: Iterable[Effect]) -> None:
        """Do what the session asks for, in its order."""
        raise NotImplementedError
