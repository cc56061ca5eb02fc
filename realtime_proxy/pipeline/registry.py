"""Names in `routes.toml` to handlers at work: found, settings checked, one chain per route."""

import difflib
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import attrs
import structlog

from realtime_proxy.config.checks import handler_name
from realtime_proxy.config.schema import Config
from realtime_proxy.config.structure import join_key, structure
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.model.headers import CANONICAL
from realtime_proxy.pipeline.catalogue import Catalogue, HandlerFileError, handler_folders
from realtime_proxy.pipeline.chain import Chain
from realtime_proxy.pipeline.handler import BaseHandler, HandlerContext
from realtime_proxy.pipeline.secret import files_relative_to
from realtime_proxy.pipeline.services import HandlerServices


@attrs.frozen
class LoadedHandlers:
    """Everything the server needs of a configuration's handlers."""

    chains: tuple[Chain, ...]  # one per route, in the order of the file
    handlers: dict[str, BaseHandler]  # by the names that routes use; one is shared by all of them
    # Names (by CANONICAL) of what every inbound request must lose, in whatever spelling.
    inbound_identity_headers: frozenset[bytes]
    secret_names: AbstractSet[
        str
    ]  # lower case: of parameters and headers whose values no log may have

    @property
    def background(self) -> tuple[BaseHandler, ...]:
        """The handlers of routes that have something to do besides requests: `await run()`."""
        used = {handler for chain in self.chains for handler in chain.handlers}
        return tuple(
            handler
            for handler in self.handlers.values()
            if handler in used and type(handler).run is not BaseHandler.run
        )


def load_handlers(
    config: Config, base_dir: Path, services: HandlerServices | None = None
) -> LoadedHandlers:
    """All handlers that are configured or named by a route; ConfigError with every problem.

    `base_dir` is the folder of the configuration file. `services` are there if they will serve.
    """
    with files_relative_to(base_dir):
        loader = _Loader(config, Catalogue(handler_folders(base_dir)), services)
        handlers = loader.load_all()
    if loader.problems:
        raise ConfigError(loader.problems)
    chains = tuple(Chain(handlers[name] for name in route.handlers) for route in config.route)
    everyone = Chain(handlers.values())
    identity_headers = frozenset(
        name.encode().translate(CANONICAL)
        for name in everyone.sets_headers | everyone.accepts_headers
    )
    return LoadedHandlers(chains, handlers, identity_headers, loader.secret_names)


class _Loader:
    """One pass over the names; collects problems instead of stopping at the first."""

    def __init__(
        self, config: Config, catalogue: Catalogue, services: HandlerServices | None
    ) -> None:
        self.problems: list[Problem] = []
        self.secret_names: set[str] = set()
        self._config = config
        self._catalogue = catalogue
        self._services = services
        self._accepted = {*config.handler, *catalogue.names()}

    def load_all(self) -> dict[str, BaseHandler]:
        handlers: dict[str, BaseHandler] = {}
        for name in self._names():
            try:
                handlers[name] = self._load(name)
            except ConfigError as error:
                self.problems += error.problems
        return handlers

    def _names(self) -> Iterator[str]:
        """Each name that can be loaded, once. The others are problems of the routes."""
        yield from self._config.handler
        seen = set(self._config.handler)
        for i, route in enumerate(self._config.route):
            for j, name in enumerate(route.handlers):
                if name not in self._accepted:
                    self._unknown(f"route[{i}].handlers[{j}]", name)
                elif name not in seen:
                    seen.add(name)
                    yield name

    def _load(self, name: str) -> BaseHandler:
        where = join_key("handler", name)
        settings = dict(self._config.handler.get(name, {}))
        handler_class = self._class(name, settings.pop("use", name), where)
        config: Any = structure(settings, handler_class.Config, where, passing=True)
        logger = structlog.get_logger(handler=name)
        context = HandlerContext(name, logger, self.secret_names, self._services)
        try:
            handler = handler_class(config, context)
        except ConfigError as error:
            raise ConfigError(
                [Problem(f"{where}.{p.key_path}".rstrip("."), p.message) for p in error.problems]
            ) from error
        except Exception as error:
            raise _problem(where, f"can't be made: {error!r}") from error
        self.secret_names |= handler.secret_names
        return handler

    def _class(self, name: str, use: Any, where: str) -> type[BaseHandler]:
        key_path = where if use == name else f"{where}.use"
        if not isinstance(use, str):
            raise _problem(key_path, "must be text in quotes")
        try:
            handler_name(use)
            handler_class = self._catalogue.load(use)
        except (ConfigError, HandlerFileError) as error:
            raise _problem(key_path, str(error)) from error
        if handler_class is None:
            nearest = _nearest(use, self._catalogue.names())
            raise _problem(key_path, f"there is no handlers/{use}.py{nearest}")
        return handler_class

    def _unknown(self, key_path: str, name: str) -> None:
        nearest = _nearest(name, self._accepted)
        self.problems.append(Problem(key_path, f"unknown handler `{name}`{nearest}"))


def _problem(key_path: str, message: str) -> ConfigError:
    return ConfigError([Problem(key_path, message)])


def _nearest(name: str, accepted: Iterable[str]) -> str:
    """What to say after a name that is not known."""
    names = sorted(accepted)
    nearest = difflib.get_close_matches(name, names, n=1)
    if nearest:
        return f"; did you mean `{nearest[0]}`?"
    return f"; known are {', '.join(names)}" if names else "; none are known"
