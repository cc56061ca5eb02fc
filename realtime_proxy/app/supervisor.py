"""Several workers: started, replaced when they die, fed with what is published.

The supervisor owns what there can be only one of: the publish inputs and the listening sockets.
Each worker slot has sockets of its own for every address, which stay open here, so that a replaced
worker loses none of the clients that wait to be accepted.
"""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import attrs
import structlog
import trio

from realtime_proxy.app.listeners import Listener, listeners_of_slots
from realtime_proxy.app.publish_side import PublishSide
from realtime_proxy.app.worker_process import WorkerOrder
from realtime_proxy.config.schema import Config
from realtime_proxy.inputs.hub import Hub
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net.zmq_socket import PairSocket

# A worker that dies sooner than this is not replaced faster than this.
_SHORT_LIFE_SECONDS = 1.0
_STOP_SECONDS = 10.0

log = structlog.get_logger()


class Supervisor:
    """Serves a configuration with several worker processes until cancelled."""

    def __init__(self, config: Config, base_dir: Path, workers: int) -> None:
        """Opens everything. Raises ConfigError when something can't be had."""
        self._config = _of_one_worker(config, workers)
        self._base_dir = base_dir
        counters = Counters()
        self._hub = Hub(counters)
        self._publish_side = PublishSide(config.publish, counters)
        self.slots = listeners_of_slots(config.server, workers)

    async def run(self, started: Callable[[], None]) -> None:
        """Serve; `started` is called once clients of every worker can connect."""
        read_end, write_end = os.pipe()  # its end tells the workers that this process is gone
        try:
            with tempfile.TemporaryDirectory(prefix="realtime-proxy-") as folder:
                async with trio.open_nursery() as nursery:
                    events = []
                    for slot in range(len(self.slots)):
                        events.append(trio.Event())
                        link = f"ipc://{folder}/{slot}"
                        nursery.start_soon(self._keep_worker, slot, link, read_end, events[-1])
                    for event in events:
                        await event.wait()
                    nursery.start_soon(self._publish_side.run, self._hub)
                    started()
        finally:
            os.close(read_end)
            os.close(write_end)

    async def _keep_worker(
        self, slot: int, link: str, lifeline: int, first_ready: trio.Event
    ) -> None:
        """Have one worker in this slot, whatever happens to it."""
        generation = 0
        while True:
            begun_at = trio.current_time()
            status = await self._run_worker(slot, f"{link}-{generation}", lifeline, first_ready)
            log.error("worker ended, and is replaced", worker=slot, status=status)
            if trio.current_time() - begun_at < _SHORT_LIFE_SECONDS:
                await trio.sleep(_SHORT_LIFE_SECONDS)
            generation += 1

    async def _run_worker(
        self, slot: int, link: str, lifeline: int, first_ready: trio.Event
    ) -> int:
        socket = PairSocket(link, bind=True)
        ready = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hub.serve, slot, socket, ready)
            nursery.start_soon(_pass_on, ready, first_ready)
            process = await self._start(self.slots[slot], link, lifeline)
            try:
                status = await process.wait()
            finally:
                await _stop(process)
            nursery.cancel_scope.cancel()
        return status

    async def _start(self, listeners: list[Listener], link: str, lifeline: int) -> trio.Process:
        descriptors = [listener.socket.fileno() for listener in listeners]
        order = WorkerOrder(
            config=self._config,
            base_dir=self._base_dir.absolute(),
            listeners=tuple(
                zip(descriptors, (listener.tls for listener in listeners), strict=True)
            ),
            link=link,
            lifeline=lifeline,
        )
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "realtime_proxy.app.worker_process"],
            stdin=subprocess.PIPE,
            pass_fds=(*descriptors, lifeline),
        )
        assert process.stdin is not None
        async with process.stdin:
            await process.stdin.send_all(pickle.dumps(order))
        return process


async def _pass_on(ready: trio.Event, first_ready: trio.Event) -> None:
    await ready.wait()
    first_ready.set()


async def _stop(process: trio.Process) -> None:
    """End a worker: told first, ended by force if that takes too long."""
    if process.returncode is not None:
        return
    process.terminate()
    with trio.move_on_after(_STOP_SECONDS, shield=True):
        await process.wait()
    if process.returncode is None:
        process.kill()


def _of_one_worker(config: Config, workers: int) -> Config:
    """The configuration of each worker: its share of the connections."""
    places = -(-config.server.max_connections // workers)
    return attrs.evolve(config, server=attrs.evolve(config.server, max_connections=places))
