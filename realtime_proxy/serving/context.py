"""What every client connection of a worker shares."""

import time
from collections.abc import Collection
from collections.abc import Set as AbstractSet

import attrs

from realtime_proxy.backend.request import BackendCaller
from realtime_proxy.backend.zhttp_peers import ZhttpPeers
from realtime_proxy.channels.registry import Registry
from realtime_proxy.config.schema import Config, Grip
from realtime_proxy.config.server_section import Server
from realtime_proxy.grip.keep_alive import KeepAlive, comments_every
from realtime_proxy.grip.signature import Verifier
from realtime_proxy.inputs.holding import Channels, Holding
from realtime_proxy.inputs.intake import Intake
from realtime_proxy.inputs.open_connections import OpenConnections
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.tally import Tally
from realtime_proxy.model.headers import CANONICAL, HOP_BY_HOP
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.net.backlogs import Backlogs
from realtime_proxy.net.crew import Crew
from realtime_proxy.net.timers import Timers
from realtime_proxy.net.watcher import Watcher
from realtime_proxy.routing.condition import host_of
from realtime_proxy.routing.forwarding import Forwarding
from realtime_proxy.routing.proxies_in_front import ProxiesInFront
from realtime_proxy.routing.table import RouteTable
from realtime_proxy.serving.drain import Drain
from realtime_proxy.serving.farewells import Farewells
from realtime_proxy.serving.filter_requests import FilterRequests
from realtime_proxy.serving.held_identities import HeldIdentities
from realtime_proxy.serving.hold_ages import HoldAges
from realtime_proxy.serving.lifetimes import Lifetimes
from realtime_proxy.serving.link_requests import LinkRequests
from realtime_proxy.serving.link_tasks import LinkTasks
from realtime_proxy.serving.link_timers import LinkTimers
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.neighbours import Neighbours
from realtime_proxy.serving.poll_line import PollLine
from realtime_proxy.serving.rechecks import Rechecks
from realtime_proxy.serving.recovery_room import RecoveryRoom
from realtime_proxy.serving.renewals import Renewals
from realtime_proxy.serving.request_log import RequestLog
from realtime_proxy.serving.retained_bodies import RetainedBodies
from realtime_proxy.serving.roll import Roll
from realtime_proxy.serving.route_places import RoutePlaces
from realtime_proxy.serving.sockjs_sessions import SockJsSessions
from realtime_proxy.sessions.poll_answer import PollAnswers
from realtime_proxy.wire.http1_server import HeadLimits, IncomingRequest, KnownRequests
from realtime_proxy.wire.websocket_handshake import is_upgrade

# Of these the proxy makes its own towards backends, or answers itself.
_NOT_FOR_BACKENDS = HOP_BY_HOP | {b"accept-encoding", b"expect"}


