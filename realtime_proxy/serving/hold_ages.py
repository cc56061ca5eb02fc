"""How long clients may be held, on routes that limit it: not every gateway tells when one leaves.

Nothing is kept of those whose route sets no limit.
"""

import random
from functools import partial
from typing import Protocol

from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.net.timers import Timer, Timers

GOING_AWAY = 1001  # RFC 6455 7.4.1
AGED = Dismissal(GOING_AWAY, "maximum age reached", CloseReason.MAX_AGE)
# They end within this last part of their time: who came at once is not to come back at once.
_SPREAD = 0.1
# Something for a client is on its way: looked at again so much later, and not for ever.
_AGAIN_SECONDS = 0.2
_PATIENCE_SECONDS = 5.0


class Client(Protocol):
    """A held client, as its age knows it."""

    @property
    def may_end(self) -> bool:
        """False while something for it is on its way."""

    def dismiss(self, dismissal: Dismissal) -> None:
        """End before its time, in the way of its kind."""

    def cut(self, reason: CloseReason) -> None:
        """End at once, so that the client can tell that something is missing."""


class HoldAges:
    """Ends clients that have been held for as long as their route allows."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._kept: dict[Client, tuple[float, Timer]] = {}  # until when, by the timers' clock

    def __len__(self) -> int:
        """How many may not stay for ever."""
        return len(self._kept)

    def begin(self, client: Client, max_seconds: float, ends_at: float | None = None) -> None:
        """A client is held from now on; it has been for a while if its end is known already."""
        now = self._timers.now()
        if ends_at is None:
            ends_at = now + max_seconds * random.uniform(1 - _SPREAD, 1)  # noqa: S311
        timer = self._timers.after(max(0.0, ends_at - now), partial(self._due, client))
        self._kept[client] = ends_at, timer

    def end(self, client: Client) -> float | None:
        """A client is held no longer. Until when it might have been; None if there was no end."""
        kept = self._kept.pop(client, None)
        if kept is None:
            return None
        ends_at, timer = kept
        timer.cancel()
        return ends_at

    def _due(self, client: Client) -> None:
        ends_at, _ = self._kept[client]
        if client.may_end:
            client.dismiss(AGED)
        elif self._timers.now() < ends_at + _PATIENCE_SECONDS:
            again = self._timers.after(_AGAIN_SECONDS, partial(self._due, client))
            self._kept[client] = ends_at, again
        else:
            client.cut(AGED.reason)
