"""The real program, started with a configuration of the test's own, watched and stopped."""

import contextlib
import copy
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from realtime_proxy.testing.publisher import Publisher
from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, RawClient
from realtime_proxy.testing.reserved_ports import reserved_ports
from realtime_proxy.testing.scripted_backend import ScriptedBackend
from realtime_proxy.testing.websocket_client import WebSocketClient

PROGRAM = Path(sys.executable).with_name("realtime-proxy")
MANY = 8_000  # descriptors
_TICKS = os.sysconf("SC_CLK_TCK")
# What a program never logs while it does what it should.
_ALARMS = re.compile(r"^.*(?:Traceback|\[error|Warning:).*$", re.MULTILINE)

LOG = 'level = "debug"'
CONFIG = """
[server]
listen = ["127.0.0.1:{port}"{listen}]
drain_seconds = {drain_seconds}
{server}

[publish]
pull = "{pull}"
sub = ["{sub}"]
command = "{command}"
{publish}
http = "127.0.0.1:{control_port}"
max_body_bytes = 20_000_000

[log]
{log}

{rest}
"""

# A script of a backend may count on what it is asked.
NO_UPDATES = "update_on_first_subscription = false"


class Program(Publisher):
    """A running `realtime-proxy`. `port` takes clients, `control_port` and `sub` publishers."""

    def __init__(
        self,
        folder,
        rest,
        *,
        server="",
        listen="",
        publish=NO_UPDATES,
        handlers=(),
        log=LOG,
        drain_seconds=0,
        pull="",
    ):
        """`handlers` are files beside the configuration: pairs of a name and a source."""
        for name, source in handlers:
            (folder / "handlers").mkdir(exist_ok=True)
            (folder / "handlers" / f"{name}.py").write_text(source)
        self._log_file = folder / "log.txt"
        self._seen = 0
        self.file = folder / "routes.toml"
        self.sub, self.command = f"ipc://{folder}/sub", f"ipc://{folder}/command"
        self._drain_seconds, self._pull = drain_seconds, pull
        self._listen = "".join(f', "{address}"' for address in listen.split())
        with reserved_ports(2) as (self.port, self.control_port):
            self.configure(rest, server=server, publish=publish, log=log)
            self._start()
            self._wait_until_it_takes_connections()

    def succeed(self, rest, **options):
        """Start another one with its ports, which takes its place; back when that serves."""
        successor = copy.copy(self)
        successor._log_file = self._log_file.with_name(f"{self._log_file.name}.next")
        successor._seen = 0
        successor.configure(rest, **options)
        successor._start()
        successor.wait_for_log("serving ")
        self.started.append(successor)
        return successor

    def _start(self):
        with self._log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "run", "--config", self.file],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONWARNINGS": "default"},
            )

    def configure(self, rest, *, server="", publish=NO_UPDATES, log=LOG):
        """Write its configuration file, in one step."""
        new = self.file.with_suffix(".new")
        new.write_text(
            CONFIG.format(
                port=self.port,
                control_port=self.control_port,
                listen=self._listen,
                drain_seconds=self._drain_seconds,
                pull=self._pull,
                server=server,
                sub=self.sub,
                command=self.command,
                publish=publish,
                log=log,
                rest=rest,
            )
        )
        new.replace(self.file)

    def reload(self, rest, **options):
        """Write its configuration anew and have it read; back when that is done, well or not."""
        self.configure(rest, **options)
        self.hang_up()

    def hang_up(self):
        """Send SIGHUP; back when it has read its configuration, and begun to say what it found."""
        self.wait_for_log("serving ")
        before = len(self.log)
        self.process.send_signal(signal.SIGHUP)
        self.wait_for_log(r"routes loaded|not usable", after=before)

    def _wait_until_it_takes_connections(self):
        end = time.monotonic() + DEADLINE_SECONDS
        for port in (self.port, self.control_port):
            while True:
                assert self.process.poll() is None, self.log
                assert time.monotonic() < end, self.log
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                time.sleep(0.01)

    @property
    def log(self):
        return self._log_file.read_text()

    def wait_for_log(self, pattern, after=0):
        """Come back when the log has a line that matches, after so many characters."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not (found := re.search(pattern, self.log[after:])):
            assert time.monotonic() < end, self.log
            time.sleep(0.01)
        return found

    def check_log(self):
        """Fail if something was logged since the last time that should never be."""
        new, self._seen = self.log[self._seen :], len(self.log)
        assert not _ALARMS.search(new), new

    @property
    def workers(self):
        """The process ids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        found = []
        for file in children:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # of a thread gone by
                found += map(int, file.read_text().split())
        return sorted(found)

    def stop(self):
        self.process.terminate()
        try:
            assert self.process.wait(DEADLINE_SECONDS) == 0
        finally:
            self.process.kill()
            self.process.wait()
        self.check_log()

    # -- clients and publishers --------------------------------------------------------------

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def wait_for_subscriptions(self, channel, count):
        """Come back when the channel has had so many subscribers."""
        end = time.monotonic() + DEADLINE_SECONDS
        pattern = re.compile(rf"subscribe\s.*channel={re.escape(channel)}\s")
        while (so_far := len(pattern.findall(self.log))) < count:
            assert time.monotonic() < end, f"{so_far} of {count} have subscribed to {channel}"
            time.sleep(0.01)

    # -- what it costs -----------------------------------------------------------------------

    @property
    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def forget_peak(self):
        """Let the peak of memory begin anew."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def _memory(self, name):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) * 1024

    @property
    def memory_bytes(self):
        return self._memory("VmRSS")

    @property
    def peak_memory_bytes(self):
        return self._memory("VmHWM")


@pytest.fixture(scope="session")
def running():
    """All programs that run."""
    return []


@pytest.fixture(scope="module")
def start(tmp_path_factory, running):
    """Start programs; they are stopped when the module's tests are done."""
    started = []

    def start_one(rest, **options):
        program = Program(tmp_path_factory.mktemp("program"), rest, **options)
        started.append(program)
        running.append(program)
        return program

    yield start_one
    with contextlib.ExitStack() as stack:
        for program in started:
            running.remove(program)
            stack.callback(program.stop)


