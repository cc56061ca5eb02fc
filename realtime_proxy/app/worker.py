"""One worker: everything put together, and started in the order in which it depends."""

import contextlib
import gc
import math
import os
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import chain
from pathlib import Path

import structlog
import trio

from realtime_proxy.app.bounds import Bounds
from realtime_proxy.app.clients import Clients
from realtime_proxy.app.descriptors import raise_descriptor_limit
from realtime_proxy.app.listeners import Listener
from realtime_proxy.app.log_flood import FLOOD
from realtime_proxy.app.logs import reopen_log
from realtime_proxy.app.parts import Parts, load_parts
from realtime_proxy.app.reception import Reception
from realtime_proxy.app.reload import put_in_place
from realtime_proxy.backend.fetched_key_sets import FetchedKeySets
from realtime_proxy.backend.http_client import PooledHttpClient
from realtime_proxy.backend.pool import Pool
from realtime_proxy.backend.redis_connection import KeptRedisConnection
from realtime_proxy.backend.request import BackendCaller
from realtime_proxy.backend.zhttp_peers import ZhttpPeers
from realtime_proxy.channels.channel_tally import ChannelTally
from realtime_proxy.channels.registry import Registry
from realtime_proxy.config.schema import Config
from realtime_proxy.demo.backend import DemoBackend
from realtime_proxy.inputs.door import Door
from realtime_proxy.inputs.open_connections import OpenConnections
from realtime_proxy.inputs.worker_link import WorkerLink
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.tallied import Tallied
from realtime_proxy.metrics.tally import Tally, TallyRules
from realtime_proxy.model.item import Item
from realtime_proxy.net.crew import Crew
from realtime_proxy.net.timers import Timers
from realtime_proxy.net.watcher import Watcher
from realtime_proxy.net.zmq_socket import PairSocket
from realtime_proxy.pipeline.background import run_logged
from realtime_proxy.pipeline.services import HandlerServices
from realtime_proxy.pipeline.stored_consumers import StoredConsumers
from realtime_proxy.serving.connection_list import ConnectionList
from realtime_proxy.serving.context import ServingContext
from realtime_proxy.serving.held_identities import HeldIdentities
from realtime_proxy.serving.live_target import zhttp_addresses
from realtime_proxy.serving.neighbours import Neighbours
from realtime_proxy.serving.roll import Roll

