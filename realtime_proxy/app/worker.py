"""One worker: everything put together, and started in the order in which it depends."""

import contextlib
import gc
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
import trio

from realtime_proxy.backend.pool import Pool
from realtime_proxy.backend.request import BackendCaller
from realtime_proxy.channels.registry import Registry
from realtime_proxy.config.addresses import (
    Address,
    TcpAddress,
    parse_address,
    parse_mode,
    parse_tcp,
)
from realtime_proxy.config.schema import Config, Tls
from realtime_proxy.config.secrets import resolve_secret
from realtime_proxy.demo.backend import DemoBackend
from realtime_proxy.grip.signature import SigningKey, Verifier
from realtime_proxy.inputs.http_control import HttpControl
from realtime_proxy.inputs.intake import Intake
from realtime_proxy.inputs.zmq_pull import ZmqPull
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.item import Item
from realtime_proxy.net.client_socket import ClientSocket
from realtime_proxy.net.internal_http import InternalHttpServer, InternalLimits
from realtime_proxy.net.listeners import (
    Acceptor,
    Certificates,
    Room,
    open_listener,
    server_context,
)
from realtime_proxy.net.timers import Timers
from realtime_proxy.net.tls import TlsCodec, handshake
from realtime_proxy.net.watcher import Watcher
from realtime_proxy.net.zmq_socket import PullSocket
from realtime_proxy.pipeline.background import run_logged
from realtime_proxy.pipeline.registry import LoadedHandlers, load_handlers
from realtime_proxy.serving.context import ServingContext
from realtime_proxy.serving.http_connection import HttpConnection
from realtime_proxy.serving.live_route import build_table

_SWEEP_SECONDS = 1.0
# Full collections are rare once start-up is frozen: connections are few tracked objects each.
_GC_THRESHOLDS = (10_000, 50, 100)

log = structlog.get_logger()


_Listener = tuple[socket.socket, ssl.SSLContext | None]


