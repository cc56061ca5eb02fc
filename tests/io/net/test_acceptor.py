"""Who comes in, who waits, and who is turned away."""

import errno
import socket

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from realtime_proxy.config.addresses import TcpAddress, UnixAddress
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net import acceptor, descriptors
from realtime_proxy.net.acceptor import Acceptor, Entrance, Room
from realtime_proxy.net.descriptors import Descriptors
from realtime_proxy.net.listeners import open_listener

SECONDS = 10


def entrance(size):
    counters = Counters()
    return Entrance(Room(size, counters), Descriptors(counters))


@pytest.fixture(autouse=True)
def _fresh_loggers(monkeypatch):
    """Not those that an earlier test has made, for other settings."""
    for module in (acceptor, descriptors):
        monkeypatch.setattr(module, "log", module.structlog.get_logger())


@pytest.fixture
def listen(sockets):
    """Opens a listener that is closed at the end of the test."""

    def make(address):
        sockets.append(open_listener(address))
        return sockets[-1]

    return make


class Taken(list):
    """The connections that were accepted, closed at the end of the test."""

    def __init__(self, sockets):
        self._sockets = sockets
        self.came = trio.Event()

    def __call__(self, raw, peer):
        self._sockets.append(raw)
        self.append((raw, peer))
        self.came.set()


@pytest.fixture
def taken(sockets):
    return Taken(sockets)


@pytest.fixture
def dial(sockets):
    """Connects to a listener."""

    def make(listener):
        client = socket.socket(listener.family)
        sockets.append(client)
        client.connect(listener.getsockname())
        return client

    return make


async def test_accepting_on_tcp(listen, taken, dial, nursery):
    listener = listen(TcpAddress("127.0.0.1", 0))
    nursery.start_soon(Acceptor(listener, taken, entrance(10)).run)
    with trio.fail_after(SECONDS):
        dial(listener)
        dial(listener)
        await trio.testing.wait_all_tasks_blocked()
    assert [peer for _, peer in taken] == ["127.0.0.1"] * 2
    assert {raw.gettimeout() for raw, _ in taken} == {0.0}


async def test_an_address_of_version_4_is_one_wherever_it_comes_in(listen, taken, nursery):
    """Else who is trusted, or is of this machine, would not be known at an address for both."""
    listener = listen(TcpAddress("*", 0))
    port = listener.getsockname()[1]
    nursery.start_soon(Acceptor(listener, taken, entrance(10)).run)
    with (
        trio.fail_after(SECONDS),
        socket.create_connection(("127.0.0.1", port)),
        socket.create_connection(("::1", port)),
    ):
        await trio.testing.wait_all_tasks_blocked()
    assert [peer for _, peer in taken] == ["127.0.0.1", "::1"]


async def test_accepting_on_a_path(listen, taken, dial, nursery, tmp_path):
    listener = listen(UnixAddress(str(tmp_path / "socket")))
    nursery.start_soon(Acceptor(listener, taken, entrance(10)).run)
    with trio.fail_after(SECONDS):
        dial(listener)
        await trio.testing.wait_all_tasks_blocked()
    assert [peer for _, peer in taken] == [""]


async def test_those_for_whom_there_is_no_room_wait(listen, taken, dial, nursery):
    listener = listen(TcpAddress("127.0.0.1", 0))
    gate = entrance(2)
    room = gate.room
    nursery.start_soon(Acceptor(listener, taken, gate).run)
    with trio.fail_after(SECONDS):
        for _ in range(4):
            dial(listener)
        await trio.testing.wait_all_tasks_blocked()
        assert len(taken) == 2
        room.leave()
        await trio.testing.wait_all_tasks_blocked()
        assert len(taken) == 3
        room.leave()
        room.leave()
        await trio.testing.wait_all_tasks_blocked()
    assert len(taken) == 4


async def test_there_may_be_more_or_less_room_from_some_moment_on(listen, taken, dial, nursery):
    listener = listen(TcpAddress("127.0.0.1", 0))
    gate = entrance(1)
    room = gate.room
    nursery.start_soon(Acceptor(listener, taken, gate).run)
    with trio.fail_after(SECONDS):
        for _ in range(4):
            dial(listener)
        await trio.testing.wait_all_tasks_blocked()
        assert len(taken) == 1
        room.resize(3)
        await trio.testing.wait_all_tasks_blocked()
        assert len(taken) == 3
        room.resize(1)
        room.leave()
        room.leave()
        await trio.testing.wait_all_tasks_blocked()
        assert len(taken) == 3
        room.leave()
        await trio.testing.wait_all_tasks_blocked()
    assert len(taken) == 4


async def test_two_listeners_share_their_room(listen, taken, dial, nursery):
    listeners = [listen(TcpAddress("127.0.0.1", 0)) for _ in range(2)]
    gate = entrance(1)
    for listener in listeners:
        nursery.start_soon(Acceptor(listener, taken, gate).run)
    with trio.fail_after(SECONDS):
        await trio.testing.wait_all_tasks_blocked()
        for listener in listeners:
            dial(listener)
        await trio.testing.wait_all_tasks_blocked()
    assert len(taken) == 1


