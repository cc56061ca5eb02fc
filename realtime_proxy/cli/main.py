"""The `realtime-proxy` command: a group of the commands in this folder."""

import click

from realtime_proxy import __version__
from realtime_proxy.cli.check import check
from realtime_proxy.cli.close import close
from realtime_proxy.cli.convert import convert
from realtime_proxy.cli.ps import ps
from realtime_proxy.cli.run import run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="realtime-proxy")
def main() -> None:
    """A GRIP-aware realtime reverse proxy, configured by one file: routes.toml."""


main.add_command(run)
main.add_command(check)
main.add_command(convert)
main.add_command(ps)
main.add_command(close)
