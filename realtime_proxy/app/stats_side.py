"""Who watches: the statistics socket and the metrics port, fed by all workers of an instance."""

import contextlib
import math
import os
import socket
from collections.abc import Callable

import trio

from realtime_proxy.config.addresses import parse_address, parse_mode
from realtime_proxy.config.schema import Config, Metrics
from realtime_proxy.exporters.metrics_port import LIMITS, MetricsPort
from realtime_proxy.exporters.zmq_stats import ZmqStats
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.packet import Packet
from realtime_proxy.metrics.statistics import Statistics
from realtime_proxy.metrics.tallied import Tallied
from realtime_proxy.metrics.tally import Tally, TallyRules
from realtime_proxy.net.internal_http import InternalHttpServer
from realtime_proxy.net.listening_sockets import ListeningSockets
from realtime_proxy.net.own_hosts import OwnHosts
from realtime_proxy.net.port_guard import PortGuard
from realtime_proxy.net.zmq_socket import PubSocket

# What is due is told no more often than this; what is counted here is taken at least so often.
_TICK_SECONDS = 0.1
_MAX_TICK_SECONDS = 1.0
_OWN = -1  # what is counted here, beside the workers


class StatsSide:
    """Opened at once, so that what is wrong is known before clients come; served by `run`."""

    def __init__(
        self,
        config: Config,
        counters: Counters,
        sockets: ListeningSockets | None = None,
        *,
        several: bool = False,
    ) -> None:
        """`counters` are those of the publish ports. Raises ConfigError for an address."""
        sockets = sockets or ListeningSockets()
        linger_seconds = config.publish.subscription_linger_seconds
        self._statistics = Statistics(config.stats, linger_seconds, merges=several)
        self._metrics = config.metrics
        self._own = Tally(TallyRules(), counters, lambda: None)
        # Called when the first comes who would hear of single clients, and when the last has gone:
        # there are two packets for each request, and most instances have nobody.
        self.on_visits_wanted: Callable[[bool], None] = lambda _is_wanted: None
        self._visits_wanted = True
        self._pub: PubSocket | None = None
        self._ticked_at = -math.inf
        self._sleep = trio.CancelScope()
        self._listener: socket.socket | None = None
        self._server: InternalHttpServer | None = None
        if config.stats.pub:
            mode = config.publish.ipc_mode
            self._pub = PubSocket(config.stats.pub, parse_mode(mode) if mode else None, sockets)
            self._zmq = ZmqStats(self._pub, config.stats.format, f"realtime-proxy_{os.getpid()}")
        try:
            if config.metrics.listen:
                address = parse_address(config.metrics.listen)
                self._listener = sockets.open(address, "metrics.listen")
        except BaseException:
            self.close()
            raise

    def add(self, worker: int, tallied: Tallied) -> None:
        """Take what a worker has counted."""
        self._tell(self._statistics.add(worker, tallied, trio.current_time()))
        if (next_tick_at := self._next_tick_at()) < self._sleep.deadline:
            self._sleep.deadline = next_tick_at

    def forget(self, worker: int) -> None:
        """A worker is gone."""
        self._tell(self._statistics.forget(worker, trio.current_time()))

    def _tell(self, packets: list[Packet]) -> None:
        if self._pub is not None:
            self._zmq.send(packets)

    async def run(self) -> None:
        """Serve until cancelled; nothing if nobody asks."""
        if self._pub is None and self._listener is None:
            return
        with contextlib.closing(self):
            async with trio.open_nursery() as nursery:
                if self._listener is not None:
                    prefix, guard = self._metrics.prefix, _guard(self._metrics)
                    port = MetricsPort(self._statistics, prefix, guard)
                    self._server = InternalHttpServer(LIMITS, port.answer)
                    nursery.start_soon(self._server.run, self._listener)
                nursery.start_soon(self._look_who_listens)
                nursery.start_soon(self._tick)

    async def _tick(self) -> None:
        while True:
            self._ticked_at = trio.current_time()
            self.add(_OWN, self._own.take())
            self._tell(self._statistics.tick(self._ticked_at))
            self._sleep = trio.CancelScope(deadline=self._next_tick_at())
            with self._sleep:
                await trio.sleep_forever()

    def _next_tick_at(self) -> float:
        soonest, latest = self._ticked_at + _TICK_SECONDS, self._ticked_at + _MAX_TICK_SECONDS
        return max(soonest, min(self._statistics.due_at, latest))

    async def _look_who_listens(self) -> None:
        while self._pub is not None:
            self._want_visits(self._zmq.tells("conn"))
            await self._pub.listeners_change()
        self._want_visits(False)

    def _want_visits(self, is_wanted: bool) -> None:
        if is_wanted != self._visits_wanted:
            self._visits_wanted = is_wanted
            self.on_visits_wanted(is_wanted)

    def end(self) -> None:
        """Tell nothing more: another process does so at these addresses."""
        if self._server is not None:
            self._server.end()
        self._close_pub()

    def close(self) -> None:
        """Give the addresses back."""
        self._close_pub()
        if self._listener is not None:
            self._listener.close()

    def _close_pub(self) -> None:
        if self._pub is not None:
            self._pub.close()
            self._pub = None


def _guard(settings: Metrics) -> PortGuard:
    if settings.allow_unauthenticated:  # everyone is answered, by whatever name
        hosts = OwnHosts(None)
    else:
        hosts = OwnHosts.of(parse_address(settings.listen))
    return PortGuard("metrics", hosts, "use an address, or a name without a dot")
