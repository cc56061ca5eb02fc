"""How commands tell of problems with a configuration: a line each, on standard error."""

from collections.abc import Iterable

import click

from realtime_proxy.errors import ConfigError, Problem


def show_problems(error: ConfigError, file: str) -> None:
    """Print every problem as `FILE: key.path: message`; the error's own file goes first."""
    show(error.problems, error.file or file)


def show(problems: Iterable[Problem], where: str) -> None:
    """Print problems as `WHERE: key.path: message`."""
    for problem in problems:
        click.echo(f"{where}: {problem}", err=True)
