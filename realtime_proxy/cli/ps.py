"""`realtime-proxy ps`: who is connected, as a live table, once as text, or as JSON."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from realtime_proxy.cli.admin_client import (
    AdminClient,
    AdminError,
    asks_admin_port,
    client_of,
    given,
)
from realtime_proxy.cli.connection_table import COLUMNS, SORTS, Connection, in_order, plain_lines
from realtime_proxy.cli.problems import show_problems
from realtime_proxy.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console, Group

REFRESH_SECONDS = 1.0
_LIMIT = 1_000
_AROUND_TABLE = 4  # lines: the summary, the titles and the rule below them, and one to spare


@click.command()
@asks_admin_port
@click.option("--once", is_flag=True, help="Show it once. So it is where output is no terminal.")
@click.option("--json", "as_json", is_flag=True, help="All of them once, as the admin port has it.")
@click.option(
    "--sort",
    type=click.Choice(list(SORTS)),
    default="age",
    show_default=True,
    help="What there is most of comes first.",
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    default=_LIMIT,
    show_default=True,
    help="Ask for so many at most.",
)
def ps(
    config: Path,
    number: int | None,
    admin: str | None,
    bearer: str | None,
    once: bool,
    as_json: bool,
    sort: str,
    limit: int,
    **filters: str | None,
) -> None:
    """Show who is connected."""
    try:
        client, meant = client_of(config, admin, number, bearer), given(**filters)
        if as_json:
            connections, _ = client.connections(meant)
            click.echo(json.dumps({"connections": in_order(connections, sort)}))
        elif once or not sys.stdout.isatty():
            _show_once(client, meant, sort, limit)
        else:
            _show_live(client, meant, sort, limit)
    except ConfigError as error:
        show_problems(error, str(config))
        sys.exit(1)
    except AdminError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


def _show_once(client: AdminClient, meant: dict[str, str], sort: str, limit: int) -> None:
    connections, has_more = client.connections(meant, limit)
    for line in plain_lines(in_order(connections, sort)):
        click.echo(line)
    if has_more:
        click.echo(f"there are more than {limit}: use filters, or --limit", err=True)


def _show_live(client: AdminClient, meant: dict[str, str], sort: str, limit: int) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    connections, has_more = client.connections(meant, limit)  # what is wrong is told plainly
    problem = ""
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                count = f"{'more than ' if has_more else ''}{len(connections)} connections"
                shown = in_order(connections, sort)
                live.update(table(console, shown, problem or count), refresh=True)
                time.sleep(REFRESH_SECONDS)
                try:
                    connections, has_more = client.connections(meant, limit)
                    problem = ""
                except AdminError as error:  # it may be about to come back
                    problem = str(error)
    except KeyboardInterrupt:
        pass


def table(console: "Console", connections: list[Connection], summary: str) -> "Group":
    """A summary, and as many lines as the terminal has at this moment."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, expand=True, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        shown.add_column(
            column.title,
            justify="right" if column.is_number else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if column.title == "URI" else None,
        )
    for one in connections[: max(1, console.height - _AROUND_TABLE)]:
        shown.add_row(*(Text(column.text(one)) for column in COLUMNS))
    return Group(Text(summary), shown)
