"""One worker: everything put together, and started in the order in which it depends."""

import contextlib
import gc
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog
import trio

from realtime_proxy.app.listeners import Listener
from realtime_proxy.app.parts import load_parts
from realtime_proxy.backend.pool import Pool
from realtime_proxy.backend.request import BackendCaller
from realtime_proxy.channels.registry import Registry
from realtime_proxy.config.schema import Config
from realtime_proxy.demo.backend import DemoBackend
from realtime_proxy.inputs.door import Door
from realtime_proxy.inputs.worker_link import WorkerLink
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.item import Item
from realtime_proxy.net.client_socket import ClientSocket
from realtime_proxy.net.crew import Crew
from realtime_proxy.net.listeners import Acceptor, Room
from realtime_proxy.net.timers import Timers
from realtime_proxy.net.tls import TlsCodec, handshake
from realtime_proxy.net.watcher import Watcher
from realtime_proxy.net.zmq_socket import PairSocket
from realtime_proxy.pipeline.background import run_logged
from realtime_proxy.serving.context import ServingContext
from realtime_proxy.serving.http_connection import HttpConnection

_SWEEP_SECONDS = 1.0
# Full collections are rare once start-up is frozen: connections are few tracked objects each.
_GC_THRESHOLDS = (10_000, 50, 100)

log = structlog.get_logger()


class Worker:
    """Serves a configuration until cancelled."""

    def __init__(
        self,
        config: Config,
        base_dir: Path,
        link_socket: PairSocket | None = None,
    ) -> None:
        """Raises ConfigError when something that is configured can't be had.

        `link_socket` leads to the supervisor; without one, publishers come to `door`.
        """
        self._config = config
        self._parts = load_parts(config, base_dir, DemoBackend(self._publish_one).answer)
        self._timers = Timers()
        self._watcher = Watcher()
        self._counters = Counters()
        self._registry = Registry()
        self._entrance = self._entrance_of(link_socket)
        self._pool = Pool(config.backend, self._timers, self._watcher)
        self._on_closed = self._closed  # made once: each access makes a new object
        self._room = Room(config.server.max_connections)
        self._open: set[HttpConnection] = set()

    def _entrance_of(self, link_socket: PairSocket | None) -> Door | WorkerLink:
        settings = self._config.publish
        if link_socket is None:
            return Door(settings, self._registry, self._timers, self._counters)
        return WorkerLink(link_socket, settings, self._registry, self._timers)

    @property
    def door(self) -> Door:
        """Where publishers come in the only process."""
        if not isinstance(self._entrance, Door):
            raise TypeError("publishers come to the supervisor")
        return self._entrance

    async def run(self, listeners: list[Listener]) -> None:
        """Serve the clients of these listeners, which are closed at the end."""
        with contextlib.ExitStack() as resources:
            resources.callback(self._watcher.close)
            resources.callback(self._pool.close)
            async with trio.open_nursery() as nursery:
                context = self._context(nursery)
                self._start_inside(nursery)
                for listener in listeners:
                    tls = None if listener.tls is None else self._parts.tls[listener.tls.listen]
                    taker = self._taker(context, tls)
                    nursery.start_soon(Acceptor(listener.socket, taker, self._room).run)
                gc.collect()
                gc.freeze()
                gc.set_threshold(*_GC_THRESHOLDS)
                if isinstance(self._entrance, WorkerLink):
                    self._entrance.tell_ready()

    def _context(self, nursery: trio.Nursery) -> ServingContext:
        config, parts = self._config, self._parts
        return ServingContext(
            server=config.server,
            forwarded=config.forwarded,
            grip=config.grip,
            routes=parts.routes,
            registry=self._registry,
            timers=self._timers,
            watcher=self._watcher,
            crew=Crew(nursery),
            caller=BackendCaller(self._pool),
            counters=self._counters,
            verifier=parts.verifier,
            identity_headers=parts.handlers.inbound_identity_headers,
            channels=self._entrance.channels,
            intake=self._entrance.intake,
        )

    def _publish_one(self, item: Item) -> int:
        return self._entrance.publish(item)

    def _start_inside(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self._timers.run)
        nursery.start_soon(self._watcher.run)
        nursery.start_soon(self._entrance.intake.run)
        nursery.start_soon(self._sweep)
        if isinstance(self._entrance, WorkerLink):
            nursery.start_soon(self._entrance.run)
        for handler in self._parts.handlers.background:
            nursery.start_soon(run_logged, handler)

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(_SWEEP_SECONDS)
            self._pool.drop_expired()
            self._entrance.channels.expire(self._timers.now())

    # -- clients ---------------------------------------------------------------------------

    def _taker(
        self, context: ServingContext, tls: ssl.SSLContext | None
    ) -> Callable[[socket.socket, str], None]:
        """What to do with the connections of a listener."""

        def take(raw: socket.socket, peer: str) -> None:
            if tls is None:
                self._serve(context, raw, None, peer)
            else:
                context.crew.start(partial(self._shake_hands, context, raw, tls, peer))

        return take

    async def _shake_hands(
        self,
        context: ServingContext,
        raw: socket.socket,
        tls: ssl.SSLContext,
        peer: str,
        _scope: trio.CancelScope,
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
            context, client, peer, tls=tls is not None, on_closed=self._on_closed
        )
        self._open.add(connection)
        connection.begin()

    def _closed(self, connection: HttpConnection) -> None:
        self._open.discard(connection)
        self._room.leave()

    def close_all(self) -> None:
        """Close every client connection."""
        for connection in list(self._open):
            connection.close(CloseReason.SHUTDOWN)