_SWEEP_SECONDS = 1.0
# What is counted is told so much later, and together.
_TELL_SECONDS = 0.05
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
        on_tallied: Callable[[Tallied], None] | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        """Raises ConfigError when something that is configured can't be had.

        `link_socket` leads to the supervisor; without one, publishers come to `door`, and what is
        counted goes to `on_tallied`. `neighbours` are the other workers.
        """
        self._neighbours = neighbours
        self._config = config
        self._base_dir = base_dir
        self._demo = DemoBackend(self._publish_one).answer
        self._zhttp = ZhttpPeers()
        self.timers = Timers()
        self._watcher = Watcher()
        self._counters = Counters()
        self._bounds = Bounds(config, self._counters)
        self._pool = Pool(
            config.backend, self.timers, self._watcher, self._bounds.entrance.descriptors
        )
        self._clients = Clients(self.timers, self._watcher, self._bounds, self._counters)
        http = PooledHttpClient(BackendCaller(self._pool))
        self._identities = HeldIdentities(self._clients.all)
        self.stored = StoredConsumers()
        self.stored.on_lapsed = self._revoke_lapsed
        self._services = HandlerServices(
            http,
            self._identities,
            FetchedKeySets(http),
            self.stored,
            self._counters,
            KeptRedisConnection,
        )
        self._parts = self.prepare(config)
        self._context: ServingContext | None = None
        self._reception: Reception | None = None
        self._background = trio.CancelScope()
        self._registry = Registry()
        self._connections = OpenConnections(f"worker_{os.getpid()}", self._clients.open)
        self._entrance = self._entrance_of(link_socket)
        self._on_tallied = on_tallied
        self._tally = self._new_tally()
        self._running = trio.CancelScope()

    def _entrance_of(self, link_socket: PairSocket | None) -> Door | WorkerLink:
        settings, connections = self._config.publish, self._connections
        if link_socket is None:
            return Door(settings, self._registry, connections, self.timers, self._counters)
        return WorkerLink(
            link_socket, settings, self._registry, connections, self.timers, self._counters
        )

    def _new_tally(self) -> Tally | None:
        """What is counted, if anybody asks; the channels tell of theirs."""
        rules = TallyRules.of(self._config)
        if rules is None:
            return None
        if isinstance(self._entrance, WorkerLink):
            self._on_tallied = self._entrance.tell_tallied
            self._entrance.on_visits_wanted = self.tell_visits
        tally = Tally(
            rules, self._counters, self._tell_soon, self._connections.sender, self._clients.all
        )
        channel_tally = ChannelTally(tally, self._registry)
        self._registry.on_changed = channel_tally.changed
        self._entrance.intake.tally = channel_tally
        return tally

    def _tell_soon(self) -> None:
        self.timers.after(_TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        if self._tally is not None and self._on_tallied is not None:
            self._on_tallied(self._tally.take())

    def tell_visits(self, is_wanted: bool) -> None:
        """Tell of each client, or not, as nobody would hear of it."""
        if self._tally is not None:
            self._tally.tell_visits(is_wanted)

    @property
    def door(self) -> Door:
        """Where publishers come in the only process."""
        if not isinstance(self._entrance, Door):
            raise TypeError("publishers come to the supervisor")
        return self._entrance

    def _revoke_lapsed(self) -> None:
        """Close what was opened with credentials that count no more."""
        self._identities.revoke(lambda identity: identity.has_lapsed)

    # -- the configuration -----------------------------------------------------------------

    def prepare(self, config: Config) -> Parts:
        """What a configuration needs besides itself. Raises ConfigError. May run in a thread."""
        parts = load_parts(config, self._base_dir, self._demo, self._services)
        self._zhttp.open(zhttp_addresses(config))
        return parts

    def adopt(self, config: Config, parts: Parts) -> None:
        """Serve by this configuration; who is connected stays. Before a stop nothing changes."""
        if self._context is not None and self._context.drain is not None:
            return
        raise_descriptor_limit(config.server.max_connections)
        self._config, self._parts = config, parts
        entering = () if self._reception is None else self._reception.entering
        self._bounds.adopt(config, chain(self._clients.peers, entering))
        self._pool.settings = config.backend
        self._zhttp.keep(zhttp_addresses(config))
        self._entrance.adopt(config.publish)
        self._background.cancel()
        if self._context is not None and self._reception is not None:
            self._give_configuration(self._context, self._reception)

    def _give_configuration(self, context: ServingContext, reception: Reception) -> None:
        parts = self._parts
        handlers = parts.handlers
        self._identities.handlers = handlers.handlers
        context.adopt(
            self._config,
            parts.routes,
            parts.verifier,
            handlers.inbound_identity_headers,
            handlers.secret_names,
        )
        context.known.forget()
        self._pool.known.forget()
        reception.adopt(self._config.server, parts.tls, context.proxies.is_known)

    async def _run_handlers(self) -> None:
        """Run what handlers do in the background; with the next configuration those of that one."""
        while True:
            with trio.CancelScope() as self._background:
                async with trio.open_nursery() as nursery:
                    for handler in self._parts.handlers.background:
                        nursery.start_soon(run_logged, handler)
                    await trio.sleep_forever()

    async def _obey(self, link: WorkerLink, nursery: trio.Nursery) -> None:
        """Do as the supervisor says: each configuration was fine when it looked."""
        link.on_reopen = lambda: reopen_log(self._config.log)
        send, receive = trio.open_memory_channel[Config](math.inf)
        link.on_configure = send.send_nowait
        link.on_drain = lambda seconds: nursery.start_soon(self.drain, seconds)
        async for config in receive:
            await put_in_place(config, self.prepare, self.adopt)

    # -- serving ---------------------------------------------------------------------------

    async def run(
        self,
        listeners: list[Listener],
        open_up: Callable[[], Awaitable[None]] | None = None,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve the clients of these listeners, until all are gone that `drain` lets go.

        `open_up` is awaited before any is accepted. The listeners are closed at the end.
        """
        with contextlib.ExitStack() as resources:
            resources.callback(self._watcher.close)
            resources.callback(self._pool.close)
            for listener in listeners:
                resources.callback(listener.socket.close)
            async with trio.open_nursery() as nursery:
                self._running = nursery.cancel_scope
                context = self._context = self._new_context(nursery)
                serve = partial(self._clients.serve, context)
                reception = self._reception = Reception(
                    context.crew, serve, self._bounds.addresses, self._bounds.entrance.room.leave
                )
                self._give_configuration(context, reception)
                self._entrance.inspector = ConnectionList(context)
                if isinstance(self._entrance, WorkerLink):
                    self._entrance.stored = self.stored
                    self._entrance.on_renew = self._identities.renew_here
                    self._identities.elsewhere = self._entrance.renew_elsewhere
                self._start_inside(nursery)
                gc.collect()
                gc.freeze()
                gc.set_threshold(*_GC_THRESHOLDS)
                if isinstance(self._entrance, WorkerLink):
                    if self._config.consumers.store:
                        await self._entrance.learn_consumers()
                    self._entrance.tell_ready()
                    await self._entrance.admitted()
                if open_up is not None:
                    await open_up()
                for listener in listeners:
                    self._bounds.govern(listener.socket)
                    taker = reception.taker(listener)
                    nursery.start_soon(self._clients.accept, listener.socket, taker, context)
                if self._neighbours is not None:
                    nursery.start_soon(self._clients.accept_from, self._neighbours, context)
                task_status.started()

    def _new_context(self, nursery: trio.Nursery) -> ServingContext:
        if self._tally is not None:
            self._tally.tick(self.timers.now())
        return ServingContext(
            registry=self._registry,
            timers=self.timers,
            watcher=self._watcher,
            crew=Crew(nursery),
            caller=BackendCaller(self._pool),
            counters=self._counters,
            zhttp=self._zhttp,
            identities=self._identities,
            backlogs=self._bounds.backlogs,
            unsent=self._bounds.unsent,
            tally=self._tally,
            channels=self._entrance.channels,
            intake=self._entrance.intake,
            connections=self._connections,
            roll=Roll() if self._config.admin.listen else None,
            sockjs=self._clients.sockjs,
            neighbours=self._neighbours,
        )

    def _publish_one(self, item: Item) -> int:
        return self._entrance.publish(item)

    def _start_inside(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self.timers.run)
        nursery.start_soon(self._watcher.run)
        nursery.start_soon(self._entrance.intake.run)
        nursery.start_soon(self._sweep)
        nursery.start_soon(self._zhttp.run)
        if isinstance(self._entrance, WorkerLink):
            nursery.start_soon(self._obey, self._entrance, nursery)
            nursery.start_soon(self._entrance.run)
        nursery.start_soon(self._run_handlers)

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(_SWEEP_SECONDS)
            now = self.timers.now()
            self._pool.drop_expired()
            if self._context is not None:
                self._context.known.age(now)
            self._bounds.look(now)
            self._counters.log_lines_left_out = FLOOD.left_out
            self._entrance.channels.expire(now)
            if self._tally is not None:
                self._tally.tick(now)
                self._tally.backlog_bytes = self._bounds.backlogs.total_bytes
                self._tally.changed()

    # -- the end ---------------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Take no new clients, let those go that are held over so many seconds, and end `run`.

        Requests that are under way are finished, if that does not take much longer.
        """
        context = self._context
        if context is not None and context.drain is None:
            await self._clients.let_go(context, seconds)
        self.close_all()
        self._running.cancel()

    def close_all(self) -> None:
        """Close every client connection."""
        self._clients.close()
