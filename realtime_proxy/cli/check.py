"""`realtime-proxy check`: says what is wrong with a configuration, all of it at once."""

import sys
from pathlib import Path
from typing import Any

import click

from realtime_proxy.cli.problems import show, show_problems
from realtime_proxy.config.consumers_section import Consumers
from realtime_proxy.config.route_section import Route
from realtime_proxy.config.schema import Config
from realtime_proxy.errors import ConfigError, Problem


@click.command()
@click.option(
    "--config",
    "file",
    default="routes.toml",
    show_default=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The configuration to look at.",
)
def check(file: Path) -> None:
    """Name every problem of a configuration."""
    from realtime_proxy.config.advice import advise

    try:
        config = load_all(file)
    except ConfigError as error:
        show_problems(error, str(file))
        sys.exit(1)
    show(advise(config, file.parent), f"{file}: warning")
    click.echo(f"{file}: fine: {_summary(config)}")


def load_all(file: Path) -> Config:
    """The configuration, after a try of what it opens; `ConfigError` has the problems of both."""
    from realtime_proxy.config.load import load_config

    try:
        config = load_config(file)
    except ConfigError as error:
        found = [*error.problems, *_problems_within(_part_to_try(file), file)]
        # A wrong key may be told of by both.
        raise ConfigError(list(dict.fromkeys(found)), str(file)) from error
    problems = _problems_within(config, file)
    if problems:
        raise ConfigError(problems, str(file))
    return config


def _problems_within(config: Config, file: Path) -> list[Problem]:
    """Those of its handlers, and of the store of consumers."""
    from realtime_proxy.app.consumer_side import check_store
    from realtime_proxy.pipeline.registry import load_handlers

    problems: list[Problem] = []
    for attempt in (
        lambda: load_handlers(config, file.parent),
        lambda: check_store(config.consumers, file.parent),
    ):
        try:
            attempt()
        except ConfigError as error:
            problems += error.problems
    return problems


def _part_to_try(file: Path) -> Config:
    """What is tried of a file that does not load: handlers, with who names them, and the store."""
    import tomllib

    try:
        table = tomllib.loads(file.read_bytes().decode())
    except (OSError, ValueError):
        return Config()
    handlers, routes = _dict(table.get("handler")), table.get("route")
    store = _dict(table.get("consumers")).get("store")
    return Config(
        consumers=Consumers(store if isinstance(store, str) else ""),
        handler={name: values for name, values in handlers.items() if isinstance(values, dict)},
        route=tuple(
            Route(targets=(), handlers=_names(_dict(route).get("handlers")))
            for route in (routes if isinstance(routes, list) else [])
        ),
    )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _names(value: Any) -> tuple[str, ...]:
    """Handler names, or none if the list has anything else: its indexes would not be the same."""
    names = value if isinstance(value, list) else []
    return tuple(names) if all(isinstance(name, str) for name in names) else ()


def _summary(config: Config) -> str:
    listeners = len(config.server.listen) + len(config.server.tls)
    used = {name for route in config.route for name in route.handlers}
    counts = ((len(config.route), "route"), (listeners, "listener"), (len(used), "handler"))
    return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
