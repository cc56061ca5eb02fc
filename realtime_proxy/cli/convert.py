"""`realtime-proxy convert`: the configuration of another proxy to ours."""

import os
import sys
import tempfile
from pathlib import Path

import click

from realtime_proxy.cli.problems import show_problems
from realtime_proxy.errors import ConfigError


@click.command()
@click.argument("old", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Where to write; standard output if not given.",
)
def convert(old: Path, output: Path | None) -> None:
    """Turn the configuration of Pushpin, or of the simple gateway, into ours.

    Reads a `pushpin.conf` and the routes file it names, or a `gateway.conf.yaml`. What is
    different, or can't be carried over, is told on standard error and in the new file.
    """
    from realtime_proxy.config.gateway_yaml import convert_gateway
    from realtime_proxy.config.pushpin import convert as convert_pushpin

    try:
        is_gateway = old.suffix in (".yaml", ".yml")
        conversion = convert_gateway(old) if is_gateway else convert_pushpin(old)
    except ConfigError as error:
        show_problems(error, str(old))
        sys.exit(1)
    for note in conversion.notes:
        click.echo(note, err=True)
    if output is None or str(output) == "-":
        click.echo(conversion.text, nl=False)
        return
    try:
        write_private(output, conversion.text.encode())
    except OSError as error:
        click.echo(f"{output}: can't be written: {error.strerror}", err=True)
        sys.exit(1)


def write_private(file: Path, data: bytes) -> None:
    """Write a file for its owner only, whole or not at all: it has keys in it."""
    target = file.resolve()
    if target.exists() and not target.is_file():
        # A pipe or a device, such as /dev/stdout, must not be replaced.
        target.write_bytes(data)
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
