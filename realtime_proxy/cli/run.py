"""`realtime-proxy run`: serve, with the options of our own and those that Pushpin had."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click

from realtime_proxy.cli.problems import show_problems
from realtime_proxy.config.route_section import Route
from realtime_proxy.config.schema import Config, Log
from realtime_proxy.config.server_section import Server
from realtime_proxy.config.source import Source
from realtime_proxy.errors import ConfigError, Problem

T = TypeVar("T")

DEFAULT_FILE = Path("routes.toml")


@attrs.frozen
class Options:
    """What the command line says."""

    config: Path | None = None
    port: str | None = None
    route: tuple[str, ...] = ()
    level: str | None = None
    logfile: Path | None = None
    number: int | None = None
    workers: int | None = None


@click.command()
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The configuration. Default: ./routes.toml, unless there is a --route.",
)
@click.option("--port", metavar="[ADDR:]PORT", help="Listen only there, for plain HTTP.")
@click.option(
    "--route",
    metavar="LINE",
    multiple=True,
    help="A route as in Pushpin's routes file; repeatable. Replaces those of the configuration, "
    "and without --config no file is read.",
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(min=0),
    help="Processes that serve clients. 0: one for each core.",
)
@click.option("--log-level", "level", metavar="LEVEL", help="error, warning, info or debug.")
@click.option(
    "--logfile", metavar="FILE", type=click.Path(path_type=Path), help="Log there, not to stdout."
)
@click.option(
    "--id",
    "number",
    metavar="N",
    type=click.IntRange(min=0),
    help="One of several instances: publish ports are N * 10 higher, ipc names begin with pN-.",
)
@click.option("--loglevel", "old_level", metavar="LEVEL", help="As --log-level; also 0 to 3.")
@click.option("--verbose", is_flag=True, help="As --log-level debug.")
@click.option("-m", "--merge-output", is_flag=True, help="Accepted; all logs go one way anyway.")
def run(
    old_level: str | None,
    verbose: bool,
    merge_output: bool,  # noqa: ARG001  kept for old start scripts
    **options: Any,
) -> None:
    """Serve until stopped."""
    if verbose:
        options["level"] = "debug"
    elif options["level"] is None:
        options["level"] = old_level
    chosen = Options(**options)
    routes = _routes(chosen.route)
    source = _source(chosen, routes)
    try:
        config = configured(chosen, routes)
        from realtime_proxy.app.run import serve

        status = serve(config, source)
    except ConfigError as error:
        show_problems(error, str(source.file or "realtime-proxy"))
        sys.exit(1)
    sys.exit(status)


def _source(options: Options, routes: tuple[Route, ...]) -> Source:
    """The configuration as it can be read again and again."""
    file = options.config or DEFAULT_FILE

    def load() -> Config:
        try:
            return configured(options, routes)
        except click.BadParameter as error:  # it may not fit what the file has become
            raise ConfigError([Problem(str(error.param_hint), error.message)]) from error

    return Source(load, file.parent, None if options.config is None and routes else file)


def configured(options: Options, routes: tuple[Route, ...] = ()) -> Config:
    """The configuration to serve: the file, and what the command line puts in its place."""
    from realtime_proxy.config.load import load_config

    if options.config is not None or not routes:
        config = load_config(options.config or DEFAULT_FILE)
    else:
        config = Config()
    if routes:
        config = attrs.evolve(config, route=routes)
    if options.port is not None:
        config = attrs.evolve(config, server=_only_port(config.server, options.port))
    if options.workers is not None:
        server = attrs.evolve(config.server, workers=options.workers)
        config = attrs.evolve(config, server=server)
    if options.number is not None:
        from realtime_proxy.cli.instance import as_instance

        config = _given("--id", as_instance, config, options.number)
    return attrs.evolve(config, log=_log(config.log, options))


def _routes(lines: tuple[str, ...]) -> tuple[Route, ...]:
    from realtime_proxy.config.pushpin_routes import route_from_line

    routes = []
    for line in lines:
        route, notes = _given("--route", route_from_line, line)
        routes.append(route)
        for note in notes:
            click.echo(note, err=True)
    return tuple(routes)


def _only_port(server: Server, port: str) -> Server:
    from realtime_proxy.config.addresses import parse_port

    return attrs.evolve(server, listen=(str(_given("--port", parse_port, port)),), tls=())


def _log(log: Log, options: Options) -> Log:
    from realtime_proxy.config.pushpin_level import converted_level

    if options.level is not None:
        # Pushpin takes levels of single services, too: `2,handler:3`.
        level = options.level.partition(",")[0]
        log = attrs.evolve(log, level=_given("--log-level", converted_level, level))
    if options.logfile is not None:
        # Relative to where the program runs, not to its configuration.
        log = attrs.evolve(log, file=str(options.logfile.absolute()))
    return log


def _given(option: str, use: Callable[..., T], *values: object) -> T:
    """What becomes of an option's value; a mistake in it is one of the command line."""
    try:
        return use(*values)
    except ConfigError as error:
        message = "; ".join(problem.message for problem in error.problems)
        raise click.BadParameter(message, param_hint=option) from None
