"""The first lines of the README do what it says, with curl and with what a browser would do."""

import http.client
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.sync.client import connect as connect_websocket

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS

CHECKOUT = Path(__file__).parents[2]
PUBCLI = Path(sys.executable).with_name("pubcli")
README = (CHECKOUT / "README.md").read_text()


def line_of(command):
    """The line of the README that begins with this command, split as a shell does."""
    [line] = re.findall(rf"^{re.escape(command)} .*$", README, re.MULTILINE)
    return shlex.split(line)


@pytest.fixture(scope="module")
def program(start):
    """What `make run` serves."""
    settings = (CHECKOUT / "routes.toml").read_text()
    return start(settings[settings.index("[[route]]") :])


@pytest.fixture
def publish(program):
    """The README's `pubcli` line, told where this program is."""

    def run():
        command = [PUBCLI, *line_of(".venv/bin/pubcli")[1:]]
        control = f"http://127.0.0.1:{program.control_port}"
        subprocess.run(
            command, env=os.environ | {"GRIP_URL": control}, check=True, timeout=DEADLINE_SECONDS
        )

    return run


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_shows_what_is_published(program, publish):
    command = [part.replace(":7999", f":{program.port}") for part in line_of("curl")]
    with subprocess.Popen([*command, "--silent"], stdout=subprocess.PIPE, text=True) as curl:
        try:
            assert curl.stdout.readline() == "[stream opened]\n"
            publish()
            assert curl.stdout.readline() == "hello\n"
        finally:
            curl.terminate()


def test_a_websocket_gets_what_is_published(program, publish):
    with connect_websocket(f"ws://127.0.0.1:{program.port}/ws?channel=demo") as websocket:
        websocket.send("echo")
        assert websocket.recv(DEADLINE_SECONDS) == "echo"
        publish()
        assert websocket.recv(DEADLINE_SECONDS) == "hello"


def test_a_browser_gets_the_page(program):
    client = http.client.HTTPConnection("127.0.0.1", program.port, timeout=DEADLINE_SECONDS)
    client.request("GET", "/", headers={"Accept": "text/html,*/*;q=0.8"})
    response = client.getresponse()
    assert (response.status, response.getheader("Content-Type")) == (
        200,
        "text/html; charset=utf-8",
    )
    assert b"<title>" in response.read()
    client.close()
