"""Reloading with what serves played by the tests, and a thousand times with a worker."""

import gc
import types
from pathlib import Path

import attrs
import pytest
import structlog
import trio
import trio.testing
import trustme
from structlog.testing import capture_logs

from realtime_proxy.app import reload as module
from realtime_proxy.app.listeners import listeners_of_slots
from realtime_proxy.app.reload import Reloader, put_in_place
from realtime_proxy.app.worker import Worker
from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.schema import Config, Grip, Log
from realtime_proxy.config.server_section import Server, Tls
from realtime_proxy.config.source import Source
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.model.shared_headers import KnownHeaders

SECONDS = 30
OLD, NEW = Config(log=Log(level="warning")), Config(grip=Grip(issuer="new"))


@pytest.fixture(autouse=True)
def _no_log_set_up(monkeypatch):
    monkeypatch.setattr(module, "log", structlog.get_logger())
    monkeypatch.setattr(module, "set_up_logs", lambda _: None)
    monkeypatch.setattr(module, "reopen_log", lambda _: None)


@pytest.fixture
def played(tmp_path):
    """A configuration in a file, and who serves by it."""
    file = tmp_path / "routes.toml"
    file.write_text("old")
    made = types.SimpleNamespace(adopted=[], now=NEW, file=file)

    def load():
        if isinstance(made.now, ConfigError):
            raise made.now
        return made.now

    def prepare(config):
        if config.grip.issuer == "bad":
            raise ConfigError([Problem("grip", "is odd")])
        return f"parts of {config.grip.issuer}"

    source = Source(load, tmp_path, file)
    made.reloader = Reloader(source, OLD, prepare, lambda *both: made.adopted.append(both))
    return made


async def reload(played):
    """Ask, and come back when that is done; what was logged."""
    with trio.fail_after(SECONDS), capture_logs() as logs:
        await played.reloader._reload()
    return logs


async def test_a_new_configuration_takes_the_place_of_the_old(played):
    logs = await reload(played)
    assert played.adopted == [(NEW, "parts of new")]
    assert [line["event"] for line in logs] == ["routes loaded with 0 entries"]


async def test_every_problem_is_told_and_the_old_one_stays(played):
    played.now = ConfigError([Problem("a", "is odd"), Problem("b", "is odd, too")])
    logs = await reload(played)
    assert [line["problem"] for line in logs] == ["a: is odd", "b: is odd, too"]
    assert played.adopted == []


async def test_what_can_not_be_had_is_told_and_the_old_one_stays(played):
    played.now = Config(grip=Grip(issuer="bad"))
    [line] = await reload(played)
    assert line["problem"] == "grip: is odd"
    assert played.adopted == []
    played.now = NEW
    await reload(played)
    assert len(played.adopted) == 1


async def test_what_waits_for_a_restart_is_told_each_time(played):
    played.now = attrs.evolve(NEW, server=Server(workers=7))
    for _ in range(2):
        warning, _ = await reload(played)
        assert warning["keys"] == ["server.workers"]
    assert played.adopted == [(NEW, "parts of new")] * 2


async def test_what_changed_before_it_was_watched_is_seen(played):
    with trio.fail_after(SECONDS), capture_logs():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(played.reloader.run)
            while not played.adopted:  # noqa: ASYNC110  a thread is at work
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert played.adopted == [(NEW, "parts of new")]


async def test_asking_twice_is_one_reload(played, autojump_clock):
    played.now = OLD
    with capture_logs():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(played.reloader.run)
            played.reloader.ask()
            played.reloader.hang_up()
            while not played.adopted:  # noqa: ASYNC110  a thread is at work
                await trio.sleep(0.01)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
    assert len(played.adopted) == 1


async def test_a_changed_file_is_one_reload(played, monkeypatch):
    monkeypatch.setattr(played.reloader, "_has_changed_meanwhile", lambda: False)
    with trio.fail_after(SECONDS), capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(played.reloader.run)
            played.file.write_text("changed")
            while not played.adopted:  # noqa: ASYNC110  a thread is at work
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert logs[0]["event"] == "configuration changed, reloading"
    assert len(played.adopted) == 1


# -- with a worker -------------------------------------------------------------------------

HANDLER = """
import attrs, trio
from realtime_proxy.pipeline import BaseHandler, option

@attrs.frozen
class Settings:
    name: str = option("", "A name.")

class Handler(BaseHandler):
    Config = Settings
    lives = []

    async def run(self):
        self.lives.append(self.config.name)
        try:
            await trio.sleep_forever()
        finally:
            self.lives.remove(self.config.name)
"""


@pytest.fixture
def site(tmp_path):
    """A folder with certificates and a handler."""
    certificate = trustme.CA().issue_cert("a.test")
    (tmp_path / "a.pem").write_bytes(b"".join(b.bytes() for b in certificate.cert_chain_pems))
    (tmp_path / "a.key").write_bytes(certificate.private_key_pem.bytes())
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "lives.py").write_text(HANDLER)
    return tmp_path


def configured(name):
    tls = Tls("127.0.0.1:0", "a.pem", "a.key", "handlers")
    return Config(
        server=Server(listen=("127.0.0.1:0",), tls=(tls,)),
        grip=Grip(key=name * 40, upstream_key="u" * 40),
        handler={"mine": {"use": "lives", "name": name}},
        route=tuple(
            Route(targets=(Target(demo=True),), host=f"{name}{number}.test", handlers=("mine",))
            for number in range(5)
        ),
    )


@pytest.fixture
async def worker(nursery, site):
    """A worker that serves, and is asked nothing."""
    thresholds = gc.get_threshold()
    worker = Worker(configured("a"), site)
    nursery.start_soon(worker.run, listeners_of_slots(configured("a").server, 1)[0])
    await trio.testing.wait_all_tasks_blocked()
    yield worker
    nursery.cancel_scope.cancel()
    gc.set_threshold(*thresholds)
    gc.unfreeze()


async def test_what_handlers_do_in_the_background_changes_with_them(worker):
    lives = type(worker._parts.handlers.handlers["mine"]).lives
    assert lives == ["a"]
    with trio.fail_after(SECONDS):
        assert await put_in_place(configured("b"), worker.prepare, worker.adopt)
        await trio.testing.wait_all_tasks_blocked()
    assert lives == ["b"]


async def test_what_was_made_of_fields_by_the_old_configuration_goes_with_it(worker):
    known = worker._context.known, worker._pool.known
    for each in known:
        each.keep(b"A: b", KnownHeaders([(b"A", b"b")]))
    with trio.fail_after(SECONDS):
        assert await put_in_place(configured("b"), worker.prepare, worker.adopt)
    assert [len(each) for each in known] == [0, 0]


@pytest.mark.parametrize("many", [50, pytest.param(1_000, marks=pytest.mark.slow)])
async def test_reloads_leave_nothing_behind(worker, many):
    def left():
        gc.collect()
        return len(gc.get_objects()), len(list(Path("/proc/self/fd").iterdir()))

    async def reload(count):
        for number in range(count):
            worker.adopt(config := configured("ab"[number % 2]), worker.prepare(config))
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        return left()

    before = await reload(10)
    objects, descriptors = await reload(many)
    assert objects <= before[0] + 100
    assert descriptors == before[1]
    assert type(worker._parts.handlers.handlers["mine"]).lives == ["b"]
