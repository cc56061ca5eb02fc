"""The program under fire: started as a user starts it, its log and its size watched."""

import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import trustme

from realtime_proxy.testing.reserved_ports import reserved_ports

PROGRAM = Path(sys.executable).with_name("realtime-proxy")
START_SECONDS = 30
STOP_SECONDS = 30
FINE_LEVELS = {"debug", "info", "warning"}

# Backend connections are not kept, so that descriptors can be counted.
CONFIG = """
[server]
listen = ["127.0.0.1:0"]
workers = {workers}

[[server.tls]]
listen = "127.0.0.1:0"
certificate = "site.pem"
key = "site.key"
certificates = "."

[backend]
idle_seconds = 0
read_timeout_seconds = 5

[grip]
key = "fuzzed"
upstream_key = "trusted"

[publish]
pull = "ipc://{folder}/pull"
sub = []
command = ""
http = "127.0.0.1:{control}"

[log]
format = "json"

[[route]]
targets = [{{ demo = true }}]

[[route]]
path = "/scripted"
cross_origin = true
debug = true
targets = [{{ url = "http://127.0.0.1:{backend}", over_http = true }}]
"""


class Program:
    """A running realtime-proxy. Everything wrong in its log is in `complaints`.

    Its size is that of all its processes.
    """

    def __init__(self, folder, backend_port, workers):
        self.complaints = []
        self.lines = 0
        self.baseline = None  # descriptors and memory when it is well
        self.pull = f"ipc://{folder}/pull"
        self._certify(folder)
        with reserved_ports(1) as (self.control_port,):
            self._start(folder, backend_port, workers)

    def _start(self, folder, backend_port, workers):
        config = folder / "routes.toml"
        config.write_text(
            CONFIG.format(
                folder=folder, control=self.control_port, backend=backend_port, workers=workers
            )
        )
        self._process = subprocess.Popen(
            [PROGRAM, "run", "--config", config],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONWARNINGS": "default"},
        )
        self.port = self.tls_port = 0
        self._serving = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._serving.wait(START_SECONDS) or not self.port:
            self.stop()
            raise AssertionError(f"the program did not start: {self.complaints}")

    def _certify(self, folder):
        authority = trustme.CA()
        self.authority = authority
        certificate = authority.issue_cert("localhost")
        certificate.private_key_pem.write_to_path(folder / "site.key")
        for part in certificate.cert_chain_pems:
            part.write_to_path(folder / "site.pem", append=True)

    def _read(self):
        for line in self._process.stdout:
            self.lines += 1
            try:
                entry = json.loads(line)
                if entry["event"] == "serving":
                    self.port, self.tls_port = (
                        int(address.rpartition(":")[2]) for address in entry["listen"]
                    )
                    self._serving.set()
                fine = entry["level"] in FINE_LEVELS and "exception" not in entry
            except (ValueError, KeyError):
                fine = False  # a warning of the interpreter, a traceback, half a line
            if not fine:
                self.complaints.append(line.decode(errors="replace").rstrip())
        self._serving.set()

    @property
    def is_running(self):
        return self._process.poll() is None

    @property
    def _processes(self):
        own = Path(f"/proc/{self._process.pid}")
        children = [listed.read_text().split() for listed in own.glob("task/*/children")]
        return [own, *(own.with_name(child) for child in itertools.chain(*children))]

    @property
    def descriptors(self):
        return sum(len(list((process / "fd").iterdir())) for process in self._processes)

    @property
    def resident_bytes(self):
        pages = sum(int((process / "statm").read_text().split()[1]) for process in self._processes)
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self):
        """End it as a service manager does; its exit status."""
        if self.is_running:
            self._process.terminate()
        try:
            status = self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            self._process.stdout.close()
        return status
