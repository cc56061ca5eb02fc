"""Starting, and stopping when told to."""

import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import trio

from realtime_proxy import __version__
from realtime_proxy.app.admin_side import AdminSide
from realtime_proxy.app.consumer_side import open_store
from realtime_proxy.app.descriptors import raise_descriptor_limit
from realtime_proxy.app.listeners import Listener, listeners_of_slots
from realtime_proxy.app.log_flood import tell_what_is_left_out
from realtime_proxy.app.logs import set_up_logs
from realtime_proxy.app.parts import Parts
from realtime_proxy.app.publish_side import PublishSide
from realtime_proxy.app.reload import Reloader, tell_routes
from realtime_proxy.app.stats_side import StatsSide
from realtime_proxy.app.supervisor import Supervisor
from realtime_proxy.app.worker import Worker
from realtime_proxy.config.schema import Config
from realtime_proxy.config.source import Source
from realtime_proxy.errors import ConfigError
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.readiness import Readiness

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
        if workers == 1:
            trio.run(_serve_alone, config, source)
        else:
            trio.run(_serve_with_workers, config, source, workers)
    except* ConfigError as group:
        raise _joined(group) from None
    log.info("stopped")
    return 0


async def _serve_alone(config: Config, source: Source) -> None:
    """Everything in this process: no supervisor, no relay."""
    counters = Counters()
    base_dir = source.base_dir
    with contextlib.ExitStack() as opened:
        stats_side = StatsSide(config, counters)
        opened.callback(stats_side.close)
        publish_side = PublishSide(config.publish, counters, base_dir)
        opened.callback(publish_side.close)
        worker = Worker(config, base_dir, on_tallied=partial(stats_side.add, 0))
        stats_side.on_visits_wanted = worker.tell_visits
        store = open_store(config.consumers, base_dir, worker.stored, opened)
        admin_side = AdminSide(config.admin, worker.door.overview, base_dir, store)
        opened.callback(admin_side.close)
        listeners = listeners_of_slots(config.server, 1)[0]

        async def run() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(admin_side.run)
                nursery.start_soon(stats_side.run)
                nursery.start_soon(publish_side.run, worker.door)
                nursery.start_soon(worker.run, listeners)
                admin_side.turn(Readiness.READY)
                _tell_started(config, listeners)

        def adopt(config: Config, parts: Parts) -> None:
            worker.adopt(config, parts)
            publish_side.adopt(config.publish, parts.publish_key)
            admin_side.adopt(config.admin, parts.admin_key)

        reloader = Reloader(source, config, worker.prepare, adopt)

        async def drain() -> None:
            admin_side.turn(Readiness.DRAINING)
            await worker.drain(reloader.running.server.drain_seconds)

        await _until_told(run, reloader.run, reloader.hang_up, drain, worker.close_all)


async def _serve_with_workers(config: Config, source: Source, workers: int) -> None:
    with contextlib.closing(Supervisor(config, source.base_dir, workers)) as supervisor:

        async def run() -> None:
            await supervisor.run(lambda: _tell_started(config, supervisor.slots[0], workers))

        reloader = Reloader(source, config, supervisor.prepare, supervisor.adopt)

        def hang_up() -> None:
            supervisor.reopen_logs()
            reloader.hang_up()

        async def drain() -> None:
            await supervisor.drain(reloader.running.server.drain_seconds)

        await _until_told(run, reloader.run, hang_up, drain, lambda: None)


async def _until_told(
    run: Callable[[], Awaitable[None]],
    reload: Callable[[], Awaitable[None]],
    hang_up: Callable[[], None],
    drain: Callable[[], Awaitable[None]],
    cut: Callable[[], None],
) -> None:
    """Run both until a signal says to stop; then drain, unless another one cuts that short."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with trio.open_signal_receiver(*numbers) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            nursery.start_soon(reload)
            nursery.start_soon(tell_what_is_left_out)
            is_draining = False
            async for number in signals:
                name = signal.Signals(number).name
                if number == signal.SIGHUP:
                    log.info("reloading", signal=name)
                    hang_up()
                elif not is_draining:
                    log.info("stopping", signal=name)
                    nursery.start_soon(_drain, drain, nursery.cancel_scope)
                    is_draining = True
                else:
                    log.warning("stopping at once", signal=name)
                    cut()
                    nursery.cancel_scope.cancel()


async def _drain(drain: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
    await drain()
    scope.cancel()


def _tell_started(config: Config, listeners: list[Listener], workers: int = 1) -> None:
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
