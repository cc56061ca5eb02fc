"""What a configuration needs besides itself: handlers, keys and certificates, found and tried.

The only process and every worker serve with them; a supervisor loads them to learn what is wrong
before it starts anybody.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from realtime_proxy.app.admin_side import admin_key
from realtime_proxy.app.publish_side import publish_key
from realtime_proxy.config.schema import Config, Grip
from realtime_proxy.config.secrets import resolve_secret
from realtime_proxy.config.server_section import Tls
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.grip.signature import SigningKey, Verifier
from realtime_proxy.net.bearer_key import BearerKey
from realtime_proxy.net.certificates import Certificates, ClientAuthorities, server_context
from realtime_proxy.pipeline.registry import LoadedHandlers, load_handlers
from realtime_proxy.pipeline.services import HandlerServices
from realtime_proxy.routing.table import RouteTable
from realtime_proxy.serving.live_route import LiveRoute, build_table
from realtime_proxy.serving.live_target import LocalBackend


@attrs.frozen
class Parts:
    """Everything a worker serves with. `tls` has the contexts of TLS listeners by address."""

    handlers: LoadedHandlers
    routes: RouteTable[LiveRoute]
    verifier: Verifier | None
    publish_key: BearerKey | None
    admin_key: BearerKey | None
    tls: dict[str, ssl.SSLContext]


def load_parts(
    config: Config, base_dir: Path, demo: LocalBackend, services: HandlerServices | None = None
) -> Parts:
    """All parts of a configuration; ConfigError has everything that can't be had.

    `services` are for the handlers of who serves.
    """
    problems: list[Problem] = []
    handlers = routes = verifier = key_of_publishers = key_of_operators = None
    with _collecting(problems):
        handlers = load_handlers(config, base_dir, services)
        routes = build_table(config, base_dir, handlers.chains, demo)
    with _collecting(problems):
        verifier = _verifier(config.grip, base_dir)
    with _collecting(problems):
        key_of_publishers = publish_key(config.publish, base_dir)
    with _collecting(problems):
        key_of_operators = admin_key(config.admin, base_dir)
    tls: dict[str, ssl.SSLContext] = {}
    for listener in config.server.tls:
        with _collecting(problems):
            tls[listener.listen] = _context(listener, base_dir)
    if handlers is None or routes is None or problems:
        raise ConfigError(problems)
    return Parts(handlers, routes, verifier, key_of_publishers, key_of_operators, tls)


@contextmanager
def _collecting(problems: list[Problem]) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        problems += error.problems


def _verifier(grip: Grip, base_dir: Path) -> Verifier | None:
    if not grip.upstream_key:
        return None
    return Verifier(SigningKey.from_secret(resolve_secret(grip.upstream_key, base_dir)))


def _context(tls: Tls, base_dir: Path) -> ssl.SSLContext:
    clients = None
    if tls.client_ca:
        required = tls.client_certificate == "required"
        clients = ClientAuthorities(base_dir / tls.client_ca, required=required)
    context = server_context(base_dir / tls.certificate, base_dir / tls.key, clients)
    if tls.certificates:
        folder = base_dir / tls.certificates
        context.sni_callback = Certificates(folder, clients).choose
    return context
