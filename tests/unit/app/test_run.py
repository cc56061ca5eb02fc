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

    async def alone(config, source):
        served.append((1, config, source))

    async def with_workers(config, source, workers):
        served.append((workers, config, source))

    monkeypatch.setattr(run_module, "set_up_logs", lambda _: None)
    monkeypatch.setattr(run_module, "raise_descriptor_limit", served.append)
    monkeypatch.setattr(run_module, "_serve_alone", alone)
    monkeypatch.setattr(run_module, "_serve_with_workers", with_workers)
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

    monkeypatch.setattr(run_module, "_serve_alone", fail_twice)
    with pytest.raises(ConfigError) as caught:
        serve(Config(), SOURCE)
    assert {problem.key_path for problem in caught.value.problems} <= {"a", "b"}
    assert caught.value.problems


def test_other_failures_are_not_hidden(served, monkeypatch):
    async def fail(*_):
        raise ValueError("a defect")

    monkeypatch.setattr(run_module, "_serve_alone", fail)
    with pytest.raises(ValueError, match="a defect"):
        serve(Config(), SOURCE)


@attrs.define
class Serving:
    """A server that runs until it is cancelled, and drains until it may end."""

    drained: bool = False
    was_cancelled: bool = False
    cut_before_the_end: bool = False
    hung_up: int = 0
    may_end: trio.Event = attrs.field(factory=trio.Event)

    async def run(self):
        try:
            await trio.sleep_forever()
        finally:
            self.was_cancelled = True

    def hang_up(self):
        self.hung_up += 1

    async def drain(self):
        await self.may_end.wait()
        self.drained = True

    def cut(self):
        self.cut_before_the_end = not self.was_cancelled

    async def until_told(self):
        parts = (self.run, trio.sleep_forever, self.hang_up, self.drain, self.cut)
        await run_module._until_told(*parts)


@pytest.fixture
def _log(monkeypatch):
    monkeypatch.setattr(run_module, "log", run_module.structlog.get_logger())


@pytest.mark.usefixtures("_log")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_has_it_drain_and_then_end(number):
    serving = Serving()
    with trio.fail_after(SECONDS), capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serving.until_told)
            await trio.testing.wait_all_tasks_blocked()
            signal.raise_signal(signal.SIGHUP)
            await trio.testing.wait_all_tasks_blocked()
            assert serving.hung_up == 1
            signal.raise_signal(number)
            await trio.testing.wait_all_tasks_blocked()
            assert not serving.was_cancelled
            serving.may_end.set()
    assert serving.drained
    assert serving.was_cancelled
    assert [line["signal"] for line in logs] == ["SIGHUP", number.name]


@pytest.mark.usefixtures("_log")
async def test_a_second_signal_cuts_that_short():
    serving = Serving()
    with trio.fail_after(SECONDS), capture_logs():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serving.until_told)
            await trio.testing.wait_all_tasks_blocked()
            signal.raise_signal(signal.SIGTERM)
            await trio.testing.wait_all_tasks_blocked()
            signal.raise_signal(signal.SIGINT)
    assert serving.was_cancelled
    assert serving.cut_before_the_end
    assert not serving.drained
