import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from realtime_proxy.cli.convert import write_private
from realtime_proxy.cli.main import main
from realtime_proxy.config.load import load_config


@pytest.fixture
def convert(tmp_path):
    """Runs `convert` on a small configuration."""
    (tmp_path / "pushpin.conf").write_text("[proxy]\nsig_key=changeme\nmax_open_requests=5\n")
    (tmp_path / "routes").write_text("* a:1\nbad\n")

    def convert(*arguments, conf="pushpin.conf"):
        return CliRunner().invoke(main, ["convert", str(tmp_path / conf), *map(str, arguments)])

    return convert


def test_to_standard_output(convert):
    result = convert()
    assert result.exit_code == 0
    assert result.stdout.endswith('targets = [{ url = "http://a:1" }]\n')
    assert "routes:2: left out" in result.stderr
    assert "max_open_requests = 5: not carried over yet" in result.stderr
    assert convert("-o", "-").stdout == result.stdout


def test_the_simple_gateways_file(convert, tmp_path):
    services = "services: {non-authenticated: [{path: /a, target: 'http://a.test'}]}"
    (tmp_path / "gateway.conf.yaml").write_text(f"gateway: {{{services}, more: 1}}")
    result = convert(conf="gateway.conf.yaml")
    assert result.exit_code == 0
    assert result.stdout.endswith('targets = [{ url = "http://a.test" }]\n')
    assert "gateway.more: left out" in result.stderr
    (tmp_path / "gateway.conf.yaml").write_text("gateway: {}")
    result = convert(conf="gateway.conf.yaml")
    assert result.exit_code == 1
    assert "gateway.services: is missing" in result.stderr


def test_to_a_file_that_only_its_owner_can_read(convert, tmp_path):
    result = convert("-o", tmp_path / "routes.toml")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "routes:2: left out" in result.stderr
    assert load_config(tmp_path / "routes.toml").grip.key == "changeme"
    assert stat.S_IMODE((tmp_path / "routes.toml").stat().st_mode) == 0o600


def test_an_old_file_is_replaced_as_a_whole(convert, tmp_path):
    output = tmp_path / "routes.toml"
    output.write_text("old")
    output.chmod(0o644)
    with output.open() as held:
        convert("-o", output)
        assert held.read() == "old"
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert {file.name for file in tmp_path.iterdir()} == {"pushpin.conf", "routes", "routes.toml"}


def test_a_link_stays_one(convert, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real.toml")
    convert("-o", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    load_config(tmp_path / "real.toml")


def test_an_unreadable_configuration(convert, tmp_path):
    result = convert(conf="missing.conf")
    assert result.exit_code == 1
    assert result.stderr == f"{tmp_path}/missing.conf: can't be read: No such file or directory\n"


def test_a_folder_that_is_not_there(convert, tmp_path):
    result = convert("-o", tmp_path / "none" / "routes.toml")
    assert result.exit_code == 1
    assert "can't be written: No such file or directory" in result.stderr


def test_what_is_not_a_file_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_private(pipe, b"data")
    assert os.read(reader, 10) == b"data"
    assert pipe.is_fifo()
    os.close(reader)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_private(tmp_path / "routes.toml", b"data")
    assert list(tmp_path.iterdir()) == []
