import subprocess
import sys

import pytest
from click.testing import CliRunner

from realtime_proxy import __version__
from realtime_proxy.cli.main import main


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version(option):
    result = CliRunner().invoke(main, [option])
    assert result.exit_code == 0
    assert result.stdout == f"realtime-proxy, version {__version__}\n"


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_the_help_names_every_command(option):
    result = CliRunner().invoke(main, [option])
    assert result.exit_code == 0
    for name in ("run", "check", "convert", "ps", "close"):
        assert f"  {name} " in result.stdout


def test_heavy_libraries_are_not_loaded_to_read_a_command_line():
    heavy = {"cattrs", "trio", "h11", "wsproto", "zmq", "structlog", "jwt", "cryptography", "rich"}
    code = f"import sys, realtime_proxy.cli.main; print(*{heavy} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "\n"
