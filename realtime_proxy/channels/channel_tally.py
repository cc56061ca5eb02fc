"""What channels have to tell of subscribers and deliveries: once per group, never per member."""

from collections.abc import Iterable

from realtime_proxy.channels.group import Group
from realtime_proxy.channels.registry import Registry
from realtime_proxy.metrics.blocks import blocks_of
from realtime_proxy.metrics.tallied import Delivered
from realtime_proxy.metrics.tally import Tally
from realtime_proxy.model.item import Action, HttpStream, Item, WebSocketMessage
from realtime_proxy.wire.encodings import WireForm

_WEBSOCKETS = [form for form in WireForm if form.is_websocket]
_MODES = (
    dict.fromkeys(WireForm, "stream")
    | {WireForm.RESPONSE: "response"}
    | dict.fromkeys(_WEBSOCKETS, "ws")
)
_TRANSPORTS = (
    dict.fromkeys(WireForm, "http-stream")
    | {WireForm.RESPONSE: "http-response"}
    | dict.fromkeys(_WEBSOCKETS, "ws-message")
)
# What a receiver gets is its content; responses and scripts are made by each hold.
_AS_THEY_ARE = frozenset((WireForm.CHUNK, WireForm.RAW, *_WEBSOCKETS))


class ChannelTally:
    """Tells a tally of one registry."""

    def __init__(self, tally: Tally, registry: Registry) -> None:
        self.tally = tally
        self._registry = registry
        self._changed: dict[Group, None] = {}  # since the tally was last taken
        tally.on_take = self._count_subscribers

    def changed(self, group: Group) -> None:
        """A group has one subscriber more, or less."""
        if self.tally.rules.tells_channels and group not in self._changed:
            self._changed[group] = None
            self.tally.changed()

    def _count_subscribers(self) -> None:
        """Count only now: long-polls come and go many times before anything is told of them."""
        if not self._changed:
            return
        changed, self._changed = self._changed, {}
        for mode, channel in dict.fromkeys((_MODES[one.form], one.channel) for one in changed):
            groups = self._registry.groups(channel)
            count = sum(len(other) for other in groups if _MODES[other.form] == mode)
            self.tally.listened(mode, channel, count)

    def delivering(self, item: Item, groups: Iterable[Group]) -> None:
        """An item is about to go to the groups of its channel that it concerns."""
        receivers: dict[WireForm, int] = {}
        for group in groups:
            if group.form.concerns(item) and len(group):
                receivers[group.form] = receivers.get(group.form, 0) + len(group)
                self._count(item, group)
        if self.tally.rules.tells_channels:
            self._tell(item, receivers)

    def delivered_after(self, seconds: float) -> None:
        """All of what was in line is delivered, the first of it so long after it came."""
        self.tally.changed()
        self.tally.delivery_seconds.observe(seconds)

    def _tell(self, item: Item, receivers: dict[WireForm, int]) -> None:
        told: dict[str, tuple[int, int]] = {}
        for form, count in receivers.items():
            transport = _TRANSPORTS[form]
            before, blocks = told.get(transport, (0, 0))
            told[transport] = before + count, blocks + self._blocks(item, form) * count
        for transport, (count, blocks) in told.items():
            self.tally.delivered(Delivered(item.channel, item.id, transport, count, blocks))

    def _count(self, item: Item, group: Group) -> None:
        count, form = len(group), group.form
        traffic = self.tally.routes[group.route_id].counts()
        traffic.sent += count
        traffic.blocks_sent += self._blocks(item, form) * count
        if form is WireForm.RESPONSE:
            traffic.response_sent += count
        payload = item.ws_message if form.is_websocket else item.http_stream
        if group.personal or form not in _AS_THEY_ARE:
            return  # counted where it is made, or passed on
        if payload is not None and payload.action is Action.SEND:
            traffic.client_content_bytes_sent += len(payload.content) * count
            traffic.client_messages_sent += count if form.is_websocket else 0

    def _blocks(self, item: Item, form: WireForm) -> int:
        block_bytes = self.tally.rules.block_bytes
        return blocks_of(item, _size(item, form), block_bytes) if block_bytes else 0


def _size(item: Item, form: WireForm) -> int:
    if form is WireForm.RESPONSE:
        return 0 if item.http_response is None else len(item.http_response.body)
    payload: HttpStream | WebSocketMessage | None
    payload = item.ws_message if form.is_websocket else item.http_stream
    return 0 if payload is None else len(payload.content)
