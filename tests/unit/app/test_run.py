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
    """A server that runs until it is cancelled."""

    stopped: bool = False
    cancelled_after_stop: bool = False
    hung_up: int = 0

    async def run(self):
        try:
            await trio.sleep_forever()
        finally:
            self.cancelled_after_stop = self.stopped

    def hang_up(self):
        self.hung_up += 1

    def stop(self):
        self.stopped = True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops(number, monkeypatch):
    monkeypatch.setattr(run_module, "log", run_module.structlog.get_logger())
    serving, told = Serving(), run_module._until_told
    with trio.fail_after(SECONDS), capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            parts = (serving.run, trio.sleep_forever, serving.hang_up, serving.stop)
            nursery.start_soon(told, *parts)
            await trio.testing.wait_all_tasks_blocked()
            signal.raise_signal(signal.SIGHUP)
            await trio.testing.wait_all_tasks_blocked()
            assert (serving.hung_up, serving.stopped) == (1, False)
            signal.raise_signal(number)
    assert serving.cancelled_after_stop
    assert [line["signal"] for line in logs] == ["SIGHUP", number.name]
