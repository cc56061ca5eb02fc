import os
import socket
import subprocess
import sys
import time

import pytest
import structlog
import trio

from realtime_proxy.net import service_manager
from realtime_proxy.net.service_manager import ServiceManager, given_sockets


@pytest.fixture(params=["path", "abstract"])
def heard(request, tmp_path):
    """The environment of a service, and what its manager has heard."""
    name = str(tmp_path / "notify") if request.param == "path" else f"\0notify-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.setblocking(False)

        def hear():
            try:
                return manager.recv(4096).decode()
            except BlockingIOError:
                return None

        yield {"NOTIFY_SOCKET": name.replace("\0", "@")}, hear


def test_its_state_is_told(heard):
    environment, hear = heard
    manager = ServiceManager.of(environment)
    manager.tell_ready()
    assert hear() == "READY=1"
    before = time.monotonic_ns() // 1000
    manager.tell_reloading()
    reloading, moment = hear().split("\n")
    assert reloading == "RELOADING=1"
    assert before <= int(moment.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    manager.tell_stopping()
    assert hear() == "STOPPING=1"
    assert environment == {}


async def test_signs_of_life_come_twice_as_often_as_wanted(heard, nursery, mock_clock):
    environment, hear = heard
    environment |= {"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}
    nursery.start_soon(ServiceManager.of(environment).run)
    await trio.testing.wait_all_tasks_blocked()
    assert hear() == "WATCHDOG=1"
    for _ in range(2):
        mock_clock.jump(4.9)
        await trio.testing.wait_all_tasks_blocked()
        assert hear() is None
        mock_clock.jump(0.1)
        await trio.testing.wait_all_tasks_blocked()
        assert hear() == "WATCHDOG=1"


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}])
async def test_no_signs_of_life_are_given_that_others_are_to_give(heard, more):
    environment, hear = heard
    await ServiceManager.of(environment | more).run()
    assert hear() is None


def test_without_a_manager_nothing_happens():
    ServiceManager.of({}).tell_ready()


def test_one_that_is_gone_is_no_reason_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr(service_manager, "log", structlog.get_logger())
    with structlog.testing.capture_logs() as logs:
        ServiceManager.of({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell_ready()
    assert logs[0]["state"] == "READY=1"


GIVEN = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from realtime_proxy.net.service_manager import given_sockets
found = given_sockets(os.environ)
print([one.getsockname() for one in found], [one.get_inheritable() for one in found],
      [name for name in os.environ if name.startswith("LISTEN")])
"""


def test_sockets_that_are_given_are_found():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        environment = {**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:other"}
        shell = f"exec 3<&{listener.fileno()} 4<&{listener.fileno()}; exec \"$0\" -c '{GIVEN}'"
        command = ["/bin/bash", "-c", shell, sys.executable]
        output = subprocess.run(
            command,
            env=environment,
            pass_fds=[listener.fileno()],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert output.strip() == f"{[listener.getsockname()] * 2} [False, False] []"


@pytest.mark.parametrize("whose", ["1", ""])
def test_sockets_of_others_are_left_alone(whose):
    environment = {"LISTEN_FDS": "1", "LISTEN_PID": whose, "HOME": "/"}
    assert given_sockets(environment) == []
    assert environment == {"HOME": "/"}
