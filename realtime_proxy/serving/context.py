"""What every client connection of a worker shares."""

import time
from collections.abc import Sequence

import attrs
import trio

from realtime_proxy.backend.request import BackendCaller
from realtime_proxy.channels.registry import Registry
from realtime_proxy.config.schema import Forwarded, Grip, Server
from realtime_proxy.grip.signature import Verifier
from realtime_proxy.inputs.holding import Channels, Holding
from realtime_proxy.inputs.intake import Intake
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.headers import HOP_BY_HOP
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.net.crew import Crew
from realtime_proxy.net.timers import Timers
from realtime_proxy.net.watcher import Watcher
from realtime_proxy.routing.forwarding import Forwarding
from realtime_proxy.routing.table import RouteTable
from realtime_proxy.serving.filter_requests import FilterRequests
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.wire.http1_server import HeadLimits

MAX_FAREWELLS = 64
# Of these the proxy makes its own towards backends, or answers itself.
_NOT_FOR_BACKENDS = HOP_BY_HOP | {b"accept-encoding", b"expect"}


@attrs.define(eq=False)
class ServingContext:
    """The worker, as a connection sees it. `identity_headers` are only ever set by handlers."""

    server: Server
    forwarded: Forwarded
    grip: Grip
    routes: RouteTable[LiveRoute]
    registry: Registry
    channels: Channels
    intake: Intake
    timers: Timers
    watcher: Watcher
    crew: Crew
    caller: BackendCaller
    counters: Counters
    verifier: Verifier | None
    identity_headers: frozenset[bytes]
    # Taken for telling backends of clients that have left: when many leave at once, these must
    # not open as many connections.
    farewells: trio.CapacityLimiter = attrs.field(
        factory=lambda: trio.CapacityLimiter(MAX_FAREWELLS)
    )
    filter_requests: FilterRequests = attrs.field(init=False)
    head_limits: HeadLimits = attrs.field(init=False)
    dropped_headers: frozenset[bytes] = attrs.field(init=False)
    forwarding: Forwarding = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.filter_requests = FilterRequests(self.timers)
        self.head_limits = HeadLimits(self.server.max_header_bytes, self.server.max_target_bytes)
        self.dropped_headers = _NOT_FOR_BACKENDS | self.identity_headers
        self.forwarding = Forwarding(self.forwarded, self.dropped_headers)

    def holding(self, channels: Sequence[str]) -> Holding:
        """Subscribe to these channels within this block, and their items come to this worker.

        It gives what is known of channels: `async with context.holding(names) as channels`, and
        `channels.last_id(name)`, which changes with every item.
        """
        return Holding(self.channels, channels)

    def is_trusted(self, head: RequestHead) -> bool:
        """True if a trusted proxy in front signed this request (`upstream_key`)."""
        if self.verifier is None:
            return False
        token = head.headers.get(b"grip-sig")
        return token is not None and self.verifier.verify(token, time.time())