@attrs.define(eq=False)
class ServingContext:
    """The worker, as a connection sees it.

    What comes of the configuration is given by `adopt`, and anew when that has changed; what is
    looked up here is always the latest.
    """

    registry: Registry
    channels: Channels
    intake: Intake
    connections: OpenConnections
    timers: Timers
    watcher: Watcher
    crew: Crew
    caller: BackendCaller
    counters: Counters
    zhttp: ZhttpPeers
    identities: HeldIdentities
    backlogs: Backlogs  # what clients have not taken
    unsent: Backlogs  # what WebSockets of backends have not taken
    sockjs: SockJsSessions = attrs.field(factory=SockJsSessions)
    neighbours: Neighbours | None = None  # there with several workers
    tally: Tally | None = None  # there only while somebody wants to know
    drain: Drain | None = None  # there only before a stop
    known: KnownRequests = attrs.field(factory=KnownRequests)
    roll: Roll | None = None  # there only with an admin port
    places: RoutePlaces = attrs.field(init=False)
    retained: RetainedBodies = attrs.field(init=False)
    farewells: Farewells = attrs.field(init=False)
    server: Server = attrs.field(init=False)
    grip: Grip = attrs.field(init=False)
    routes: RouteTable[LiveRoute] = attrs.field(init=False)
    verifier: Verifier | None = attrs.field(init=False)
    filter_requests: FilterRequests = attrs.field(init=False)
    recoveries: RecoveryRoom = attrs.field(init=False)
    polls: PollLine = attrs.field(factory=PollLine)
    poll_answers: PollAnswers = attrs.field(factory=PollAnswers)
    link_requests: LinkRequests = attrs.field(init=False)
    link_tasks: LinkTasks = attrs.field(init=False)
    link_timers: LinkTimers = attrs.field(init=False)
    lifetimes: Lifetimes = attrs.field(init=False)
    renewals: Renewals = attrs.field(init=False)
    ages: HoldAges = attrs.field(init=False)
    request_log: RequestLog = attrs.field(init=False)
    head_limits: HeadLimits = attrs.field(init=False)
    serves_sockjs: bool = attrs.field(init=False)
    dropped_headers: frozenset[bytes] = attrs.field(init=False)
    proxies: ProxiesInFront = attrs.field(init=False)
    forwarding: Forwarding = attrs.field(init=False)
    comments: KeepAlive | None = attrs.field(init=False)  # for event streams

    def __attrs_post_init__(self) -> None:
        self.places = RoutePlaces(self.counters)
        self.retained = RetainedBodies(self.counters)
        self.farewells = Farewells(self.crew)
        self.filter_requests = FilterRequests(self.timers)
        self.recoveries = RecoveryRoom(self.timers)
        self.link_requests = LinkRequests(self.timers, self.recoveries)
        self.link_tasks = LinkTasks(self.crew)
        self.link_timers = LinkTimers(self.timers)
        self.lifetimes = Lifetimes(
            self.timers, recheck=Rechecks(self).begin, named=self.identities.named
        )
        self.ages = HoldAges(self.timers)
        self.renewals = Renewals(self.crew, self.lifetimes)

    def adopt(
        self,
        config: Config,
        routes: RouteTable[LiveRoute],
        verifier: Verifier | None,
        identity_headers: frozenset[bytes],
        secret_names: AbstractSet[str],
    ) -> None:
        """Serve by this configuration from the next request on; held clients keep their routes.

        `identity_headers` are only ever set by handlers; values of `secret_names` are not logged.
        """
        self.server = config.server
        self.retained.max_bytes = config.server.max_retained_body_bytes
        self.request_log = RequestLog(config.log, secret_names)
        self.grip = config.grip
        self.routes = routes
        self.serves_sockjs = any(route.sockjs for route in config.route)
        self.sockjs.max_sessions = config.server.max_connections
        self.verifier = verifier
        self.comments = comments_every(config.server.event_stream_keep_alive_seconds)
        self.head_limits = HeadLimits(
            config.server.max_header_bytes, config.server.max_target_bytes
        )
        accepted = {name for route in config.route for name in route.identity_headers}
        identity_headers |= {name.encode().translate(CANONICAL) for name in accepted}
        self.dropped_headers = _NOT_FOR_BACKENDS | identity_headers
        self.proxies = ProxiesInFront(config.forwarded)
        self.forwarding = Forwarding(config.forwarded, self.proxies, self.dropped_headers)

    def route_of(
        self, request: IncomingRequest, peer: str, *, websocket: bool, tls: bool
    ) -> LiveRoute | None:
        """The route of a request, None if there is none; `tls` says that it came over that."""
        head = request.head
        name = self.proxies.route_id(head.headers, peer)
        if name and not self.routes.is_shared(name):
            return self.routes.named(name, head.path)
        return self.routes.find(host_of(request.host), head.path, websocket, tls)

    def sockjs_session(self, request: IncomingRequest, peer: str, *, tls: bool) -> bytes:
        """The session of SockJS over HTTP that a request is of; empty if it is of none."""
        if not self.serves_sockjs or is_upgrade(request.head.headers):
            return b""
        tls = tls or self.proxies.came_over_tls(request.head.headers, peer)
        route = self.route_of(request, peer, websocket=False, tls=tls)
        rules = None if route is None else route.sockjs
        endpoint = None if rules is None else rules.endpoint(request.head.path)
        return endpoint.session if endpoint is not None and endpoint.is_of_session else b""

    def route_now(self, route: LiveRoute) -> LiveRoute | None:
        """What has become of the route that a connection was held with; None if it is gone.

        The handlers that have seen its request stay with the connection to its end.
        """
        if self.routes.is_shared(route.id):  # which of them it was, nobody can tell
            return route
        current = self.routes.named(route.id)
        if current is None or current is route:
            return current
        return attrs.evolve(current, chain=route.chain)

    def holding(self, channels: Collection[str]) -> Holding:
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
