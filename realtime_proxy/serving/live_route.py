"""A route ready to serve: its keys read, its handlers loaded, its targets resolved."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs
import structlog
from structlog.typing import FilteringBoundLogger

from realtime_proxy.config.route_section import Route
from realtime_proxy.config.schema import Config, Grip
from realtime_proxy.config.secrets import resolve_secret
from realtime_proxy.grip.signature import Signer, SigningKey
from realtime_proxy.model.headers import CANONICAL
from realtime_proxy.pipeline.chain import Chain
from realtime_proxy.routing.condition import Condition
from realtime_proxy.routing.json_p import JsonPRules
from realtime_proxy.routing.origin_rule import OriginRule
from realtime_proxy.routing.request_edits import RequestEdits
from realtime_proxy.routing.sockjs_rules import SockJsRules
from realtime_proxy.routing.table import RouteTable
from realtime_proxy.serving.live_target import LiveTarget, LocalBackend, TargetMaker
from realtime_proxy.serving.websocket_limits import WebSocketLimits
from realtime_proxy.sessions.expiry_notice import ExpiryNotice

_LEVELS = logging.getLevelNamesMapping()


@attrs.frozen
class LiveRoute:
    """One route as requests use it.

    `chain` is None without handlers, `signer` without a key, `edits` if requests go on as they are,
    `json_p` unless the route is open to pages of other origins, `sockjs` unless it serves that.
    `marks` says that backends get the client's headers a second time, marked; `compression` that
    messages of WebSockets may be deflated. `log` has the route's own level; `logs_requests`: it
    shows requests; `over_http_targets` take WebSocket events in requests; `backend_path`: what
    paths begin with for backends. `expiry_notice`: what those are told whose credential is about
    to expire; `recheck_seconds`: how often handlers are asked whether they may stay, 0 for never.
    `max_age_seconds`: how long they may be held, 0 for ever.
    `scope_claim`: the claim that items are delivered by, empty if by channels alone.
    `origins`: those of pages that may open WebSockets, None for all.
    `decides`: gateways ask there for decisions. `identity_headers`, in lower case, may come from
    proxies in front. `stats_id`: the id that the configuration gives it, empty if it gives none.
    """

    id: str
    condition: Condition
    chain: Chain | None
    signer: Signer | None
    edits: RequestEdits | None
    marks: bool
    grip: bool
    debug: bool
    compression: bool
    channel_prefix: str
    max_connections: int
    identity_headers: frozenset[bytes]
    json_p: JsonPRules | None
    sockjs: SockJsRules | None
    targets: tuple[LiveTarget, ...]
    websocket: WebSocketLimits
    origins: OriginRule | None
    log: FilteringBoundLogger = attrs.field(eq=False)
    logs_requests: bool
    expiry_notice: ExpiryNotice | None = None
    recheck_seconds: float = 0.0
    max_age_seconds: float = 0.0
    scope_claim: str = ""
    decides: bool = attrs.field(init=False)
    stats_id: str = attrs.field(init=False)
    over_http_targets: tuple[LiveTarget, ...] = attrs.field(init=False)
    backend_path: bytes = attrs.field(init=False)

    @decides.default
    def _is_asked_for_decisions(self) -> bool:
        return any(target.decides for target in self.targets)

    @stats_id.default
    def _own_id(self) -> str:
        return self.condition.id

    @over_http_targets.default
    def _those_over_http(self) -> tuple[LiveTarget, ...]:
        return tuple(target for target in self.targets if target.over_http)

    @property
    def websocket_targets(self) -> tuple[LiveTarget, ...]:
        """The targets that WebSockets go to: those over HTTP, or all if there are none."""
        return self.over_http_targets or self.targets

    @backend_path.default
    def _edited_path(self) -> bytes:
        path = self.condition.path
        return path if self.edits is None else self.edits.edited_path(path)


def build_table(
    config: Config, base_dir: Path, chains: Sequence[Chain], demo: LocalBackend
) -> RouteTable[LiveRoute]:
    """The route table of a configuration that has been checked. Raises ConfigError."""
    makers = TargetMaker(base_dir, demo), SignerMaker(config.grip, base_dir)
    routes = (
        _live(route, f"route[{index}]", chain, config, *makers)
        for index, (route, chain) in enumerate(zip(config.route, chains, strict=True))
    )
    return RouteTable((route.condition, route) for route in routes)


def _live(
    route: Route,
    key_path: str,
    chain: Chain,
    config: Config,
    targets: TargetMaker,
    signers: "SignerMaker",
) -> LiveRoute:
    condition = Condition.of(route)
    return LiveRoute(
        id=condition.name,
        condition=condition,
        chain=chain if chain.handlers else None,
        signer=signers.signer(route) if route.grip else None,
        edits=RequestEdits.of(route),
        marks=route.original_headers,
        grip=route.grip,
        debug=route.debug or config.server.debug,
        compression=route.compression or config.server.compression,
        channel_prefix=route.channel_prefix,
        max_connections=route.max_connections,
        identity_headers=_accepted(route.identity_headers, chain),
        json_p=_json_p(route, config),
        sockjs=SockJsRules.of(route, config.server.sockjs_url),
        targets=targets.targets(route, key_path),
        websocket=WebSocketLimits.of(route, config.server),
        origins=OriginRule.of(route.websocket_origins),
        log=_logger(route.log_level),
        expiry_notice=_expiry_notice(route),
        recheck_seconds=route.reauth_interval_seconds,
        max_age_seconds=route.max_connection_age_seconds,
        scope_claim=route.delivery_scope_claim,
        logs_requests=_LEVELS[(route.log_level or config.log.level).upper()] <= logging.INFO,
    )


class SignerMaker:
    """Makes the signers of a configuration, one for each issuer and key: it signs once a second."""

    def __init__(self, grip: Grip, base_dir: Path) -> None:
        self._grip = grip
        self._base_dir = base_dir
        self._signers: dict[tuple[str, str], Signer] = {}

    def signer(self, route: Route) -> Signer | None:
        """The signer of a route; None if there is nobody to sign as, or no key.

        Raises ConfigError for a key that can't be used.
        """
        pair = (route.issuer or self._grip.issuer, route.key or self._grip.key)
        if not all(pair):
            return None
        if pair not in self._signers:
            issuer, key = pair
            secret = resolve_secret(key, self._base_dir)
            self._signers[pair] = Signer(issuer, SigningKey.from_secret(secret))
        return self._signers[pair]


def _json_p(route: Route, config: Config) -> JsonPRules | None:
    """Its rules for pages of other origins; None for those that are no clients of it."""
    # A refusal in a script has the status 200, which a gateway would take for a yes.
    if any(target.decisions for target in route.targets):
        return None
    return JsonPRules.of(route) if route.cross_origin or config.server.cross_origin else None


def _expiry_notice(route: Route) -> ExpiryNotice | None:
    if not route.expiry_notice_seconds:
        return None
    return ExpiryNotice(route.expiry_notice_seconds, route.expiry_notice_message)


def _accepted(names: Iterable[str], chain: Chain) -> frozenset[bytes]:
    """Which identity headers of proxies in front a route lets pass.

    What its handlers set is not among those that it names: only a handler may read it.
    """
    own = {name.encode().translate(CANONICAL) for name in chain.sets_headers}
    lowered = (name.lower().encode() for name in names)
    named = (name for name in lowered if name.translate(CANONICAL) not in own)
    return frozenset((*named, *(name.encode() for name in chain.accepts_headers)))


def _logger(level: str) -> FilteringBoundLogger:
    """A logger with a level of its own, or that of everyone."""
    if not level:
        return structlog.get_logger()  # type: ignore[no-any-return]
    wrapper = structlog.make_filtering_bound_logger(_LEVELS[level.upper()])
    return structlog.wrap_logger(None, wrapper_class=wrapper)  # type: ignore[no-any-return]
