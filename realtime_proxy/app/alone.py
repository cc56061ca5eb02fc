"""An instance of one process: everything is here, without a supervisor or a relay."""

import contextlib
from functools import partial
from pathlib import Path

import trio

from realtime_proxy.app.consumer_side import open_store
from realtime_proxy.app.listeners import Listener, listeners_of_slots
from realtime_proxy.app.parts import Parts
from realtime_proxy.app.predecessor import Predecessor
from realtime_proxy.app.sides import Sides
from realtime_proxy.app.worker import Worker
from realtime_proxy.config.schema import Config
from realtime_proxy.inputs.door import Door
from realtime_proxy.inputs.hub import Hub
from realtime_proxy.inputs.publishing import Publishing
from realtime_proxy.inputs.succession import Succession
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.tallied import Tallied
from realtime_proxy.model.readiness import Readiness
from realtime_proxy.net.listening_sockets import ListeningSockets


class Alone:
    """Serves a configuration in this process until cancelled, or until `drain` has ended."""

    def __init__(
        self,
        config: Config,
        base_dir: Path,
        sockets: ListeningSockets,
        predecessor: Predecessor | None = None,
    ) -> None:
        """Opens everything. Raises ConfigError when something can't be had."""
        self._config = config
        self._predecessor = predecessor
        self._worker = Worker(config, base_dir, on_tallied=self._tallied)
        with contextlib.ExitStack() as opened:
            store = open_store(config.consumers, base_dir, self._worker.stored, opened)
            overview = self.door.overview
            self.sides = Sides(config, Counters(), base_dir, sockets, overview, store)
            opened.callback(self.sides.close)
            self.listeners: list[Listener] = listeners_of_slots(config.server, 1, sockets)[0]
            self._opened = opened.pop_all()
        self.sides.stats.on_visits_wanted = self._worker.tell_visits

    @property
    def door(self) -> Door:
        """Where publishers come."""
        return self._worker.door

    def _tallied(self, tallied: Tallied) -> None:
        self.sides.stats.add(0, tallied)

    # -- the configuration -------------------------------------------------------------------

    def prepare(self, config: Config) -> Parts:
        """What a configuration needs besides itself. Raises ConfigError. May run in a thread."""
        return self._worker.prepare(config)

    def adopt(self, config: Config, parts: Parts) -> None:
        """Serve by this configuration from now on; who is connected stays."""
        self._config = config
        self._worker.adopt(config, parts)
        self.sides.adopt(config, parts)

    def reopen_logs(self) -> None:
        """There are no others than that of this process."""

    # -- from the start to the end -----------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve; `task_status` is told once clients can connect."""
        async with trio.open_nursery() as nursery:
            await self.sides.learn(nursery)
            if self._predecessor is None:
                self.sides.watch(nursery)
            await nursery.start(self._worker.run, self.listeners, partial(self._open, nursery))
            if self._predecessor is not None:
                await self._predecessor.tell_serving()
            self.sides.turn(Readiness.READY)
            task_status.started()

    async def _open(self, nursery: trio.Nursery) -> None:
        """Let publishers in, before any client comes."""
        publishing: Publishing = self.door
        if self._predecessor is not None:
            publishing = await self._join(self._predecessor, nursery)
            self.sides.watch(nursery)
        nursery.start_soon(self.sides.publish.run, publishing)

    async def _join(self, predecessor: Predecessor, nursery: trio.Nursery) -> Succession:
        hub = Hub(self._config.publish, self._worker.timers, Counters())
        succession = Succession(self.door, hub)
        hub.on_published = succession.submit
        await predecessor.join(hub, nursery)
        nursery.start_soon(_end_with, predecessor, succession)
        return succession

    async def drain(self, seconds: float) -> None:
        """Let all clients go over so many seconds."""
        self.sides.turn(Readiness.DRAINING)
        await self._worker.drain(seconds)

    def cut(self) -> None:
        """Close every client connection."""
        self._worker.close_all()

    def close(self) -> None:
        """Give the addresses back."""
        self._opened.close()
        for listener in self.listeners:
            listener.socket.close()


async def _end_with(predecessor: Predecessor, succession: Succession) -> None:
    await predecessor.gone.wait()
    succession.end()
