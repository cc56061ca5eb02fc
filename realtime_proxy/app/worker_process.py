"""A worker as a process of its own: started by the supervisor, ended with it."""

import os
import pickle
import signal
import socket
import sys
from pathlib import Path

import attrs
import trio

from realtime_proxy.app.descriptors import raise_descriptor_limit
from realtime_proxy.app.listeners import Listener
from realtime_proxy.app.logs import set_up_logs
from realtime_proxy.app.worker import Worker
from realtime_proxy.config.schema import Config, Tls
from realtime_proxy.net.zmq_socket import PairSocket


@attrs.frozen
class WorkerOrder:
    """All that a worker process is told, over its standard input.

    `listeners` are inherited descriptors; `lifeline` is a pipe that ends with the supervisor.
    """

    config: Config
    base_dir: Path
    listeners: tuple[tuple[int, Tls | None], ...]
    link: str
    lifeline: int


def main() -> None:
    """Serve as the supervisor says, until TERM or until it is gone."""
    order: WorkerOrder = pickle.load(sys.stdin.buffer)  # noqa: S301  our own supervisor wrote it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the supervisor's matter
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    set_up_logs(order.config.log)
    raise_descriptor_limit(order.config.server.max_connections)
    trio.run(_serve, order)


async def _serve(order: WorkerOrder) -> None:
    listeners = [Listener(socket.socket(fileno=fd), tls) for fd, tls in order.listeners]
    with PairSocket(order.link, bind=False) as link:
        worker = Worker(order.config, order.base_dir, listeners, link)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.run)
            nursery.start_soon(_end_with_supervisor, order.lifeline, nursery.cancel_scope)
            with trio.open_signal_receiver(signal.SIGTERM) as signals:
                async for _ in signals:
                    break
            worker.close_all()
            nursery.cancel_scope.cancel()


async def _end_with_supervisor(lifeline: int, scope: trio.CancelScope) -> None:
    os.set_blocking(lifeline, False)
    await trio.lowlevel.wait_readable(lifeline)
    scope.cancel()


if __name__ == "__main__":
    main()
