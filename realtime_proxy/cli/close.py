"""`realtime-proxy close`: end connections of a running instance."""

import sys
from pathlib import Path

import click

from realtime_proxy.cli.admin_client import AdminError, asks_admin_port, client_of, given
from realtime_proxy.cli.problems import show_problems
from realtime_proxy.errors import ConfigError


@click.command()
@click.argument("connection_id", metavar="[ID]", required=False)
@asks_admin_port
@click.option("--reason", metavar="TEXT", help="What WebSocket clients are told.")
@click.option("--code", metavar="N", help="The code of their close frame. Default: 1008.")
def close(
    connection_id: str | None,
    config: Path,
    number: int | None,
    admin: str | None,
    bearer: str | None,
    reason: str | None,
    code: str | None,
    **filters: str | None,
) -> None:
    """End one connection by its ID, or all that the options mean."""
    meant = given(**filters)
    if connection_id is not None and meant:
        raise click.UsageError("an ID says which connection: nothing else may")
    if connection_id is None and not meant:
        raise click.UsageError("which connections? an ID, or one of --route, --channel, …")
    try:
        client = client_of(config, admin, number, bearer)
        closed = client.close(connection_id, {**meant, **given(reason=reason, code=code)})
    except ConfigError as error:
        show_problems(error, str(config))
        sys.exit(1)
    except AdminError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    click.echo(f"{closed} closed")
