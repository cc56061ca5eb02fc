import os

import pytest
import trio

from realtime_proxy.app import watched_files as module
from realtime_proxy.app.watched_files import WatchedFiles
from realtime_proxy.config.schema import Config, Grip
from realtime_proxy.config.server_section import Server, Tls
from realtime_proxy.config.source import Source

SECONDS = 20


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "routes.toml").write_text("a")
    (tmp_path / "names").mkdir()
    return tmp_path


@pytest.fixture
def watched(folder):
    tls = Tls("a:1", "a.pem", "a.key", "names")
    config = Config(server=Server(tls=(tls,)), grip=Grip(key="file:keys/grip"))
    return WatchedFiles(config, Source(Config, folder, folder / "routes.toml"))


def replace(file, text):
    """As editors do, and `convert`."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    new.replace(file)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "routes.toml").write_text("changed"),
        lambda folder: replace(folder / "routes.toml", "b"),
        lambda folder: (folder / "routes.toml").unlink(),
        lambda folder: os.utime(folder / "routes.toml", (1, 1)),
        lambda folder: (folder / "a.pem").write_text("comes later"),
        lambda folder: (folder / "names" / "a.crt").write_text("one more"),
        lambda folder: (folder / "handlers").mkdir(),
        lambda folder: (folder / "keys").mkdir() or (folder / "keys" / "grip").write_text("x"),
    ],
)
def test_what_counts_as_a_change(watched, folder, change):
    assert not watched.have_changed()
    change(folder)
    assert watched.have_changed()
    watched.mark()
    assert not watched.have_changed()


def test_what_does_not(watched, folder):
    (folder / "other.txt").write_text("other")
    (folder / "sub").mkdir()
    assert not watched.have_changed()


def test_the_files_of_another_configuration_are_followed(watched, folder):
    (folder / "routes.toml").write_text("changed")
    (folder / "other.key").write_text("x")
    watched.follow(Config(grip=Grip(key="file:other.key")))
    assert watched.have_changed(), "the change is not seen yet"
    watched.mark()
    (folder / "a.pem").write_text("no longer named")
    assert not watched.have_changed()
    (folder / "other.key").write_text("y!")
    assert watched.have_changed()


async def test_a_change_is_told(watched, folder):
    told = trio.Event()

    async def wait():
        await watched.changed()
        told.set()

    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            while not told.is_set():
                (folder / "names" / "x.crt").write_text(str(trio.current_time()))
                (folder / "unwatched").write_text("x")
                with trio.move_on_after(0.1):
                    await told.wait()


async def test_without_the_kernels_help_files_are_looked_at(watched, folder, monkeypatch):
    refused = trio.Event()

    def refuse(*_, **__):
        refused.set()
        raise OSError("no more watches")

    monkeypatch.setattr(module, "awatch", refuse)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watched.changed)
            await refused.wait()
            (folder / "routes.toml").write_text("changed")


async def test_waiting_can_be_given_up(watched):
    with trio.fail_after(SECONDS), trio.move_on_after(0.1):
        await watched.changed()
