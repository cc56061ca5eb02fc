"""A gateway and the proxy, one behind the other, as an example has them."""

import contextlib
import re
import shlex
import signal
import sys
from pathlib import Path

from realtime_proxy.testing.publisher import Publisher
from realtime_proxy.testing.raw_client import CutShort, RawClient
from realtime_proxy.testing.reserved_ports import reserved_ports
from tests.chains.gateways import IN_FRONT
from tests.chains.server_process import ServerProcess
from tests.chains.sources import CHECKOUT

PROGRAM = Path(sys.executable).with_name("realtime-proxy")
# What it never logs while it does what it should.
_ALARMS = re.compile(r"^.*(?:Traceback|\[error|Warning:).*$", re.MULTILINE)

# The ports that all examples have, and that are others here.
PORTS = GATEWAY, PROXY, PUBLISH, APPLICATION, ADMIN = 8080, 7999, 5561, 8000, 9876


class Chain(Publisher):
    """Runs from the start to `stop`. `backend` is the application."""

    def __init__(self, gateway, order, folder, backend):
        self.gateway, self.order, self.backend = gateway, order, backend
        self.credential = gateway.credential[order]
        self._alarms_end = 0
        with reserved_ports(4) as free:
            ports = dict(zip((GATEWAY, PROXY, PUBLISH, ADMIN), free, strict=True))
            ports[APPLICATION] = backend.port
            super().__init__(ports[PUBLISH])
            self.proxy_address = ("127.0.0.1", ports[PROXY])
            self.address = ("127.0.0.1", ports[GATEWAY if order == IN_FRONT else PROXY])
            self._folder = folder / "example"
            example = CHECKOUT / "examples" / gateway.folder / order
            _copy(example, self._folder, ports, gateway.left_out)
            with contextlib.ExitStack() as stack:
                command = [PROGRAM, "run", "--config", "routes.toml"]
                self.proxy = _start(folder, "proxy", command, {"PYTHONWARNINGS": "default"})
                stack.callback(self.proxy.stop)
                _, *arguments = shlex.split(gateway.command)
                command = [gateway.program, *arguments]
                environment = gateway.source.environment()
                self.member = _start(folder, gateway.name, command, environment)
                stack.callback(self.member.stop)
                self.member.wait_for("answer through the chain", self._answers)
                self._stop = stack.pop_all().close

    def _answers(self):
        with contextlib.suppress(OSError, CutShort), RawClient(self.address) as client:
            client.request("GET", "/ready", [self.credential])
            return client.read_reply().status == 200

    def aging(self, seconds):
        """Have whoever is held from now on end so soon, if the example limits that at all."""
        return self.configured(r"(max_connection_age_seconds = )\d+", rf"\g<1>{seconds}")

    @contextlib.contextmanager
    def configured(self, pattern, replacement):
        """Have the proxy's configuration be another for a while."""
        routes = self._folder / "routes.toml"
        before = routes.read_text()
        self._reload(routes, re.sub(pattern, replacement, before))
        try:
            yield
        finally:
            self._reload(routes, before)

    def _reload(self, routes, text):
        routes.write_text(text)
        seen = len(self.proxy.log)
        self.proxy.process.send_signal(signal.SIGHUP)
        self.proxy.wait_for_log("routes loaded", seen)

    def check_log(self):
        """Fail if the proxy has logged something since the last time that it never should."""
        new, self._alarms_end = self.proxy.log[self._alarms_end :], len(self.proxy.log)
        assert not _ALARMS.search(new), new

    def stop(self):
        self._stop()


def files_of(example):
    """The files of an example, without what gateways have put there while it ran."""
    return [file for file in example.iterdir() if file.is_file() and file.suffix != ".pid"]


def _copy(source, folder, ports, left_out):
    """Copy the files of an example, with other ports."""
    folder.mkdir()
    pattern = re.compile(rf"\b({'|'.join(map(str, ports))})\b")
    for file in files_of(source):
        text = file.read_text().replace(left_out, "")
        changed = pattern.sub(lambda found: str(ports[int(found[0])]), text)
        (folder / file.name).write_text(changed)


def _start(folder, name, command, environment):
    return ServerProcess(command, folder / "example", folder / f"{name}.log", environment)
