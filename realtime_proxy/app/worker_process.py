"""A worker as a process of its own: started by the supervisor, ended with it."""

import pickle
import shutil
import signal
import socket
import sys
from pathlib import Path

import attrs
import structlog
import trio

from realtime_proxy.app.listeners import Listener
from realtime_proxy.app.log_flood import tell_what_is_left_out
from realtime_proxy.app.logs import set_up_logs
from realtime_proxy.app.worker import Worker
from realtime_proxy.config.schema import Config
from realtime_proxy.config.server_section import Tls
from realtime_proxy.errors import ConfigError
from realtime_proxy.net.zmq_socket import PairSocket
from realtime_proxy.serving.neighbours import Neighbours

log = structlog.get_logger()


@attrs.frozen
class WorkerOrder:
    """All that a worker process is told, over its standard input.

    `listeners` are inherited descriptors, with `tls` and `proxy_protocol` of each; `lifeline` is a
    pipe that ends with the supervisor. It is the worker in `slot` of so many.
    """

    config: Config
    base_dir: Path
    listeners: tuple[tuple[int, tuple[Tls | None, bool]], ...]
    link: str
    lifeline: int
    slot: int
    workers: int

    @property
    def folder(self) -> str:
        """What the workers and the supervisor share, and nobody else."""
        return str(Path(self.link.removeprefix("ipc://")).parent)


def main() -> int:
    """Serve as the supervisor says, until TERM or until it is gone; the exit status."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # reloading is the supervisor's matter
    try:
        order: WorkerOrder = pickle.load(sys.stdin.buffer)  # noqa: S301  our own supervisor wrote it
    except (EOFError, pickle.UnpicklingError):
        return 0  # it was gone before it had said all
    set_up_logs(order.config.log)
    with PairSocket(order.link, bind=False) as link:
        try:
            neighbours = Neighbours(order.folder, order.slot, order.workers)
            worker = Worker(order.config, order.base_dir, link, neighbours=neighbours)
        except ConfigError as error:  # it was fine when the supervisor tried it
            for problem in error.problems:
                log.error("worker can't start", problem=str(problem))
            return 1
        trio.run(_serve, worker, order)
    return 0


async def _serve(worker: Worker, order: WorkerOrder) -> None:
    listeners = [Listener(socket.socket(fileno=fd), *rest) for fd, rest in order.listeners]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_with_supervisor, order, nursery.cancel_scope)
        nursery.start_soon(_cut_when_told, worker, nursery.cancel_scope)
        nursery.start_soon(tell_what_is_left_out)
        await worker.run(listeners)
        nursery.cancel_scope.cancel()


async def _cut_when_told(worker: Worker, scope: trio.CancelScope) -> None:
    """End at once on TERM: who has clients let go says so over the link."""
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            break
    worker.close_all()
    scope.cancel()


async def _end_with_supervisor(order: WorkerOrder, scope: trio.CancelScope) -> None:
    await trio.lowlevel.wait_readable(order.lifeline)
    log.error("the supervisor is gone, and this worker ends")
    # It could not clear up itself.
    shutil.rmtree(order.folder, ignore_errors=True)
    scope.cancel()


if __name__ == "__main__":
    sys.exit(main())
