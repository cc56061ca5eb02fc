"""Starting, and stopping when told to."""

import contextlib
import os
import signal
from functools import partial

import structlog
import trio

from realtime_proxy import __version__
from realtime_proxy.app.alone import Alone
from realtime_proxy.app.descriptors import raise_descriptor_limit
from realtime_proxy.app.listeners import Listener
from realtime_proxy.app.log_flood import tell_what_is_left_out
from realtime_proxy.app.logs import set_up_logs
from realtime_proxy.app.parts import Parts
from realtime_proxy.app.predecessor import Predecessor
from realtime_proxy.app.reload import Reloader, tell_routes
from realtime_proxy.app.successor import SuccessorPort
from realtime_proxy.app.supervisor import Supervisor
from realtime_proxy.config.schema import Config
from realtime_proxy.config.source import Source
from realtime_proxy.errors import ConfigError
from realtime_proxy.net.listening_sockets import ListeningSockets
from realtime_proxy.net.service_manager import ServiceManager, given_sockets

log = structlog.get_logger()


def serve(config: Config, source: Source) -> int:
    """Serve until TERM or INT; the exit status. Raises ConfigError when it can't start.

    `source` is where the configuration came from, to be read again when it changes.
    """
    set_up_logs(config.log)
    log.info("starting")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it would end us, until it means to reload
    workers = config.server.workers or len(os.sched_getaffinity(0))
    # Of each process: those of workers inherit it.
    raise_descriptor_limit(-(-config.server.max_connections // workers))
    try:
        trio.run(_serve, config, source, workers)
    except* ConfigError as group:
        raise _joined(group) from None
    log.info("stopped")
    return 0


async def _serve(config: Config, source: Source, workers: int) -> None:
    with contextlib.ExitStack() as opened:
        predecessor = await Predecessor.find(config.server.takeover_socket)
        inherited = [] if predecessor is None else predecessor.sockets
        sockets = ListeningSockets([*given_sockets(os.environ), *inherited])
        manager = ServiceManager.of(os.environ)
        instance: Alone | Supervisor
        if workers == 1:
            instance = Alone(config, source.base_dir, sockets, predecessor)
        else:
            instance = Supervisor(config, source.base_dir, workers, sockets, predecessor)
        opened.callback(instance.close)
        port = SuccessorPort(config.server.takeover_socket, sockets)
        opened.callback(port.close)
        sockets.close_rest()
        is_alone = trio.Event() if predecessor is None else predecessor.gone
        if predecessor is None:
            is_alone.set()
        reloader = Reloader(source, config, instance.prepare, instance.adopt)
        await _Running(instance, reloader, port, is_alone, workers, manager).run()


class _Running:
    """An instance from its start to its end: signals say what is to be done, or a successor."""

    def __init__(
        self,
        instance: Alone | Supervisor,
        reloader: Reloader[Parts],
        port: SuccessorPort,
        is_alone: trio.Event,
        workers: int,
        manager: ServiceManager,
    ) -> None:
        self._instance = instance
        self._reloader = reloader
        self._port = port
        self._is_alone = is_alone
        self._workers = workers
        self._manager = manager
        self._is_draining = False

    async def run(self) -> None:
        """Serve until told to stop."""
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        with trio.open_signal_receiver(*numbers) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tell_what_is_left_out)
                nursery.start_soon(self._start, nursery)
                async for number in signals:
                    self._told(nursery, signal.Signals(number))

    async def _start(self, nursery: trio.Nursery) -> None:
        self._reloader.on_done = self._manager.tell_ready
        nursery.start_soon(self._reloader.run)
        await nursery.start(self._instance.run)
        nursery.start_soon(self._manager.run)
        self._manager.tell_ready()
        _tell_started(self._reloader.running, self._instance.listeners, self._workers)
        taken_over = partial(self._taken_over, nursery)
        nursery.start_soon(self._port.run, self._instance.door, self._is_alone, taken_over)

    def _told(self, nursery: trio.Nursery, number: signal.Signals) -> None:
        if number == signal.SIGHUP:
            log.info("reloading", signal=number.name)
            self._instance.reopen_logs()
            self._manager.tell_reloading()
            self._reloader.hang_up()
        elif self._is_draining:
            log.warning("stopping at once", signal=number.name)
            self._instance.cut()
            nursery.cancel_scope.cancel()
        else:
            log.info("stopping", signal=number.name)
            self._drain_soon(nursery)

    async def _taken_over(self, nursery: trio.Nursery) -> None:
        """Another process serves: publishers go there, then clients."""
        await self._instance.sides.send_away()
        if not self._is_draining:
            self._drain_soon(nursery)

    def _drain_soon(self, nursery: trio.Nursery) -> None:
        self._is_draining = True
        self._manager.tell_stopping()
        nursery.start_soon(self._drain, nursery.cancel_scope)

    async def _drain(self, scope: trio.CancelScope) -> None:
        await self._instance.drain(self._reloader.running.server.drain_seconds)
        scope.cancel()


def _tell_started(config: Config, listeners: list[Listener], workers: int) -> None:
    tell_routes(config)
    addresses = [str(listener) for listener in listeners]
    log.info("serving", version=__version__, listen=addresses, workers=workers)


def _joined(group: BaseExceptionGroup[ConfigError]) -> ConfigError:
    return ConfigError([problem for error in _leaves(group) for problem in error.problems])


def _leaves(group: BaseExceptionGroup[ConfigError]) -> list[ConfigError]:
    found: list[ConfigError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