@pytest.fixture
def start_own(tmp_path_factory, monkeypatch):
    """Start programs which the test itself ends, as it likes; temporary files are in `folder`."""
    started = []
    folder = tmp_path_factory.mktemp("own")
    monkeypatch.setenv("TMPDIR", str(folder))

    def start_one(rest, **options):
        program = Program(tmp_path_factory.mktemp("program"), rest, **options)
        program.folder = folder
        program.started = started
        started.append(program)
        return program

    yield start_one
    for program in started:
        if program.process.poll() is None:
            for pid in program.workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            program.process.kill()
        program.process.wait()


@pytest.fixture(autouse=True)
def _nothing_unhandled(running):
    """A test fails for what it makes a program log that should never be logged."""
    yield
    for program in running:
        program.check_log()


@pytest.fixture(scope="module")
def backend():
    """A backend for all tests of a module, who script it for a path of their own."""
    with ScriptedBackend() as backend:
        yield backend


@pytest.fixture
def many_descriptors():
    """Descriptors for thousands of clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < MANY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(MANY, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def path(request):
    """A path that no other test of the module uses."""
    name = re.sub(r"[^\w.]+", "-", request.node.name)
    return f"/{name}"


@pytest.fixture
def connect(program):
    """Connect to the module's program; closed at the end of the test."""
    with contextlib.ExitStack() as stack:

        def connect_one(address=None, **options):
            return stack.enter_context(RawClient(address or program.address, **options))

        yield connect_one


@pytest.fixture
def websocket(connect):
    """A WebSocket client of the module's program, not yet open."""
    return lambda **options: WebSocketClient(connect(**options))
