import os
import signal
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from realtime_proxy.app import run as run_module
from realtime_proxy.app.run import serve
from realtime_proxy.config.schema import Config
from realtime_proxy.config.server_section import Server
from realtime_proxy.config.source import Source
from realtime_proxy.errors import ConfigError, Problem

SECONDS = 10
SOURCE = Source(Config, Path())


@pytest.fixture
def served(monkeypatch):
    """What `serve` starts, in place of servers."""
    served = []

    async def serve_them(config, source, workers):
        served.append((workers, config, source))

    monkeypatch.setattr(run_module, "set_up_logs", lambda _: None)
    monkeypatch.setattr(run_module, "raise_descriptor_limit", served.append)
    monkeypatch.setattr(run_module, "_serve", serve_them)
    return served


@pytest.mark.parametrize(
    ("workers", "cores", "processes", "places"),
    [(1, 8, 1, 50_000), (3, 8, 3, 16_667), (0, 4, 4, 12_500), (0, 1, 1, 50_000)],
)
def test_as_many_workers_as_configured(served, monkeypatch, workers, cores, processes, places):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    config = Config(server=Server(workers=workers))
    assert serve(config, SOURCE) == 0
    assert served == [places, (processes, config, SOURCE)]


def test_problems_of_several_tasks_are_told_together(served, monkeypatch):
    async def fail(key):
        raise ConfigError([Problem(key, "is odd")])

    async def fail_twice(*_):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail, "a")
            async with trio.open_nursery() as inner:
                inner.start_soon(fail, "b")

    monkeypatch.setattr(run_module, "_serve", fail_twice)
    with pytest.raises(ConfigError) as caught:
        serve(Config(), SOURCE)
    assert {problem.key_path for problem in caught.value.problems} <= {"a", "b"}
    assert caught.value.problems


def test_other_failures_are_not_hidden(served, monkeypatch):
    async def fail(*_):
        raise ValueError("a defect")

    monkeypatch.setattr(run_module, "_serve", fail)
    with pytest.raises(ValueError, match="a defect"):
        serve(Config(), SOURCE)


class Sides:
    """What others are sent away from."""

    def __init__(self):
        self.were_sent_away = False

    async def send_away(self):
        self.were_sent_away = True


@attrs.define
class Serving:
    """An instance that runs until it is cancelled, and drains until it may end."""

    seconds: float | None = None
    drained: bool = False
    was_cancelled: bool = False
    cut_before_the_end: bool = False
    hung_up: int = 0
    may_end: trio.Event = attrs.field(factory=trio.Event)
    sides: Sides = attrs.field(factory=Sides)
    listeners: list = attrs.field(factory=list)
    door = None
    running = Config(server=Server(drain_seconds=7.0))  # as the reloader has it

    async def run(self, task_status):
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self.was_cancelled = True

    def reopen_logs(self):
        pass

    def hang_up(self):
        self.hung_up += 1

    async def drain(self, seconds):
        self.seconds = seconds
        await self.may_end.wait()
        self.drained = True

    def cut(self):
        self.cut_before_the_end = not self.was_cancelled


class Reloader(Serving):
    """The same again, where it is asked for what changes."""

    async def run(self):
        await trio.sleep_forever()


class Port:
    """Where a successor comes when the test lets it."""

    def __init__(self):
        self.comes = trio.Event()

    async def run(self, _door, _is_alone, taken_over):
        await self.comes.wait()
        await taken_over()


@pytest.fixture
async def serving(nursery, monkeypatch):
    """One that has started, with `reloader`, `port` and `log` beside it, and `ended` at its end."""
    monkeypatch.setattr(run_module, "log", run_module.structlog.get_logger())
    serving, reloader, port, ended = Serving(), Reloader(), Port(), trio.Event()
    manager = run_module.ServiceManager()
    running = run_module._Running(serving, reloader, port, trio.Event(), 1, manager)

    async def run():
        with trio.fail_after(SECONDS):
            await running.run()
        ended.set()

    with capture_logs() as log:
        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        yield serving, reloader, port, ended, log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_has_it_drain_and_then_end(serving, number):
    serving, reloader, _, ended, log = serving
    signal.raise_signal(signal.SIGHUP)
    await trio.testing.wait_all_tasks_blocked()
    assert reloader.hung_up == 1
    signal.raise_signal(number)
    await trio.testing.wait_all_tasks_blocked()
    assert serving.seconds == 7.0
    assert not serving.was_cancelled
    serving.may_end.set()
    await ended.wait()
    assert serving.drained
    assert serving.was_cancelled
    assert not serving.sides.were_sent_away
    assert [line["signal"] for line in log if "signal" in line] == ["SIGHUP", number.name]


async def test_a_second_signal_cuts_that_short(serving):
    serving, _, _, ended, _ = serving
    signal.raise_signal(signal.SIGTERM)
    await trio.testing.wait_all_tasks_blocked()
    signal.raise_signal(signal.SIGINT)
    await ended.wait()
    assert serving.cut_before_the_end
    assert not serving.drained


async def test_a_successor_has_it_drain_and_then_end(serving):
    serving, _, port, ended, _ = serving
    port.comes.set()
    await trio.testing.wait_all_tasks_blocked()
    assert serving.sides.were_sent_away
    assert serving.seconds == 7.0
    serving.may_end.set()
    await ended.wait()
    assert serving.drained


async def test_a_successor_may_come_while_it_drains(serving):
    serving, _, port, ended, _ = serving
    signal.raise_signal(signal.SIGTERM)
    await trio.testing.wait_all_tasks_blocked()
    serving.seconds = None
    port.comes.set()
    await trio.testing.wait_all_tasks_blocked()
    assert serving.sides.were_sent_away
    assert serving.seconds is None
    serving.may_end.set()
    await ended.wait()
