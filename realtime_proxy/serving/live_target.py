"""A backend of a route ready to be called: where it is, and how it is spoken to."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from realtime_proxy.backend.origin import (
    Origin,
    client_context,
    default_context,
    show_certificate,
)
from realtime_proxy.backend.zhttp_peers import ZhttpAddress
from realtime_proxy.config.addresses import parse_mode
from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.schema import Config
from realtime_proxy.demo.pushpin_target import PushpinTarget
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response
from realtime_proxy.model.shared_headers import SharedHeaders
from realtime_proxy.routing.condition import host_of
from realtime_proxy.wire.http1_rules import known

LocalBackend = Callable[[RequestHead, bytes], Response]
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = frozenset((b"host",))


@attrs.frozen
class LiveTarget:
    """One backend of a route: at an origin on the network, at a ZeroMQ address, or a function.

    Or none: `decides` says that it is the place where gateways ask for decisions.

    `host` is the `Host` it gets, None for that of the request. `verifies_host` says that its
    certificate is checked for that, too, and not for the name it is connected to by.
    """

    label: str  # as messages name it
    origin: Origin | None = None
    local: LocalBackend | None = None
    zhttp: ZhttpAddress | None = None
    over_http: bool = False
    one_event: bool = False
    subscribe: tuple[str, ...] = ()
    host: bytes | None = None
    verifies_host: bool = False
    decides: bool = False
    _own_host: SharedHeaders | None = attrs.field(init=False, eq=False, repr=False)

    @_own_host.default
    def _host_as_field(self) -> SharedHeaders | None:
        return None if self.host is None else known(Headers([(b"Host", self.host)]))

    @property
    def is_untrusted(self) -> bool:
        """True if it must not be in a private network."""
        return self.origin is not None and self.origin.untrusted

    def addressed(self, headers: Headers) -> SharedHeaders:
        """A request's header fields with the `Host` that this backend gets."""
        shared = SharedHeaders.of(headers)
        return shared if self._own_host is None else shared.remember(self._addressed)

    def _addressed(self, headers: SharedHeaders) -> SharedHeaders:
        own = self._own_host
        return headers if own is None else headers.joined(own, headers.lacking(_HOST))

    def origin_for(self, headers: Headers) -> Origin | None:
        """Where to send a request with these fields; None if that is no place on the network."""
        if self.origin is None or not self.verifies_host:
            return self.origin
        return self.origin.verified_as(host_of(headers.get(b"host") or b""))


class TargetMaker:
    """Makes the targets of a configuration. Those with the same TLS settings share a context."""

    def __init__(self, base_dir: Path, demo: LocalBackend) -> None:
        """`base_dir` is where relative paths of certificates begin."""
        self._base_dir = base_dir
        self._demo = demo
        self._contexts: dict[tuple[bool, str, str, str], ssl.SSLContext] = {}
        self._origins: dict[Origin, Origin] = {}

    def targets(self, route: Route, key_path: str) -> tuple[LiveTarget, ...]:
        """The targets of a route. Raises ConfigError for a certificate that can't be used."""
        return tuple(
            self._target(target, route, f"{key_path}.targets[{index}]")
            for index, target in enumerate(route.targets)
        )

    def _target(self, target: Target, route: Route, key_path: str) -> LiveTarget:
        host = (target.host or route.as_host).encode() or None
        if target.demo:
            return _local("demo", self._demo, target, host)
        if target.test:
            return _local("test", PushpinTarget(route.path.encode()).answer, target, host)
        if target.decisions:
            return LiveTarget("decisions", decides=True)
        if target.zhttpreq:
            return LiveTarget(
                f"zhttpreq/{target.zhttpreq}",
                zhttp=zhttp_address(target),
                over_http=target.over_http,
                one_event=target.one_event,
                subscribe=target.subscribe,
                host=host,
            )
        origin = self._origin(target, key_path)
        return LiveTarget(
            str(origin),
            origin,
            over_http=target.over_http,
            one_event=target.one_event,
            subscribe=target.subscribe,
            host=host,
            verifies_host=origin.tls is not None and not target.trust_connect_host,
        )

    def _origin(self, target: Target, key_path: str) -> Origin:
        url = urlsplit(target.url)
        host = url.hostname or ""
        tls = self._context(target, key_path) if url.scheme == "https" else None
        origin = Origin(
            host,
            url.port or _DEFAULT_PORTS[url.scheme],
            tls=tls,
            server_name=(target.server_name or host) if tls is not None else "",
            untrusted=target.untrusted,
        )
        # One object for all routes: their pool is found without a comparison, by what it is.
        return self._origins.setdefault(origin, origin)

    def _context(self, target: Target, key_path: str) -> ssl.SSLContext:
        if not (target.insecure or target.ca or target.client_certificate):
            return default_context()
        settings = (target.insecure, target.ca, target.client_certificate, target.client_key)
        if settings not in self._contexts:
            authorities = self._path(target.ca)
            with _as_problem(f"{key_path}.ca", "it can't be used"):
                context = client_context(insecure=target.insecure, authorities=authorities)
            certificate, key = self._path(target.client_certificate), self._path(target.client_key)
            if certificate is not None:
                with _as_problem(f"{key_path}.client_certificate", "it or its key can't be used"):
                    show_certificate(context, certificate, key)
            self._contexts[settings] = context
        return self._contexts[settings]

    def _path(self, name: str) -> Path | None:
        return self._base_dir / name if name else None


def zhttp_address(target: Target) -> ZhttpAddress:
    """The ZeroMQ address of a target that has one."""
    mode = parse_mode(target.ipc_mode) if target.ipc_mode else None
    return ZhttpAddress(target.zhttpreq, target.zhttpreq_connect, mode)


def zhttp_addresses(config: Config) -> dict[ZhttpAddress, str]:
    """All ZeroMQ addresses of targets, with the paths of their keys."""
    return {
        zhttp_address(target): f"route[{i}].targets[{j}].zhttpreq"
        for i, route in enumerate(config.route)
        for j, target in enumerate(route.targets)
        if target.zhttpreq
    }


def _local(label: str, backend: LocalBackend, target: Target, host: bytes | None) -> LiveTarget:
    return LiveTarget(label, local=backend, over_http=True, subscribe=target.subscribe, host=host)


@contextmanager
def _as_problem(key_path: str, problem: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"{problem}: {error.strerror or error}"
        raise ConfigError([Problem(key_path, message)]) from error
