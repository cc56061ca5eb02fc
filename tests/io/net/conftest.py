"""Real sockets for one test, all closed at its end."""

import socket

import pytest
import trio
import trustme

from realtime_proxy.net.timers import Timers
from realtime_proxy.net.watcher import Watcher


@pytest.fixture
def sockets():
    """Sockets to be closed when the test is over."""
    kept = []
    yield kept
    for kept_socket in kept:
        kept_socket.close()


@pytest.fixture
def pair(sockets):
    """Makes two connected sockets, neither blocking, with small buffers."""

    def make(kind="unix"):
        if kind == "unix":
            ours, theirs = socket.socketpair()
        else:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                theirs = socket.create_connection(listener.getsockname())
                ours, _ = listener.accept()
        for end in (ours, theirs):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        sockets.extend((ours, theirs))
        return ours, theirs

    return make


@pytest.fixture
async def timers(nursery):
    """A wheel that turns."""
    wheel = Timers()
    nursery.start_soon(wheel.run)
    return wheel


@pytest.fixture
async def watcher(nursery):
    """A watcher that runs."""
    room = Watcher()
    nursery.start_soon(room.run)
    yield room
    nursery.cancel_scope.cancel()
    await trio.lowlevel.cancel_shielded_checkpoint()
    room.close()


@pytest.fixture(scope="session")
def authority():
    """A certificate authority of our own."""
    return trustme.CA()
