"""The container and the units of systemd: what they name is there, and gets signals."""

import configparser
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from realtime_proxy.config.load import load_config
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS
from realtime_proxy.testing.reserved_ports import reserved_ports

CHECKOUT = Path(__file__).resolve().parents[1]
PROGRAM = Path(sys.executable).with_name("realtime-proxy")
UNITS = CHECKOUT / "examples" / "systemd"
CONFIG = CHECKOUT / "examples" / "docker" / "routes.toml"


def steps():
    """The instructions of the Dockerfile, in order: names and what follows, lines joined."""
    text = re.sub(r"^#.*\n", "", (CHECKOUT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def of_last_stage(name):
    names = [step for step, _ in steps()]
    last = len(names) - 1 - names[::-1].index("FROM")
    return [rest for step, rest in steps()[last:] if step == name]


def test_the_image_is_made_in_stages_and_is_no_place_of_root():
    assert len([name for name, _ in steps() if name == "FROM"]) == 2
    (user,) = of_last_stage("USER")
    assert int(user) > 0


def test_the_program_of_the_image_gets_signals_itself():
    (entrypoint,), (command,) = of_last_stage("ENTRYPOINT"), of_last_stage("CMD")
    words = json.loads(entrypoint) + json.loads(command)
    assert shutil.which(words[0], path=PROGRAM.parent)
    directory, name = of_last_stage("WORKDIR")[0], CONFIG.name
    assert words[1:] == ["run", "--config", f"{directory}/{name}"]


def test_what_is_copied_is_there_and_not_ignored():
    kept = (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert "*" in kept
    copied = [rest.split()[:-1] for name, rest in steps() if name == "COPY"]
    sources = {source for each in copied if not each[0].startswith("--from") for source in each}
    assert sources
    for source in sources:
        assert (CHECKOUT / source).exists(), source
        assert any(Path(source).is_relative_to(one[1:]) for one in kept if one[0] == "!"), source


def test_all_that_the_package_is_built_of_is_copied():
    """Hatchling reads these for the wheel."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [*wheel["packages"], *wheel["shared-data"], *project["project"]["license-files"]]
    needed.append(project["project"]["readme"])
    copied = " ".join(rest for name, rest in steps() if name == "COPY").split()
    assert set(needed) <= set(copied)


@contextlib.contextmanager
def running(config):
    """The program with this configuration, once it serves."""
    environment = os.environ | {"PUBLISH_KEY": "a key of thirty-two bytes or more"}
    command = [PROGRAM, "run", "--config", config]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        with process.stdout as log:
            lines = []
            for line in log:
                lines.append(line)
                if "serving " in line:
                    break
            else:
                pytest.fail("".join(lines))
            yield process
    finally:
        process.kill()
        process.wait()


def test_the_health_check_finds_the_program_that_the_image_runs(tmp_path):
    """As it is in the image, but for the ports, and a patience that a busy machine needs."""
    (health,) = of_last_stage("HEALTHCHECK")
    python, option, code = json.loads(health.partition(" CMD ")[2])
    assert (python, option) == ("python", "-c")
    config = tmp_path / "routes.toml"
    with reserved_ports(3) as free:
        ports = dict(zip(("7999", "5561", "5564"), map(str, free), strict=True))
        text, count = re.subn(
            r"\b(7999|5561|5564)\b", lambda found: ports[found[0]], CONFIG.read_text()
        )
        assert count == len(ports)
        config.write_text(text.replace("0.0.0.0", "127.0.0.1"))
        assert ":5564/livez" in code
        assert "timeout=2)" in code
        code = code.replace("5564", ports["5564"]).replace("timeout=2)", "timeout=30)")
        check = [sys.executable, option, code]
        assert subprocess.run(check, capture_output=True, check=False).returncode == 1
        with running(config) as process:
            subprocess.run(check, check=True)
            process.terminate()
            assert process.wait(DEADLINE_SECONDS) == 0


def unit(name):
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read(UNITS / name)
    return parser


def test_the_service_runs_the_program_itself():
    service = unit("realtime-proxy.service")["Service"]
    command = shlex.split(service["ExecStart"])
    assert Path(command[0]).is_absolute()
    assert shutil.which(Path(command[0]).name, path=PROGRAM.parent)
    assert command[1:3] == ["run", "--config"]
    stop = subprocess.run([PROGRAM, "run", "--help"], capture_output=True, text=True, check=True)
    assert "--config" in stop.stdout
    assert Path(shlex.split(service["ExecReload"])[0]).exists()


def test_the_service_has_the_time_that_draining_takes(tmp_path):
    service = unit("realtime-proxy.service")["Service"]
    config = tmp_path / "routes.toml"
    config.write_text("[[route]]\ntargets = [{ test = true }]\n")
    drain_seconds = load_config(config).server.drain_seconds
    assert int(service["TimeoutStopSec"]) >= drain_seconds + 5


def test_the_socket_is_that_of_the_service():
    needed = unit("realtime-proxy.service")["Unit"]["Requires"].split()
    assert all((UNITS / name).exists() for name in needed)
    assert unit("realtime-proxy.socket")["Socket"]["ListenStream"] == "0.0.0.0:7999"


@pytest.mark.slow
def test_systemd_understands_the_units(tmp_path):
    """With the path of the program here, as systemd looks for it."""
    if (analyze := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd is not installed")
    for file in UNITS.iterdir():
        text = file.read_text().replace("/opt/realtime_proxy/bin/realtime-proxy", str(PROGRAM))
        (tmp_path / file.name).write_text(text)
    done = subprocess.run(
        [analyze, "verify", *tmp_path.iterdir()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in done.stderr, done.stderr
