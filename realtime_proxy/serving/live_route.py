"""A route ready to serve: its keys read, its handlers loaded, its targets resolved."""

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from realtime_proxy.backend.origin import Origin
from realtime_proxy.config.schema import Config, Grip, Route, Target
from realtime_proxy.config.secrets import resolve_secret
from realtime_proxy.demo.pushpin_target import PushpinTarget
from realtime_proxy.grip.signature import Signer, SigningKey
from realtime_proxy.model.messages import RequestHead, Response
from realtime_proxy.pipeline.chain import Chain
from realtime_proxy.routing.condition import Condition
from realtime_proxy.routing.json_p import JsonPRules
from realtime_proxy.routing.table import RouteTable

LocalBackend = Callable[[RequestHead, bytes], Response]
_DEFAULT_PORTS = {"http": 80, "https": 443}


@attrs.frozen
class LiveTarget:
    """One backend of a route: at an origin on the network, or a function inside the proxy."""

    label: str  # as messages name it
    origin: Origin | None
    local: LocalBackend | None
    over_http: bool
    one_event: bool
    subscribe: tuple[str, ...]


@attrs.frozen
class LiveRoute:
    """One route as requests use it.

    `chain` is None without handlers, `signer` without a key, `json_p` unless the route is open to
    pages of other origins.
    """

    id: str
    condition: Condition
    chain: Chain | None
    signer: Signer | None
    grip: bool
    debug: bool
    channel_prefix: str
    json_p: JsonPRules | None
    targets: tuple[LiveTarget, ...]

    @property
    def has_over_http(self) -> bool:
        """True if a target takes WebSocket events in requests."""
        return any(target.over_http for target in self.targets)


def build_table(
    config: Config, base_dir: Path, chains: Sequence[Chain], demo: LocalBackend
) -> RouteTable[LiveRoute]:
    """The route table of a configuration that has been checked. Raises ConfigError."""
    default = _signer(config.grip, base_dir)
    routes = (
        _live(route, chain, default, config, base_dir, demo)
        for route, chain in zip(config.route, chains, strict=True)
    )
    return RouteTable((route.condition, route) for route in routes)


def _live(
    route: Route,
    chain: Chain,
    default: Signer | None,
    config: Config,
    base_dir: Path,
    demo: LocalBackend,
) -> LiveRoute:
    condition = Condition.of(route)
    signer = default
    if route.issuer and route.key:
        signer = Signer(route.issuer, SigningKey.from_secret(resolve_secret(route.key, base_dir)))
    return LiveRoute(
        id=condition.name,
        condition=condition,
        chain=chain if chain.handlers else None,
        signer=signer if route.grip else None,
        grip=route.grip,
        debug=route.debug or config.server.debug,
        channel_prefix=route.channel_prefix,
        json_p=(JsonPRules.of(route) if route.cross_origin or config.server.cross_origin else None),
        targets=tuple(_target(target, route.path, demo) for target in route.targets),
    )


def _signer(grip: Grip, base_dir: Path) -> Signer | None:
    if not grip.issuer or not grip.key:
        return None
    return Signer(grip.issuer, SigningKey.from_secret(resolve_secret(grip.key, base_dir)))


def _target(target: Target, path: str, demo: LocalBackend) -> LiveTarget:
    if target.demo:
        return _local("demo", demo, target)
    if target.test:
        return _local("test", PushpinTarget(path.encode()).answer, target)
    url = urlsplit(target.url)
    origin = Origin(
        url.hostname or "",
        url.port or _DEFAULT_PORTS[url.scheme],
        tls=url.scheme == "https",
        insecure=target.insecure,
    )
    return LiveTarget(
        str(origin), origin, None, target.over_http, target.one_event, target.subscribe
    )


def _local(label: str, backend: LocalBackend, target: Target) -> LiveTarget:
    return LiveTarget(
        label, None, backend, over_http=True, one_event=False, subscribe=target.subscribe
    )
