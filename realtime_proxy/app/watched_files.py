"""The files of a configuration, watched for changes: itself, keys, certificates, handlers."""

import contextlib
import os
from pathlib import Path

import structlog
import trio
from watchfiles import awatch

from realtime_proxy.config.files import named_files
from realtime_proxy.config.schema import Config
from realtime_proxy.config.source import Source

# Files are looked at this often whatever the kernel tells: of file systems over the network, or
# when somebody else has taken all its watches, it tells nothing.
LOOK_SECONDS = 5.0
# After a change, so long must be quiet; the watching thread ends this long after it was told to.
_STEP_SECONDS = 0.2

# What a file was like: changed at, size, inode; None if it is not there.
Look = tuple[int, int, int] | None

log = structlog.get_logger()


class WatchedFiles:
    """Knows what the files were like when last marked, and tells when that is no longer true."""

    def __init__(self, config: Config, source: Source) -> None:
        self._source = source
        self._paths = self._paths_of(config)
        self._seen = _look_at(self._paths)

    def _paths_of(self, config: Config) -> frozenset[Path]:
        own = {self._source.base_dir / "handlers"}
        if self._source.file is not None:
            own.add(self._source.file)
        return named_files(config, self._source.base_dir) | own

    def follow(self, config: Config) -> None:
        """Watch the files of another configuration; those it shares were seen when last marked."""
        self._paths = self._paths_of(config)
        self._seen = {
            path: self._seen.get(path, look) for path, look in _look_at(self._paths).items()
        }

    def mark(self) -> None:
        """Take all as it is now for seen."""
        self._seen = _look_at(self._paths)

    def have_changed(self) -> bool:
        """True if anything is not as it was when last marked."""
        return _look_at(self._paths) != self._seen

    async def changed(self) -> None:
        """Come back when something is not as it was when last marked."""
        while not await trio.to_thread.run_sync(self.have_changed):
            try:
                await self._watch(_folders(self._paths))
            except* (OSError, RuntimeError) as group:
                log.debug("files are not watched, but looked at", problem=str(group.exceptions[0]))
                await trio.sleep(LOOK_SECONDS)

    async def _watch(self, folders: frozenset[Path]) -> None:
        """Come back when something has changed, or what is watched.

        Folders are watched, as most programs that write files put a new one in place of the old.
        """
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_set_at_the_end, stop)
            hints = awatch(
                *folders,
                watch_filter=None,
                step=int(_STEP_SECONDS * 1000),
                stop_event=stop,
                rust_timeout=int(LOOK_SECONDS * 1000),
                yield_on_timeout=True,
                recursive=False,
            )
            async with contextlib.aclosing(hints):
                async for _ in hints:
                    has_changed = await trio.to_thread.run_sync(self.have_changed)
                    if has_changed or _folders(self._paths) != folders:
                        break
            nursery.cancel_scope.cancel()


async def _set_at_the_end(event: trio.Event) -> None:
    """Tell a thread to end when this task is cancelled: it can't be."""
    try:
        await trio.sleep_forever()
    finally:
        event.set()


def _folders(paths: frozenset[Path]) -> frozenset[Path]:
    """The folders in which something happens when one of these files or folders changes."""
    folders = {path if path.is_dir() else path.parent for path in paths}
    return frozenset(folder for folder in folders if folder.is_dir())


def _look_at(paths: frozenset[Path]) -> dict[Path, Look]:
    looks = {path: _look(path) for path in paths}
    for path in paths:
        with contextlib.suppress(OSError):  # no folder
            looks |= {Path(entry): _look(entry) for entry in os.scandir(path) if entry.is_file()}
    return looks


def _look(path: Path | os.DirEntry[str]) -> Look:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
