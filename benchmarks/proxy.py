"""The program under measurement: started with a configuration of its own, accounted, ended."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import zmq

START_SECONDS = 30.0
STOP_SECONDS = 15.0
_NANO = 1e9


def free_ports(count: int) -> list[int]:
    """Ports that nobody has at this moment."""
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def command() -> str:
    """The program: REALTIME_PROXY, or the one beside this interpreter."""
    return os.environ.get("REALTIME_PROXY") or str(Path(sys.executable).with_name("realtime-proxy"))


class Proxy:
    """A running proxy in front of one backend. A context manager: it is ended in any case."""

    def __init__(
        self,
        backend_port: int,
        *,
        workers: int = 1,
        max_connections: int = 15_000,
        drain_seconds: int = 0,
        certificate: tuple[Path, Path] | None = None,
        launcher: tuple[str, ...] = (),
        further: str = "",
    ) -> None:
        """`launcher` stands in for the program, followed by its arguments.

        `further` are further sections of the configuration.
        """
        self.port, self.tls_port, self._pull, self.control_port = free_ports(4)
        self._folder = tempfile.TemporaryDirectory(prefix="benchmark-")
        folder = Path(self._folder.name)
        self._log = folder / "log"
        tls = ""
        if certificate is not None:
            tls = (
                f'[[server.tls]]\nlisten = "127.0.0.1:{self.tls_port}"\n'
                f'certificate = "{certificate[0]}"\nkey = "{certificate[1]}"\n'
            )
        self._config = folder / "routes.toml"
        self._config.write_text(
            f'[server]\nlisten = ["127.0.0.1:{self.port}"]\nworkers = {workers}\n'
            f'takeover_socket = "{folder}/takeover"\n'
            f"drain_seconds = {drain_seconds}\nmax_connections = {max_connections}\n"
            "idle_timeout_seconds = 900\n"
            "websocket_ping_seconds = 0\n"  # a ping would count as what was delivered
            f"header_timeout_seconds = 120\n{tls}"
            '[grip]\nkey = "a key of thirty-two bytes or more"\n'
            f'[publish]\npull = "tcp://127.0.0.1:{self._pull}"\nsub = []\ncommand = ""\n'
            f'http = "127.0.0.1:{self.control_port}"\n'
            f'[log]\nfile = "{self._log}"\nlevel = "warning"\n'
            f'[[route]]\ntargets = [{{ url = "http://127.0.0.1:{backend_port}", '
            f"over_http = true }}]\n{further}"
        )
        arguments = ("run", "--config", str(self._config))
        self._command = [*(launcher or (command(),)), *arguments]
        self._process = subprocess.Popen(self._command)
        self._context = zmq.Context()
        self._push = self._context.socket(zmq.PUSH)
        self._push.linger = 0
        self._push.sndhwm = 0

    def __enter__(self) -> Self:
        try:
            self._wait_until_serving()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait_until_serving(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._takes_connections():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the proxy did not start: {self.log()}")
            time.sleep(0.05)
        self._push.connect(f"tcp://127.0.0.1:{self._pull}")
        time.sleep(0.3)  # ZeroMQ connects in the background

    def _takes_connections(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    @property
    def pull(self) -> str:
        """Where publishers connect."""
        return f"tcp://127.0.0.1:{self._pull}"

    def log(self) -> str:
        """What it logged last."""
        return self._log.read_text()[-2_000:] if self._log.exists() else ""

    def publish(self, channel: str, content: str, **ids: str) -> None:
        """Publish one item in all formats that hold anything, with an `id` and `prev_id` if so."""
        item = {
            "channel": channel,
            "formats": {
                "http-stream": {"content": content},
                "ws-message": {"content": content},
                "http-response": {"body": content},
            },
            **{name.replace("_", "-"): value for name, value in ids.items()},
        }
        self.publish_item(item)

    def publish_item(self, item: dict[str, Any]) -> None:
        """Publish an item as it is."""
        self._push.send(b"J" + json.dumps(item).encode())

    def reload(self) -> None:
        """Have it read its configuration again, in which a comment is new."""
        with self._config.open("a") as config:
            config.write("# once more\n")
        self.signal(signal.SIGHUP)

    def succeed(self) -> subprocess.Popen[bytes]:
        """Start another process that takes the place of this one; the one that drains."""
        old, self._process = self._process, subprocess.Popen(self._command)
        return old

    # -- accounting ------------------------------------------------------------------------

    def processes(self) -> list[int]:
        """Its process, and those that it started."""
        found, todo = [], [self._process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                todo += map(int, children.read_text().split())
        return found

    def cpu_seconds(self) -> dict[int, float]:
        """CPU time so far, by process: the scheduler's account of all its threads."""
        return {pid: _cpu_seconds(pid) for pid in self.processes()}

    def memory_bytes(self) -> int:
        """Its proportional share of memory (PSS), all processes together."""
        return sum(_pss_bytes(pid) for pid in self.processes())

    def settle(self, timeout_seconds: float = 60.0) -> None:
        """Wait until it has nothing to do: less than 2 % of a core over half a second."""
        deadline = time.monotonic() + timeout_seconds
        before = sum(self.cpu_seconds().values())
        while time.monotonic() < deadline:
            time.sleep(0.5)
            now = sum(self.cpu_seconds().values())
            if now - before < 0.01:
                return
            before = now

    def signal(self, number: signal.Signals) -> None:
        """Send its process a signal."""
        self._process.send_signal(number)

    # -- the end ---------------------------------------------------------------------------

    def close(self) -> None:
        """End it."""
        self._push.close()
        self._context.term()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()  # its workers end with it
                self._process.wait()
        self._folder.cleanup()


def used(before: dict[int, float], after: dict[int, float]) -> dict[int, float]:
    """CPU seconds between two accounts, by process, the busiest first."""
    spent = {pid: seconds - before.get(pid, 0.0) for pid, seconds in after.items()}
    return dict(sorted(spent.items(), key=lambda pair: -pair[1]))


def _cpu_seconds(pid: int) -> float:
    total = 0
    for account in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # the thread has just ended
            total += int(account.read_text().split()[0])
    return total / _NANO


def _pss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
