"""How much may be delivered in a second, and how much may wait for that (publish.md section 6)."""

from collections.abc import Mapping

import attrs

from realtime_proxy.channels.group import SLICE
from realtime_proxy.channels.registry import Registry
from realtime_proxy.config.schema import Publish
from realtime_proxy.metrics.blocks import blocks_of
from realtime_proxy.model.item import HttpResponse, Item
from realtime_proxy.wire.encodings import WireForm

# A slice takes no longer than this of the rate, so that deliveries are spread over time.
_SLICE_SECONDS = 0.025
_EPSILON = 1e-6


@attrs.frozen
class Limits:
    """Limits of deliveries, one item to one subscriber each; 0 is no limit.

    A delivery weighs as many as its payload has blocks, or one.
    """

    per_second: float = 0.0
    max_queued: int = 0
    block_bytes: int = 0

    @classmethod
    def of(cls, settings: Publish) -> "Limits | None":
        """The limits in a configuration; None if there are none."""
        limits = cls(
            settings.max_deliveries_per_second,
            settings.max_queued_deliveries,
            settings.message_block_bytes,
        )
        return limits if limits.per_second or limits.max_queued else None

    @property
    def slice_size(self) -> int:
        """How many deliveries go at once at the rate."""
        return max(1, min(SLICE, int(self.per_second * _SLICE_SECONDS)))

    def weight(self, item: Item, form: WireForm) -> int:
        """What one delivery of an item in this form weighs."""
        if not self.block_bytes:
            return 1
        payload = form.payload_of(item)
        content = payload.body if isinstance(payload, HttpResponse) else payload and payload.content
        return max(1, blocks_of(item, len(content or b""), self.block_bytes))

    def weights(self, registry: Registry, item: Item) -> Mapping[str, int]:
        """What an item weighs with all who are subscribed now, by their route."""
        weights: dict[str, int] = {}
        for group in registry.groups_for(item):
            if group.form.concerns(item):
                weight = len(group) * self.weight(item, group.form)
                weights[group.route_id] = weights.get(group.route_id, 0) + weight
        return weights


class TokenBucket:
    """Lets so many go in a second on average, and after a pause those of a whole second at once."""

    def __init__(self, per_second: float, now: float) -> None:
        self._per_second = per_second
        self._tokens = self._capacity = max(1.0, per_second)
        self._filled_at = now

    def seconds_to_wait(self, now: float) -> float:
        """How long until the next may go; 0 if it may now."""
        self._fill(now)
        return max(0.0, 1.0 - _EPSILON - self._tokens) / self._per_second

    def take(self, count: int, now: float) -> None:
        """Let so many go. Those who come next wait for what was not there."""
        self._fill(now)
        self._tokens -= count

    def _fill(self, now: float) -> None:
        gained = (now - self._filled_at) * self._per_second
        self._tokens = min(self._capacity, self._tokens + gained)
        self._filled_at = now
