"""As a service of systemd: sockets are given, and the manager is told of the state."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, RawClient

PROGRAM = Path(sys.executable).with_name("realtime-proxy")


@pytest.mark.parametrize("workers", [1, 2])
def test_it_serves_a_given_socket_and_tells_its_state(tmp_path, workers):
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(DEADLINE_SECONDS)
        port = listener.getsockname()[1]
        config = tmp_path / "routes.toml"
        config.write_text(
            f'server = {{ listen = ["127.0.0.1:{port}"], workers = {workers} }}\n'
            'publish = { pull = "", sub = [], command = "", http = "" }\n'
            "route = [{ targets = [{ test = true }] }]\n"
        )
        command = f"export LISTEN_PID=$$; exec 3<&{listener.fileno()}; exec {PROGRAM} run"
        with RawClient(("127.0.0.1", port)) as early:  # it has connected before anybody serves
            process = subprocess.Popen(
                ["/bin/bash", "-c", f"{command} --config {config}"],
                env=os.environ | {"LISTEN_FDS": "1", "NOTIFY_SOCKET": str(tmp_path / "notify")},
                pass_fds=[listener.fileno()],
                stdout=subprocess.DEVNULL,
            )
            try:
                assert manager.recv(4096) == b"READY=1"
                early.request("GET", "/")
                assert early.read_reply().status == 200
                process.send_signal(signal.SIGHUP)
                assert manager.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
                assert manager.recv(4096) == b"READY=1"
                process.terminate()
                assert manager.recv(4096) == b"STOPPING=1"
                assert process.wait(DEADLINE_SECONDS) == 0
            finally:
                process.kill()
                process.wait()
