"""The supervisor, with programs in place of workers that do as the tests need."""

import os
import sys
from pathlib import Path

import pytest
import trio

from realtime_proxy.app import supervisor as supervisor_module
from realtime_proxy.app.supervisor import Supervisor
from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.schema import Config, Publish
from realtime_proxy.config.server_section import Server
from realtime_proxy.errors import ConfigError

SECONDS = 30
CONFIG = Config(
    server=Server(listen=("127.0.0.1:0",), max_connections=101),
    publish=Publish(http="", pull="", sub=(), command=""),
    route=(Route(targets=(Target(demo=True),)),),
)
# A worker, as far as the supervisor can tell.
WORKER = """
import os, pickle, signal, sys, time
order = pickle.load(sys.stdin.buffer)
from realtime_proxy.net.zmq_socket import PairSocket
{before}
with PairSocket(order.link, bind=False) as link:
    link.send([b"Y"])
    assert link._socket.recv_multipart() == [b"@"]
    with open("lives", "a") as lives:
        lives.write(f"{{os.getpid()}} {{order.config.server.max_connections}}\\n")
    {then}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(supervisor_module.tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def workers_are(monkeypatch):
    """Say what workers do, as Python code: before they are ready, and then."""

    def say(before="", then="time.sleep(60)"):
        code = WORKER.format(before=before, then=then)
        monkeypatch.setattr(supervisor_module, "_COMMAND", (sys.executable, "-c", code))

    monkeypatch.setattr(supervisor_module, "_START_INTERVAL_SECONDS", 0.0)
    return say


@pytest.fixture
def supervisor(folder):
    made = Supervisor(CONFIG, Path(), 2)
    yield made
    made.close()


def lives(folder):
    """The process ids of workers that have been ready, and their shares of the connections."""
    file = folder / "lives"
    lines = file.read_text().splitlines() if file.exists() else []
    return [tuple(map(int, line.split())) for line in lines]


async def run_until(supervisor, is_enough):
    """Run until there is enough to judge, and stop."""
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            while not is_enough():  # noqa: ASYNC110  other processes set no event
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()


def is_alive(pid):
    return Path(f"/proc/{pid}").exists()


async def test_workers_are_started_and_stopped(folder, workers_are, supervisor):
    workers_are()
    await run_until(supervisor, lambda: len(lives(folder)) == 2)
    (first, places), (second, _) = lives(folder)
    assert places == 51
    assert not is_alive(first)
    assert not is_alive(second)
    assert list((folder / "tmp").iterdir()) == []


async def test_a_worker_that_ends_is_replaced(folder, workers_are, supervisor):
    workers_are(then="time.sleep(60) if os.path.exists('lives.2') else open('lives.2', 'w')")
    await run_until(supervisor, lambda: len(lives(folder)) == 3)
    assert not any(is_alive(pid) for pid, _ in lives(folder))


@pytest.mark.parametrize(
    ("before", "end"),
    [("sys.exit(3)", "status 3"), ("os.kill(os.getpid(), signal.SIGKILL)", "signal 9")],
)
async def test_workers_that_never_serve_end_the_start(workers_are, supervisor, before, end):
    workers_are(before=before)
    with trio.fail_after(SECONDS), pytest.raises(ExceptionGroup) as caught:
        await supervisor.run()
    error = caught.value
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ConfigError)
    assert f"before it could serve ({end})" in str(error)


async def test_workers_that_can_not_even_be_run_end_the_start(monkeypatch, supervisor):
    monkeypatch.setattr(supervisor_module, "_COMMAND", ("/no/such/program",))
    with trio.fail_after(SECONDS), pytest.raises(ExceptionGroup) as caught:
        await supervisor.run()
    assert caught.group_contains(ConfigError, match="No such file")


async def test_a_worker_that_does_not_stop_is_ended(folder, workers_are, supervisor, monkeypatch):
    monkeypatch.setattr(supervisor_module, "_STOP_SECONDS", 0.1)
    workers_are(before="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    await run_until(supervisor, lambda: len(lives(folder)) == 2)
    assert not any(is_alive(pid) for pid, _ in lives(folder))


async def test_stopping_while_workers_start(folder, workers_are, supervisor):
    workers_are(before="open(f'begun.{os.getpid()}', 'w').close(); time.sleep(60)")
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.run)
            while len(begun := list(folder.glob("begun.*"))) < 2:  # noqa: ASYNC110
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert not any(is_alive(file.suffix[1:]) for file in begun)


def test_handlers_are_tried_before_addresses_are_taken(folder):
    route = Route(targets=(Target(demo=True),), handlers=("no_such_handler",))
    with pytest.raises(ConfigError, match="no_such_handler"):
        Supervisor(Config(route=(route,)), folder, 2)


async def test_a_worker_has_a_group_of_its_own(folder, workers_are, supervisor):
    """What a terminal sends on Ctrl-C is for the supervisor alone."""
    workers_are(before="open(f'group.{os.getpid()}.{os.getpgrp()}', 'w').close()")
    await run_until(supervisor, lambda: len(lives(folder)) == 2)
    groups = [file.name.split(".")[1:] for file in folder.glob("group.*")]
    assert all(pid == group != str(os.getpgrp()) for pid, group in groups)


async def test_workers_are_told_to_drain_and_are_not_replaced(folder, workers_are, supervisor):
    workers_are(then="open(f'told.{os.getpid()}', 'wb').writelines(link._socket.recv_multipart())")
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            while len(lives(folder)) < 2:  # noqa: ASYNC110
                await trio.sleep(0.01)
            await supervisor.drain(3.0)
            nursery.cancel_scope.cancel()
    told = {file.read_bytes() for file in folder.glob("told.*")}
    assert told == {b"Z3.000000"}
    assert len(lives(folder)) == 2
    assert all(listener.socket.fileno() == -1 for slot in supervisor.slots for listener in slot)


async def test_draining_workers_that_do_not_end_are_not_waited_for_without_end(
    workers_are, supervisor, monkeypatch
):
    monkeypatch.setattr(supervisor_module, "FINISH_SECONDS", 0.1)
    workers_are()
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            await supervisor.drain(0.1)
            nursery.cancel_scope.cancel()