class Worker:
    """Serves a configuration until cancelled."""

    def __init__(self, config: Config, base_dir: Path) -> None:
        self._config = config
        self._base_dir = base_dir
        self._timers = Timers()
        self._watcher = Watcher()
        self._counters = Counters()
        self._registry = Registry()
        self._intake = Intake(self._registry, self._timers, self._counters)
        self._pool = Pool(config.backend, self._timers)
        self._room = Room(config.server.max_connections)
        self._open: set[HttpConnection] = set()

    async def run(self, started: Callable[[list[str]], None] = lambda _: None) -> None:
        """Serve; `started` is called with the addresses once clients can connect.

        Raises ConfigError when something that is configured can't be had.
        """
        handlers = load_handlers(self._config, self._base_dir)
        with contextlib.ExitStack() as resources:
            resources.callback(self._watcher.close)
            resources.callback(self._pool.close)
            publish = self._open_publish_side(resources)
            listeners = self._open_listeners(resources)
            async with trio.open_nursery() as nursery:
                context = self._context(nursery, handlers)
                self._start_inside(nursery, handlers)
                for run in publish:
                    nursery.start_soon(run)
                for listener, tls in listeners:
                    taker = self._taker(context, tls)
                    nursery.start_soon(Acceptor(listener, taker, self._room).run)
                gc.collect()
                gc.freeze()
                gc.set_threshold(*_GC_THRESHOLDS)
                started([_shown(listener) for listener, _ in listeners])

    def _context(self, nursery: trio.Nursery, handlers: LoadedHandlers) -> ServingContext:
        config = self._config
        demo = DemoBackend(self._publish_one)
        upstream_key = config.grip.upstream_key
        verifier = None
        if upstream_key:
            secret = resolve_secret(upstream_key, self._base_dir)
            verifier = Verifier(SigningKey.from_secret(secret))
        return ServingContext(
            server=config.server,
            grip=config.grip,
            routes=build_table(config, self._base_dir, handlers.chains, demo.answer),
            registry=self._registry,
            timers=self._timers,
            watcher=self._watcher,
            nursery=nursery,
            caller=BackendCaller(self._pool),
            counters=self._counters,
            verifier=verifier,
            identity_headers=handlers.inbound_identity_headers,
        )

    def _publish_one(self, item: Item) -> int:
        return self._intake.submit([item])

    def _start_inside(self, nursery: trio.Nursery, handlers: LoadedHandlers) -> None:
        nursery.start_soon(self._timers.run)
        nursery.start_soon(self._watcher.run)
        nursery.start_soon(self._intake.run)
        nursery.start_soon(self._sweep)
        for handler in handlers.background:
            nursery.start_soon(run_logged, handler)

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(_SWEEP_SECONDS)
            self._pool.drop_expired()

    # -- publishing ------------------------------------------------------------------------

    def _open_publish_side(
        self, resources: contextlib.ExitStack
    ) -> list[Callable[[], Awaitable[None]]]:
        settings = self._config.publish
        runs: list[Callable[[], Awaitable[None]]] = []
        if settings.pull:
            mode = parse_mode(settings.ipc_mode) if settings.ipc_mode else None
            pull = resources.enter_context(PullSocket(settings.pull, mode))
            runs.append(ZmqPull(pull, self._intake, self._counters).run)
        if settings.http:
            listener = resources.enter_context(open_listener(parse_tcp(settings.http)))
            limits = InternalLimits(settings.max_header_bytes, settings.max_body_bytes)
            server = InternalHttpServer(limits, HttpControl(self._intake).answer)

            async def serve_control() -> None:
                await server.run(listener)

            runs.append(serve_control)
        return runs

    # -- clients ---------------------------------------------------------------------------

    def _open_listeners(self, resources: contextlib.ExitStack) -> list[_Listener]:
        """A socket for each address that clients may use, with the TLS context of those that have."""
        server = self._config.server
        plain: list[tuple[Address, ssl.SSLContext | None]] = [
            (parse_address(text), None) for text in server.listen
        ]
        secure = [(parse_tcp(tls.listen), self._tls_context(tls)) for tls in server.tls]
        return [
            (resources.enter_context(open_listener(address)), tls)
            for address, tls in (*plain, *secure)
        ]

    def _tls_context(self, tls: Tls) -> ssl.SSLContext:
        base = self._base_dir
        default = server_context(base / tls.certificate, base / tls.key)
        folder = base / tls.certificates if tls.certificates else None
        return Certificates(default, folder).default

    def _taker(
        self, context: ServingContext, tls: ssl.SSLContext | None
    ) -> Callable[[socket.socket, str], None]:
        """What to do with the connections of a listener."""

        def take(raw: socket.socket, peer: str) -> None:
            if tls is None:
                self._serve(context, raw, None, peer)
            else:
                context.nursery.start_soon(self._shake_hands, context, raw, tls, peer)

        return take

    async def _shake_hands(
        self, context: ServingContext, raw: socket.socket, tls: ssl.SSLContext, peer: str
    ) -> None:
        codec = TlsCodec(tls, None)
        try:
            with trio.fail_after(self._config.server.header_timeout_seconds):
                await handshake(raw, codec)
        except (OSError, ssl.SSLError, trio.TooSlowError) as error:
            log.info("TLS handshake failed", peer=peer, problem=str(error))
            raw.close()
            self._room.leave()
            return
        self._serve(context, raw, codec, peer)

    def _serve(
        self, context: ServingContext, raw: socket.socket, tls: TlsCodec | None, peer: str
    ) -> None:
        self._counters.connections += 1
        client = ClientSocket(raw, tls, self._watcher, self._config.server.max_backlog_bytes)
        connection = HttpConnection(
            context, client, peer, tls=tls is not None, on_closed=self._closed
        )
        self._open.add(connection)
        connection.wait()

    def _closed(self, connection: HttpConnection) -> None:
        self._open.discard(connection)
        self._room.leave()

    def close_all(self) -> None:
        """Close every client connection."""
        for connection in list(self._open):
            connection.close(CloseReason.SHUTDOWN)


def _shown(listener: socket.socket) -> str:
    name = listener.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    return str(TcpAddress(name[0], name[1]))
