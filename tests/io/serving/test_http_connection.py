"""One client connection when several things happen at the same moment.

What clients see is tested end to end.
"""

import socket
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from realtime_proxy.config.server_section import Server
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.net.backlogs import Backlogs
from realtime_proxy.net.client_socket import ClientSocket
from realtime_proxy.net.crew import Crew
from realtime_proxy.net.watcher import Watcher
from realtime_proxy.serving.answered_request import After
from realtime_proxy.serving.http_connection import HttpConnection
from realtime_proxy.wire.http1_server import HeadLimits, KnownRequests

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Hold:
    """Notes why it has ended."""

    held_client = None
    reads_on = False
    ended = None

    def client_gone(self, reason):
        self.ended = reason


class Connection(HttpConnection):
    """Serves each request as a test says, once it says so."""

    __slots__ = ("answer", "may_answer")

    async def _serve_one(self, request, body):
        self._begun(request)
        await self.may_answer.wait()
        return self.answer()


@pytest.fixture
async def watcher(nursery):
    room = Watcher()
    nursery.start_soon(room.run)
    yield room
    nursery.cancel_scope.cancel()
    await trio.lowlevel.cancel_shielded_checkpoint()
    room.close()


@pytest.fixture
def context(nursery, timers, watcher):
    return SimpleNamespace(
        counters=Counters(),
        crew=Crew(nursery),
        drain=None,
        head_limits=HeadLimits(10_000, 1_000),
        known=KnownRequests(),
        roll=None,
        serves_sockjs=False,
        server=Server(),
        timers=timers,
        watcher=watcher,
    )


@pytest.fixture
def connected(context):
    """A connection that works on a request, and its client."""
    ours, client = socket.socketpair()
    for end in (ours, client):
        end.setblocking(False)
    socket_of_ours = ClientSocket(ours, None, context.watcher, Backlogs(Counters()))
    made = Connection(context, socket_of_ours, "", tls=False, on_closed=lambda _: None)
    made.may_answer = trio.Event()
    client.send(REQUEST)
    made.begin()
    yield made, client
    made.close(CloseReason.FINISHED)
    client.close()


def held(connection):
    hold = Hold()

    def answer():
        connection.hold(hold)
        return After.HELD

    connection.answer = answer
    return hold


async def ends_for_being_idle(client, idle_seconds, jump):
    """Not before its time, and at most a sixteenth after it."""
    await jump(idle_seconds - 0.1)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    await jump(idle_seconds / 16 + 0.2)
    assert client.recv(1) == b""


async def test_a_request_is_cut_at_once(connected):
    connection, client = connected
    await trio.testing.wait_all_tasks_blocked()
    connection.cut(CloseReason.ADMIN_CLOSED)
    await trio.testing.wait_all_tasks_blocked()
    assert client.recv(1) == b""


async def test_who_is_cut_too_late_is_not_held(connected):
    connection, client = connected
    hold = held(connection)
    await trio.testing.wait_all_tasks_blocked()
    connection.may_answer.set()  # from now on cancelling comes too late
    connection.cut(CloseReason.ADMIN_CLOSED)
    await trio.testing.wait_all_tasks_blocked()
    assert client.recv(1) == b""
    assert hold.ended is CloseReason.ADMIN_CLOSED


async def test_who_is_cut_too_late_asks_nothing_more(connected):
    connection, client = connected
    connection.answer = lambda: After.NEXT
    await trio.testing.wait_all_tasks_blocked()
    connection.may_answer.set()
    connection.cut(CloseReason.ADMIN_CLOSED)
    await trio.testing.wait_all_tasks_blocked()
    assert client.recv(1) == b""


async def test_who_leaves_at_the_last_moment_is_not_held(connected):
    connection, client = connected
    hold = held(connection)
    await trio.testing.wait_all_tasks_blocked()
    connection.may_answer.set()
    client.close()
    await trio.testing.wait_all_tasks_blocked()
    assert hold.ended is CloseReason.CLIENT_GONE
    assert len(connection.context.watcher) == 0


async def test_who_is_idle_for_too_long_is_closed_and_no_sooner(connected, jump, mock_clock):
    connection, client = connected
    connection.answer = lambda: After.NEXT
    connection.may_answer.set()
    idle_seconds = connection.context.server.idle_timeout_seconds
    await trio.testing.wait_all_tasks_blocked()
    for _ in range(40):  # each time the deadline of the time before is put off, or stays
        await jump(idle_seconds / 13)
        client.send(REQUEST)
        await trio.testing.wait_all_tasks_blocked()
    await ends_for_being_idle(client, idle_seconds, jump)


async def test_a_request_may_take_longer_than_a_client_may_be_idle(connected, jump, mock_clock):
    connection, client = connected
    connection.answer = lambda: After.NEXT
    connection.may_answer.set()
    idle_seconds = connection.context.server.idle_timeout_seconds
    await trio.testing.wait_all_tasks_blocked()
    connection.may_answer = trio.Event()
    client.send(REQUEST)
    await trio.testing.wait_all_tasks_blocked()
    await jump(3 * idle_seconds)
    connection.may_answer.set()
    await trio.testing.wait_all_tasks_blocked()
    await ends_for_being_idle(client, idle_seconds, jump)


async def test_half_a_request_has_not_the_time_of_none(connected, jump, mock_clock):
    connection, client = connected
    connection.answer = lambda: After.NEXT
    connection.may_answer.set()
    await trio.testing.wait_all_tasks_blocked()
    client.send(REQUEST[:-2])
    await trio.testing.wait_all_tasks_blocked()
    await jump(connection.context.server.header_timeout_seconds + 0.1)
    assert client.recv(100).startswith(b"HTTP/1.1 408 ")
