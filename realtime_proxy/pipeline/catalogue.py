"""Where handler files are looked for, and how one becomes a class.

A handler file is loaded by its path under a private module name: the package never imports a
`handlers` package, and a handler named like a library does not stand in that library's way.
"""

import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from realtime_proxy.config.checks import handler_name
from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline.handler import BaseHandler


class HandlerFileError(Exception):
    """A handler file that can't be used; the text names the file and says why."""


class Catalogue:
    """The handler files that are in reach, by name. The first folder that has a name wins."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)
        self._classes: dict[str, type[BaseHandler]] = {}

    def names(self) -> list[str]:
        """All names that could be used, sorted."""
        return sorted(
            {
                file.stem
                for folder in self.folders
                for file in folder.glob("*.py")
                if _is_name(file.stem)
            }
        )

    def find(self, name: str) -> Path | None:
        """The file of a handler, or None; also for what is no name, such as a path."""
        if not _is_name(name):
            return None
        files = (folder / f"{name}.py" for folder in self.folders)
        return next((file for file in files if file.is_file()), None)

    def load(self, name: str) -> type[BaseHandler] | None:
        """The `Handler` class of a name's file, read once; None if there is no such file."""
        if name in self._classes:
            return self._classes[name]
        file = self.find(name)
        if file is None:
            return None
        handler = self._classes[name] = load_class(file)
        return handler


def handler_folders(base_dir: Path) -> tuple[Path, ...]:
    """The folders in which handlers are looked for, those of the site first.

    `base_dir` is the folder of the configuration file. A checkout is told by its pyproject.toml:
    what lies beside an installed package belongs to others.
    """
    folders = [base_dir / "handlers"]
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        folders.append(checkout / "handlers")
    folders.append(Path(sysconfig.get_path("data")) / "share" / "realtime_proxy" / "handlers")
    return tuple(folders)


def load_class(file: Path) -> type[BaseHandler]:
    """Run a handler file, if it has changed since the last time, and take its `Handler` class."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise HandlerFileError(f"{file} can't be read: {error.strerror}") from error
    before = _loaded.get(file)
    if before is None or before[0] != content:
        _loaded[file] = content, _run(file, content)
    return _loaded[file][1]


# What each file was like when it was run, and its class: a reload has most of them again.
_loaded: dict[Path, tuple[bytes, type[BaseHandler]]] = {}


def _run(file: Path, content: bytes) -> type[BaseHandler]:
    module = ModuleType(f"_realtime_proxy_handler_{file.stem}")
    module.__file__ = str(file)
    # attrs and typing look annotations up through sys.modules.
    sys.modules[module.__name__] = module
    try:
        # Not through a loader: its bytecode cache would be written beside the configuration, and
        # is stale for a file that was changed twice in a second.
        exec(compile(content, file, "exec"), module.__dict__)  # noqa: S102
    except Exception as error:
        del sys.modules[module.__name__]
        raise HandlerFileError(f"{file} can't be loaded: {error!r}") from error
    handler = getattr(module, "Handler", None)
    if not (isinstance(handler, type) and issubclass(handler, BaseHandler)):
        raise HandlerFileError(f"{file} has no class `Handler` derived from BaseHandler")
    return handler


def _is_name(text: str) -> bool:
    try:
        handler_name(text)
    except ConfigError:
        return False
    return True