async def test_room_that_one_listener_has_no_use_for_is_for_the_other(listen, taken, dial, nursery):
    """Both wait for room; the first in line has nobody who wants to come in."""
    quiet, busy = (listen(TcpAddress("127.0.0.1", 0)) for _ in range(2))
    gate = entrance(1)
    gate.room.enter()
    with trio.fail_after(SECONDS):
        nursery.start_soon(Acceptor(quiet, taken, gate).run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(Acceptor(busy, taken, gate).run)
        dial(busy)
        await trio.testing.wait_all_tasks_blocked()
        gate.room.leave()
        await trio.testing.wait_all_tasks_blocked()
    assert len(taken) == 1


async def test_a_listener_is_closed_when_accepting_ends(listen, taken):
    listener = listen(TcpAddress("127.0.0.1", 0))
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Acceptor(listener, taken, entrance(1)).run)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert listener.fileno() == -1


async def test_ending_takes_those_first_who_wait(listen, taken, dial):
    listener = listen(TcpAddress("127.0.0.1", 0))
    for _ in range(200):
        dial(listener)
    acceptor = Acceptor(listener, taken, entrance(1_000))
    acceptor.end()
    with trio.fail_after(SECONDS):
        await acceptor.run()
    assert len(taken) == 200
    assert listener.fileno() == -1


async def test_ending_while_nobody_comes(listen, taken, dial):
    listener = listen(TcpAddress("127.0.0.1", 0))
    acceptor = Acceptor(listener, taken, entrance(10))
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(acceptor.run)
            await trio.testing.wait_all_tasks_blocked()
            dial(listener)
            acceptor.end()
    assert len(taken) == 1
    assert listener.fileno() == -1


class Failing:
    """A listener whose `accept` fails with these errors first."""

    def __init__(self, listener, *errors):
        self._listener = listener
        self._errors = list(errors)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()

    def fileno(self):
        return self._listener.fileno()

    def accept(self):
        if self._errors:
            raise OSError(self._errors.pop(0), "failed")
        return self._listener.accept()


@pytest.mark.parametrize("error", [errno.ECONNABORTED, errno.EPROTO, errno.EMFILE, errno.ENOBUFS])
async def test_accepting_outlives_troubles_that_pass(
    listen, taken, dial, nursery, autojump_clock, error
):
    listener = listen(TcpAddress("127.0.0.1", 0))
    dial(listener)
    nursery.start_soon(Acceptor(Failing(listener, error, error), taken, entrance(1)).run)
    with trio.fail_after(SECONDS):
        await taken.came.wait()


async def test_accepting_ends_with_troubles_that_stay(listen, taken):
    listener = Failing(listen(TcpAddress("127.0.0.1", 0)), errno.EINVAL)
    with trio.fail_after(SECONDS), pytest.raises(OSError, match="failed"):
        await Acceptor(listener, taken, entrance(1)).run()


# -- no room -------------------------------------------------------------------------------


async def test_that_there_is_no_room_is_counted_and_told_once(listen, taken, dial, nursery):
    listener = listen(TcpAddress("127.0.0.1", 0))
    gate = entrance(1)
    with capture_logs() as logs, trio.fail_after(SECONDS):
        nursery.start_soon(Acceptor(listener, taken, gate).run)
        for _ in range(3):
            dial(listener)
        for _ in range(2):
            await trio.testing.wait_all_tasks_blocked()
            gate.room.leave()
        await trio.testing.wait_all_tasks_blocked()
    assert len(taken) == 3
    assert gate.room._counters.limit_connections == 3
    assert [entry["event"] for entry in logs] == ["max_connections is reached: new clients wait"]


async def test_it_is_told_again_if_there_was_room_meanwhile():
    room = Room(1, Counters())
    with capture_logs() as logs:
        for _ in range(2):
            room.enter()
            room.settle()
            with trio.move_on_after(0):
                await room.wait()
            room.leave()
            room.settle()
    assert len(logs) == 2


# -- no open files -------------------------------------------------------------------------


async def test_the_last_open_files_are_not_for_clients(
    listen, taken, dial, nursery, autojump_clock, monkeypatch
):
    """Those who are there need them for their backends."""
    listener = listen(TcpAddress("127.0.0.1", 0))
    gate = entrance(10)
    limit = [0]
    monkeypatch.setattr(descriptors, "_first_reserved", lambda: limit[0])
    with capture_logs() as logs, trio.fail_after(SECONDS):
        nursery.start_soon(Acceptor(listener, taken, gate).run)
        for _ in range(3):
            dial(listener)
        await trio.sleep(SECONDS / 2)
        assert len(taken) == 1
        limit[0] = 1_000_000
        await trio.sleep(SECONDS / 4)
    assert len(taken) == 3
    assert gate.room._counters.limit_open_files == 1
    assert len(logs) == 1
