"""A changed configuration in the place of the running one, without a restart.

It is read and checked as a whole, in a thread. Only one that is fine replaces the old one, in one
step between two tasks.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import structlog
import trio

from realtime_proxy.app.logs import reopen_log, set_up_logs
from realtime_proxy.app.watched_files import WatchedFiles
from realtime_proxy.config.restart import until_restart
from realtime_proxy.config.schema import Config
from realtime_proxy.config.source import Source
from realtime_proxy.errors import ConfigError

T = TypeVar("T")

# What changes within this time is taken together: a certificate and its key, say.
SETTLE_SECONDS = 1.0

log = structlog.get_logger()


class Reloader(Generic[T]):
    """Watches the configuration's files, and reloads when one changes or when asked to.

    `prepare` makes what a configuration needs and runs in a thread; `adopt` puts both in place.
    `running` is the configuration that is used.
    """

    def __init__(
        self,
        source: Source,
        running: Config,
        prepare: Callable[[Config], T],
        adopt: Callable[[Config, T], None],
    ) -> None:
        self._source = source
        self.running = running
        self._prepare = prepare
        self._adopt = adopt
        self.on_done: Callable[[], None] = lambda: None  # whether anything has changed or not
        self._asked = trio.Event()
        self._files = WatchedFiles(running, source)

    def ask(self) -> None:
        """Reload as soon as possible; asking again before it has begun changes nothing."""
        self._files.mark()
        self._asked.set()

    def hang_up(self) -> None:
        """What SIGHUP means: begin a new log file, and reload."""
        reopen_log(self.running.log)
        self.ask()

    async def run(self) -> None:
        """Reload when there is reason to, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            while True:
                await self._asked.wait()
                self._asked = trio.Event()
                await self._reload()
                self.on_done()

    async def _watch(self) -> None:
        if await trio.to_thread.run_sync(self._has_changed_meanwhile):
            self.ask()
        while True:
            await self._files.changed()
            log.info("configuration changed, reloading")
            await trio.sleep(SETTLE_SECONDS)
            if self._files.have_changed():  # else it was asked for meanwhile
                self.ask()

    def _has_changed_meanwhile(self) -> bool:
        """True if the file is another one since it was read, before it was watched."""
        try:
            return self._source.load() != self.running
        except ConfigError:
            return True

    async def _reload(self) -> None:
        try:
            wanted = await trio.to_thread.run_sync(self._source.load)
        except ConfigError as error:
            tell_problems(error)
            return
        config, waiting = until_restart(self.running, wanted)
        if waiting:
            log.warning("restart to apply changes", keys=waiting)
        if await put_in_place(config, self._prepare, self._adopt):
            self.running = config
            self._files.follow(config)
            tell_routes(config)


async def put_in_place(
    config: Config, prepare: Callable[[Config], T], adopt: Callable[[Config, T], None]
) -> bool:
    """Use a configuration from now on. False if it can't be used: all is as before, and logged."""
    try:
        parts = await trio.to_thread.run_sync(prepare, config)
        set_up_logs(config.log)
    except ConfigError as error:
        tell_problems(error)
        return False
    adopt(config, parts)
    return True


def tell_problems(error: ConfigError) -> None:
    """Log why a configuration is not used."""
    for problem in str(error).splitlines():
        log.error("configuration not usable; the old one stays", problem=problem)


def tell_routes(config: Config) -> None:
    """Log how many routes there are, and which of their backends can be anybody."""
    log.info("routes loaded with %d entries", len(config.route))
    for index, route in enumerate(config.route):
        urls = [target.url for target in route.targets if target.insecure]
        if urls:
            name = route.id or f"route[{index}]"
            log.warning("certificates of backends are not checked", route=name, backends=urls)
