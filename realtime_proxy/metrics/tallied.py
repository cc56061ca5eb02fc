"""What a worker has counted since it last told: a plain value that goes over its link."""

from typing import NamedTuple

import msgspec

from realtime_proxy.metrics.histogram import Histogram
from realtime_proxy.metrics.traffic import Traffic


class Visit(NamedTuple):
    """A client's HTTP request, however long it is held, or its WebSocket.

    `route` is the id that the configuration gives its route, empty if it gives none; `kind` is
    `http` or `ws`; `peer` is the client's address, empty if there is none.
    """

    id: str
    route: str
    kind: str
    peer: str
    tls: bool


class Visited(NamedTuple):
    """A visit has begun or still lasts, or has ended."""

    visit: Visit
    ended: bool


class Listened(NamedTuple):
    """How many subscribers a channel has in one mode (`response`, `stream`, `ws`) by now."""

    mode: str
    channel: str
    subscribers: int


class Delivered(NamedTuple):
    """An item has gone to so many receivers; `blocks` is for all of them."""

    channel: str
    item_id: str | None
    transport: str
    receivers: int
    blocks: int


class Held(NamedTuple):
    """How many connections of a route are held in one way."""

    route: str
    kind: str
    connections: int


class Tallied(msgspec.Struct):
    """All of it.

    Traffic and counters are what was added, the rest is as it is now. `connections` has, by route,
    how many there are and the most there were.
    """

    traffic: dict[str, Traffic] = msgspec.field(default_factory=dict)
    connections: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)
    held: list[Held] = msgspec.field(default_factory=list)
    visited: list[Visited] = msgspec.field(default_factory=list)
    listened: list[Listened] = msgspec.field(default_factory=list)
    delivered: list[Delivered] = msgspec.field(default_factory=list)
    counters: dict[str, int] = msgspec.field(default_factory=dict)
    delivery_seconds: Histogram = msgspec.field(default_factory=Histogram)
    backlog_bytes: int = 0
