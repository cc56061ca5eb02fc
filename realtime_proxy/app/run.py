"""Starting, and stopping when told to."""

import signal
from pathlib import Path

import structlog
import trio

from realtime_proxy import __version__
from realtime_proxy.app.descriptors import raise_descriptor_limit
from realtime_proxy.app.logs import set_up_logs
from realtime_proxy.app.worker import Worker
from realtime_proxy.config.schema import Config
from realtime_proxy.errors import ConfigError

log = structlog.get_logger()


def serve(config: Config, base_dir: Path) -> int:
    """Serve until TERM or INT; the exit status. Raises ConfigError when it can't start."""
    set_up_logs(config.log)
    raise_descriptor_limit(config.server.max_connections)
    try:
        trio.run(_serve, config, base_dir)
    except* ConfigError as group:
        raise _first(group) from None
    return 0


def _first(group: BaseExceptionGroup[ConfigError]) -> ConfigError:
    problems = [problem for error in _leaves(group) for problem in error.problems]
    return ConfigError(problems)


def _leaves(group: BaseExceptionGroup[ConfigError]) -> list[ConfigError]:
    found: list[ConfigError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def _serve(config: Config, base_dir: Path) -> None:
    worker = Worker(config, base_dir)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.run, _started)
            async for number in signals:
                if number == signal.SIGHUP:
                    log.warning("reload is not supported yet; restart to apply changes")
                    continue
                log.info("stopping", signal=signal.Signals(number).name)
                worker.close_all()
                nursery.cancel_scope.cancel()


def _started(addresses: list[str]) -> None:
    log.info("serving", version=__version__, listen=addresses)
