"""What an instance has one of, however many workers: where publishers, watchers, operators come."""

import contextlib
from pathlib import Path

import structlog
import trio

from realtime_proxy.app.admin_side import AdminSide
from realtime_proxy.app.parts import Parts
from realtime_proxy.app.publish_side import PublishSide
from realtime_proxy.app.stats_side import StatsSide
from realtime_proxy.config.schema import Config
from realtime_proxy.inputs.consumer_store import ConsumerStore
from realtime_proxy.inputs.overview import Overview
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.readiness import Readiness
from realtime_proxy.net.listening_sockets import ListeningSockets

# A start does not wait longer for the store of consumers.
_LEARN_SECONDS = 3.0

log = structlog.get_logger()


class Sides:
    """All of them, opened at once, so that what is wrong is known before clients come."""

    def __init__(
        self,
        config: Config,
        counters: Counters,
        base_dir: Path,
        sockets: ListeningSockets,
        overview: Overview,
        store: ConsumerStore | None = None,
        *,
        several: bool = False,
    ) -> None:
        """Raises ConfigError when an address can't be had, or a key can't be used."""
        self._store = store
        with contextlib.ExitStack() as opened:
            self.stats = StatsSide(config, counters, sockets, several=several)
            opened.callback(self.stats.close)
            self.publish = PublishSide(config.publish, counters, base_dir, sockets)
            opened.callback(self.publish.close)
            self.admin = AdminSide(config.admin, overview, base_dir, store, sockets)
            opened.callback(self.admin.close)
            self._opened = opened.pop_all()

    def adopt(self, config: Config, parts: Parts) -> None:
        """Go by this configuration from now on; addresses stay."""
        self.publish.adopt(config.publish, parts.publish_key)
        self.admin.adopt(config.admin, parts.admin_key)

    async def learn(self, nursery: trio.Nursery) -> None:
        """Begin to follow the store of consumers; back when it is known, or can't be asked."""
        if self._store is None:
            return
        nursery.start_soon(self._store.watch)
        with trio.move_on_after(_LEARN_SECONDS) as waiting:
            await self._store.known()
        if waiting.cancelled_caught:
            log.warning("consumers are not known yet")

    def watch(self, nursery: trio.Nursery) -> None:
        """Begin to answer those who watch and operate."""
        nursery.start_soon(self.admin.run)
        nursery.start_soon(self.stats.run)

    def turn(self, readiness: Readiness) -> None:
        """From now on, load balancers are told this."""
        self.admin.turn(readiness)

    async def send_away(self) -> None:
        """Have all who come here go to the process that listens with the same sockets."""
        self.admin.end()
        self.stats.end()
        await self.publish.send_away()

    def close(self) -> None:
        """Give the addresses back."""
        self._opened.close()
