"""Several workers: started, replaced when they die, fed with what is published.

The supervisor owns what there can be only one of: the publish inputs and the listening sockets.
Each worker slot has sockets of its own for every address, which stay open here, so that a replaced
worker loses none of the clients that wait to be accepted.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import structlog
import trio

from realtime_proxy.app.consumer_side import open_store
from realtime_proxy.app.listeners import Listener, listeners_of_slots
from realtime_proxy.app.parts import Parts, load_parts
from realtime_proxy.app.predecessor import Predecessor
from realtime_proxy.app.sides import Sides
from realtime_proxy.app.worker_process import WorkerOrder
from realtime_proxy.config.schema import Config
from realtime_proxy.demo.backend import DemoBackend
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.inputs.hub import Hub
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.readiness import Readiness
from realtime_proxy.net.listening_sockets import ListeningSockets
from realtime_proxy.net.timers import Timers
from realtime_proxy.net.zmq_socket import PairSocket
from realtime_proxy.pipeline.stored_consumers import StoredConsumers
from realtime_proxy.serving.drain import FINISH_SECONDS

# Workers of one slot are not started faster than this: they may die at once, for ever. With the
# start of the next one it stays within two seconds.
_START_INTERVAL_SECONDS = 1.0
_STOP_SECONDS = 10.0
# Not from the working directory, where a file of a site may have the name of a library.
_COMMAND = (sys.executable, "-P", "-m", "realtime_proxy.app.worker_process")

log = structlog.get_logger()


class Supervisor:
    """Serves a configuration with several worker processes until cancelled."""

    def __init__(
        self,
        config: Config,
        base_dir: Path,
        workers: int,
        sockets: ListeningSockets | None = None,
        predecessor: Predecessor | None = None,
    ) -> None:
        """Opens everything. Raises ConfigError when something can't be had, here or by workers."""
        self._workers = workers
        self._config = _of_one_worker(config, workers)
        self._base_dir = base_dir.absolute()
        counters = Counters()
        self._timers = Timers()
        self.door = Hub(config.publish, self._timers, counters)
        self._predecessor = predecessor
        self.prepare(config)
        sockets = sockets or ListeningSockets()
        with contextlib.ExitStack() as opened:
            book = StoredConsumers()
            store = open_store(config.consumers, base_dir, book, opened)
            if store is not None:
                self.door.consumers, store.on_changed = book, self.door.tell_consumer
                store.on_known = self.door.tell_consumers
            self.sides = Sides(
                config, counters, base_dir, sockets, self.door.overview, store, several=True
            )
            opened.callback(self.sides.close)
            self.slots = listeners_of_slots(config.server, workers, sockets)
            self._opened = opened.pop_all()
        self.door.on_tallied = self.sides.stats.add
        self.door.on_gone = self.sides.stats.forget
        self.sides.stats.on_visits_wanted = self.door.tell_visits
        self._is_draining = False
        self._kept = workers
        self._all_ended = trio.Event()
        for listeners in self.slots:
            for listener in listeners:
                self._opened.callback(listener.socket.close)

    def close(self) -> None:
        """Give the addresses back."""
        self._opened.close()

    def prepare(self, config: Config) -> Parts:
        """Try what workers will need. Raises ConfigError. May run in a thread."""
        return load_parts(config, self._base_dir, DemoBackend(lambda _item: 0).answer)

    def adopt(self, config: Config, parts: Parts) -> None:
        """Have all workers serve by this configuration, those that come later too."""
        self._config = _of_one_worker(config, self._workers)
        self.sides.adopt(config, parts)
        self.door.configure(self._config)

    def reopen_logs(self) -> None:
        """Have all workers begin a new log file."""
        self.door.reopen_logs()

    @property
    def listeners(self) -> list[Listener]:
        """The sockets of the first slot, at all addresses."""
        return self.slots[0]

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve; `task_status` is told once clients of every worker can connect.

        Raises ConfigError (in a group) when a worker ends before it could serve once.
        """
        with (
            _lifeline() as lifeline,
            tempfile.TemporaryDirectory(prefix="realtime-proxy-") as folder,
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._timers.run)
                await self.sides.learn(nursery)
                if self._predecessor is None:
                    self.sides.watch(nursery)
                ready = [trio.Event() for _ in self.slots]
                for slot, event in enumerate(ready):
                    link = f"ipc://{folder}/{slot}"
                    nursery.start_soon(self._keep_worker, slot, link, lifeline, event)
                for event in ready:
                    await event.wait()
                if self._predecessor is not None:
                    await self._predecessor.join(self.door, nursery)
                    self.sides.watch(nursery)
                nursery.start_soon(self.sides.publish.run, self.door)
                self.door.admit()
                if self._predecessor is not None:
                    await self._predecessor.tell_serving()
                self.sides.turn(Readiness.READY)
                task_status.started()

    async def drain(self, seconds: float) -> None:
        """Have all workers let their clients go over so many seconds; back when they have ended."""
        self._is_draining = True
        self.sides.turn(Readiness.DRAINING)
        self.door.drain(seconds)
        for listeners in self.slots:
            for listener in listeners:
                listener.socket.close()
        with trio.move_on_after(seconds + FINISH_SECONDS + _START_INTERVAL_SECONDS):
            await self._all_ended.wait()

    def cut(self) -> None:
        """Clients are closed by their workers, which end with this."""

    async def _keep_worker(self, slot: int, link: str, lifeline: int, ready: trio.Event) -> None:
        """Have one worker in this slot, whatever happens to it once it has served."""
        generation = 0
        while not self._is_draining:
            begun_at = trio.current_time()
            try:
                end = await self._run_worker(slot, f"{link}-{generation}", lifeline, ready)
            except OSError as error:  # too many processes, or no memory
                end = str(error)
            if self._is_draining:
                break
            if not ready.is_set():
                message = f"a worker ended before it could serve ({end}); see the log"
                raise ConfigError([Problem("server.workers", message)])
            log.error("worker ended, and is replaced", worker=slot, end=end)
            await trio.sleep_until(begun_at + _START_INTERVAL_SECONDS)
            generation += 1
        self._kept -= 1
        if not self._kept:
            self._all_ended.set()

    async def _run_worker(self, slot: int, link: str, lifeline: int, ready: trio.Event) -> str:
        """Start a worker, be the other end of its link, and tell how it has ended."""
        descriptors = [listener.socket.fileno() for listener in self.slots[slot]]
        settings = [(listener.tls, listener.proxy_protocol) for listener in self.slots[slot]]
        listeners = tuple(zip(descriptors, settings, strict=True))
        order = WorkerOrder(
            self._config, self._base_dir, listeners, link, lifeline, slot, self._workers
        )
        with PairSocket(link, bind=True) as socket:
            process = await trio.lowlevel.open_process(
                _COMMAND,
                stdin=subprocess.PIPE,
                pass_fds=(*descriptors, lifeline),
                process_group=0,  # Ctrl-C on a terminal is for the supervisor alone
            )
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.door.serve, slot, socket, ready)
                    await _give(process, order)
                    status = await process.wait()
                    nursery.cancel_scope.cancel()
            finally:
                await _stop(process)
        return f"signal {-status}" if status < 0 else f"status {status}"


@contextlib.contextmanager
def _lifeline() -> Iterator[int]:
    """A descriptor for workers that becomes readable when this process is gone, however it ended.

    Nobody else has the other end.
    """
    read_end, write_end = os.pipe()
    try:
        yield read_end
    finally:
        os.close(read_end)
        os.close(write_end)


async def _give(process: trio.Process, order: WorkerOrder) -> None:
    if process.stdin is not None:
        with contextlib.suppress(trio.BrokenResourceError):  # it is dead already
            async with process.stdin:
                await process.stdin.send_all(pickle.dumps(order))


async def _stop(process: trio.Process) -> None:
    """End a worker: told first, ended by force if that takes too long."""
    if process.returncode is not None:
        return
    process.terminate()
    with trio.CancelScope(shield=True):
        with trio.move_on_after(_STOP_SECONDS):
            await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


def _of_one_worker(config: Config, workers: int) -> Config:
    """The configuration of each worker: its share of the connections, and of what may wait."""

    def share(count: int) -> int:
        return -(-count // workers)

    server, publish = config.server, config.publish
    return attrs.evolve(
        config,
        server=attrs.evolve(
            server,
            max_connections=share(server.max_connections),
            max_total_backlog_bytes=share(server.max_total_backlog_bytes),
            max_retained_body_bytes=share(server.max_retained_body_bytes),
        ),
        route=tuple(
            attrs.evolve(route, max_connections=share(route.max_connections))
            for route in config.route
        ),
        publish=attrs.evolve(publish, max_queued_deliveries=share(publish.max_queued_deliveries)),
    )
