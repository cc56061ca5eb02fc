"""What others can cause again and again is logged a few times a second; the rest is summed up.

Records of requests, subscriptions and items, and what handlers write at `info`, are all there.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import structlog
import trio
from structlog.typing import EventDict, WrappedLogger

_SECONDS = 1.0
_SERIOUS = ("warning", "error", "critical", "exception")
# Below that, what clients may cause by misbehaving.
_REFUSALS = frozenset(
    (
        "TLS client asks for an impossible name",
        "TLS handshake failed",
        "connection refused",
        "held client refused",
        "request refused",
        "websocket broke the protocol",
        "websocket does not answer pings",
    )
)
# A list, of which each line says something else.
_LISTS = frozenset(("configuration not usable; the old one stays", "worker can't start"))
_MORE = "… and "
# Kinds that are told apart; a handler might write texts that never repeat.
_MOST_KINDS = 1_000

log = structlog.get_logger()


class Kind(NamedTuple):
    """What is counted together."""

    event: str
    route: str | None
    handler: str | None


class LogFlood:
    """A processor that lets so many lines of a kind pass in a second; `most` of 0: all of them.

    `left_out` is the number of all lines that did not pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = 0
        self.left_out = 0
        self._clock = clock
        self._begun_at = clock()
        self._lines: Counter[Kind] = Counter()
        self._untold: Counter[Kind] = Counter()

    def __call__(self, _logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Let a line pass, or raise structlog.DropEvent."""
        name = str(event.get("event", ""))  # handlers write exceptions, too
        if not self.most or not (method in _SERIOUS or name in _REFUSALS):
            return event
        if name in _LISTS or name.startswith(_MORE):
            return event
        now = self._clock()
        if now - self._begun_at >= _SECONDS:
            self._begun_at = now
            self._lines.clear()
        kind = Kind(name, event.get("route"), event.get("handler"))
        if kind not in self._lines and len(self._lines) >= _MOST_KINDS:
            kind = Kind("", None, None)
        self._lines[kind] += 1
        if self._lines[kind] > self.most:
            self.left_out += 1
            self._untold[kind] += 1
            raise structlog.DropEvent
        return event

    def take_untold(self) -> list[tuple[Kind, int]]:
        """How many lines of each kind were left out since this was last asked."""
        untold, self._untold = self._untold, Counter()
        return list(untold.items())


FLOOD = LogFlood()


async def tell_what_is_left_out() -> None:
    """Sum up what is left out, once a second, until cancelled."""
    while True:
        await trio.sleep(_SECONDS)
        for kind, count in FLOOD.take_untold():
            more = {"handler": kind.handler} if kind.handler else {}
            log.warning("… and %d more", count, of=kind.event, route=kind.route, **more)
