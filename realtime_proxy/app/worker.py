"""One worker: everything put together, and started in the order in which it depends."""

import contextlib
import gc
import math
import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import chain
from pathlib import Path
from random import SystemRandom

import structlog
import trio

from realtime_proxy.app.bounds import Bounds
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
from realtime_proxy.config.addresses import UnixAddress
from realtime_proxy.config.schema import Config
from realtime_proxy.demo.backend import DemoBackend
from realtime_proxy.inputs.door import Door
from realtime_proxy.inputs.open_connections import OpenConnections
from realtime_proxy.inputs.worker_link import WorkerLink
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.tallied import Tallied
from realtime_proxy.metrics.tally import Tally, TallyRules
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.item import Item
from realtime_proxy.net.acceptor import Acceptor
from realtime_proxy.net.client_socket import ClientSocket
from realtime_proxy.net.crew import Crew
from realtime_proxy.net.handover import HandedOverSocket, Parcel
from realtime_proxy.net.listeners import open_listener
from realtime_proxy.net.timers import Timers
from realtime_proxy.net.tls import TlsCodec
from realtime_proxy.net.watcher import Watcher
from realtime_proxy.net.zmq_socket import PairSocket
from realtime_proxy.pipeline.background import run_logged
from realtime_proxy.pipeline.services import HandlerServices
from realtime_proxy.pipeline.stored_consumers import StoredConsumers
from realtime_proxy.serving.all_clients import AllClients
from realtime_proxy.serving.connection_list import ConnectionList
from realtime_proxy.serving.context import ServingContext
from realtime_proxy.serving.drain import FINISH_SECONDS, Drain
from realtime_proxy.serving.held_identities import HeldIdentities
from realtime_proxy.serving.http_connection import HttpConnection
from realtime_proxy.serving.live_target import zhttp_addresses
from realtime_proxy.serving.neighbours import Neighbours
from realtime_proxy.serving.roll import Roll
from realtime_proxy.serving.sockjs_sessions import SockJsSessions

_SWEEP_SECONDS = 1.0
# While clients are let go, so often is looked whether all have left.
_LOOK_SECONDS = 0.05
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
        self._open: set[HttpConnection] = set()
        self._sockjs = SockJsSessions()
        self._clients = AllClients(self._open, self._sockjs)
        http = PooledHttpClient(BackendCaller(self._pool))
        self._identities = HeldIdentities(self._clients)
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
        self._connections = OpenConnections(f"worker_{os.getpid()}", self._open)
        self._entrance = self._entrance_of(link_socket)
        self._on_tallied = on_tallied
        self._tally = self._new_tally()
        self._on_closed = self._closed  # made once: each access makes a new object
        self._acceptors: set[Acceptor] = set()
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
            rules, self._counters, self._tell_soon, self._connections.sender, self._clients
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
        self._bounds.adopt(config, chain((client.peer for client in self._open), entering))
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
                serve = partial(self._serve, context)
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
                    nursery.start_soon(self._accept, listener, reception)
                if self._neighbours is not None:
                    nursery.start_soon(self._accept_from, self._neighbours, context)
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
            sockjs=self._sockjs,
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
            self._bounds.look(now)
            self._counters.log_lines_left_out = FLOOD.left_out
            self._entrance.channels.expire(now)
            if self._tally is not None:
                self._tally.tick(now)
                self._tally.backlog_bytes = self._bounds.backlogs.total_bytes
                self._tally.changed()

    # -- clients ---------------------------------------------------------------------------

    async def _accept(self, listener: Listener, reception: Reception) -> None:
        taker = reception.taker(listener)
        acceptor = Acceptor(listener.socket, taker, self._bounds.entrance)
        self._acceptors.add(acceptor)
        if self._context is not None and self._context.drain is not None:
            acceptor.end()  # the stop was heard of first
        await acceptor.run()
        self._acceptors.remove(acceptor)

    def _serve(
        self, context: ServingContext, raw: socket.socket, tls: TlsCodec | None, peer: str
    ) -> None:
        """Serve a client whose address is known, and whose TLS stands."""
        self._counters.connections += 1
        client = ClientSocket(raw, tls, self._watcher, self._bounds.backlogs)
        self._connection(context, client, peer, tls=tls is not None).begin()

    def _connection(
        self, context: ServingContext, client: ClientSocket, peer: str, *, tls: bool
    ) -> HttpConnection:
        connection = HttpConnection(context, client, peer, tls=tls, on_closed=self._on_closed)
        self._open.add(connection)
        return connection

    async def _accept_from(self, neighbours: Neighbours, context: ServingContext) -> None:
        """Have the clients that other workers hand over."""
        listening = open_listener(UnixAddress(neighbours.own_path))
        taker = partial(self._take_over, context)
        await Acceptor(listening, taker, self._bounds.entrance).run()

    def _take_over(self, context: ServingContext, stream: socket.socket, _peer: str) -> None:
        async def receive(_scope: trio.CancelScope) -> None:
            try:
                parcel = await Parcel.receive(stream)
            except (OSError, ValueError) as error:
                log.error("a connection was not handed over", problem=str(error))
                self._bounds.entrance.room.leave()
                return
            self._bounds.addresses.move_in(parcel.peer)
            client = HandedOverSocket(parcel, self._watcher, self._bounds.backlogs)
            connection = self._connection(context, client, parcel.peer, tls=parcel.tls)
            connection.begin_with(parcel.data)

        context.crew.start(receive)

    def _closed(self, connection: HttpConnection) -> None:
        self._open.discard(connection)
        self._bounds.left(connection.peer)

    # -- the end ---------------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Take no new clients, let those go that are held over so many seconds, and end `run`.

        Requests that are under way are finished, if that does not take much longer.
        """
        context = self._context
        if context is not None and context.drain is None:
            if self._open:
                log.info("draining", connections=len(self._open), seconds=seconds)
            drain = context.drain = Drain(self.timers, seconds, SystemRandom())
            for acceptor in self._acceptors:
                acceptor.end()
            drain.begin(list(self._clients))
            with trio.move_on_after(seconds + FINISH_SECONDS):
                await trio.sleep(_LOOK_SECONDS)  # accepting may be just about to begin
                # Backends are still told of clients that have left.
                while self._acceptors or self._clients.are_there or context.crew.at_work:  # noqa: ASYNC110
                    await trio.sleep(_LOOK_SECONDS)
        self.close_all()
        self._running.cancel()

    def close_all(self) -> None:
        """Close every client connection."""
        for client in list(self._clients):
            client.close(CloseReason.SHUTDOWN)
