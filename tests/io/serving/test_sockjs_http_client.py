"""A client of SockJS over HTTP, between a session and receivers that note what they get."""

from types import SimpleNamespace

import pytest
import trio
import trio.testing

from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead
from realtime_proxy.net.backlogs import Backlogs
from realtime_proxy.net.crew import Crew
from realtime_proxy.serving.sockjs_http_client import SockJsHttpClient
from realtime_proxy.sessions.sockjs_session import DISCONNECT_SECONDS, HEARTBEAT_SECONDS
from realtime_proxy.wire.websocket_frame import Opcode, encode_close, encode_frame
from realtime_proxy.wire.websocket_reader import PeerClosed

MAX_BACKLOG_BYTES = 10_000


class Receiver:
    """A request that waits; it takes so many frames."""

    backlog_bytes = 0

    def __init__(self, frames=1):
        self.left = frames
        self.got = []

    def begin(self):
        self.got.append("begin")

    def deliver(self, frame):
        self.got.append(frame)
        self.left -= 1
        return self.left > 0

    def answer(self, response):
        self.got.append(response.status)


class Session:
    """The session with the backend, which notes what the client does."""

    def __init__(self, client):
        self.client = client
        self.got = []
        self.has_begun = False
        self.held_client = self

    async def begin(self):
        self.has_begun = True
        self.client.hold(self)

    def input_arrived(self, data):
        raise NotImplementedError

    def events_arrived(self, events, _size):
        self.got += [getattr(event, "content", event) for event in events]

    def client_gone(self, reason):
        self.got.append(reason)

    @staticmethod
    def is_own_pong(message):
        return message.content == b"ours"

    def let_go(self):
        self.got.append("let go")
        return True


def text(content):
    return encode_frame(Opcode.TEXT, content)


@pytest.fixture
async def house(nursery, timers):
    backlogs = Backlogs(Counters())
    backlogs.max_bytes = MAX_BACKLOG_BYTES
    return SimpleNamespace(
        timers=timers,
        crew=Crew(nursery),
        counters=Counters(),
        tally=None,
        drain=None,
        roll=None,
        backlogs=backlogs,
    )


@pytest.fixture
def over():
    return []


@pytest.fixture
async def client(house, over):
    return SockJsHttpClient(house, "peer", tls=False, user=None, on_over=lambda: over.append(True))


@pytest.fixture
async def session(client):
    """The session of a client that has been accepted, and told so."""
    session = Session(client)
    client.begin(session)
    first = Receiver()
    client.attach(first)
    await trio.testing.wait_all_tasks_blocked()
    assert first.got == []
    client.accepted()
    assert first.got == ["begin", "o"]
    client.take_input(session)
    return session


def written(client, *frames):
    for frame in frames:
        client.write(frame)


async def test_what_waits_is_taken_by_the_next_request(client, session):
    written(client, text(b"a") + text(b"b"), text(b"c"))
    assert client.backlog_bytes > 0
    assert not client.is_receiving
    assert client.take() == 'a["a","b","c"]'
    assert client.take() is None
    assert client.backlog_bytes == 0


async def test_who_waits_gets_messages_at_once(client, session):
    receiver = Receiver(frames=2)
    client.attach(receiver)
    assert client.is_receiving
    written(client, text(b"a"), encode_frame(Opcode.BINARY, b"b"), text(b"c"))
    assert receiver.got == ["begin", 'a["a"]', 'a["b"]']
    assert not client.is_receiving
    assert client.take() == 'a["c"]'


async def test_pings_mean_nothing(client, session, jump, mock_clock):
    written(client, encode_frame(Opcode.PING, b"x"), encode_frame(Opcode.PONG, b"ours"))
    await jump(0.1)
    assert client.take() is None
    assert session.got == []


async def test_pings_of_our_own_are_answered(client, session, jump, mock_clock):
    written(client, encode_frame(Opcode.PING, b"ours"))
    await jump(0.1)
    assert session.got == [b"ours"]


async def test_who_waits_is_sent_heartbeats(client, session, jump, mock_clock):
    receiver = Receiver(frames=3)
    client.attach(receiver)
    await jump(HEARTBEAT_SECONDS - 1)
    written(client, text(b"a"))
    await jump(HEARTBEAT_SECONDS - 1)
    assert receiver.got == ["begin", 'a["a"]']
    await jump(1.1)
    assert receiver.got[2:] == ["h"]
    await jump(HEARTBEAT_SECONDS + 0.1)
    assert receiver.got[2:] == ["h", "h"]


async def test_who_does_not_ask_is_gone(client, session, over, jump, mock_clock):
    await jump(DISCONNECT_SECONDS - 1)
    assert client.take() is None
    receiver = Receiver()
    client.attach(receiver)
    await jump(HEARTBEAT_SECONDS - 1)
    client.receiver_gone(receiver)
    assert not client.is_receiving
    await jump(DISCONNECT_SECONDS - 0.1)
    assert (session.got, over) == ([], [])
    await jump(0.2)
    assert (session.got, over) == ([CloseReason.CLIENT_GONE], [True])
    assert not await client.pass_on(["late"])


async def test_messages_do_not_make_up_for_a_client(client, session, over, jump, mock_clock):
    for _ in range(2):
        await jump(DISCONNECT_SECONDS - 1)
        written(client, text(b"news"))
        await client.pass_on([])
    assert over == [True]


async def test_another_request_that_leaves_changes_nothing(client, session):
    receiver = Receiver()
    client.attach(receiver)
    client.receiver_gone(Receiver())
    assert client.is_receiving


async def test_a_backend_that_takes_its_time(house, jump, mock_clock, over):
    client = SockJsHttpClient(house, "", tls=True, user=None, on_over=lambda: over.append(1))
    session, receiver = Session(client), Receiver()
    client.begin(session)
    client.attach(receiver)
    await jump(1_000)
    assert (receiver.got, over) == ([], [])
    client.receiver_gone(receiver)
    await jump(DISCONNECT_SECONDS + 0.1)
    assert session.got == [CloseReason.CLIENT_GONE]


async def test_who_leaves_before_anything_has_begun(house, over):
    client = SockJsHttpClient(house, "", tls=True, user=None, on_over=lambda: over.append(1))
    session = Session(client)
    client.begin(session)
    client.close(CloseReason.SHUTDOWN)
    await trio.testing.wait_all_tasks_blocked()
    assert not session.has_begun
    assert over == [1]


async def test_messages_wait_until_they_can_be_taken(client, session, nursery):
    client.stop_input()
    nursery.start_soon(client.pass_on, ["a", "ö"])
    await trio.testing.wait_all_tasks_blocked()
    assert client.is_sending
    assert session.got == []
    client.take_input(session)
    await trio.testing.wait_all_tasks_blocked()
    assert not client.is_sending
    assert session.got == [b"a", "ö".encode()]


async def test_a_close_is_answered_in_place_of_the_client(client, session, jump, mock_clock):
    receiver = Receiver(frames=2)
    client.attach(receiver)
    written(client, text(b"a"), encode_close(3456, "go"))
    assert receiver.got[1:] == ['a["a"]', 'c[3456,"go"]']
    await jump(0.1)
    assert session.got == [PeerClosed(3456, "go")]


async def test_a_close_is_told_for_a_while(client, session, over, jump, mock_clock):
    written(client, encode_close(3456, "go"))
    await jump(0.1)
    client.finish()
    for _ in range(2):
        await jump(DISCONNECT_SECONDS - 1)
        assert client.take() == 'c[3456,"go"]'
        assert over == []
    await jump(DISCONNECT_SECONDS + 0.1)
    assert over == [True]
    assert CloseReason.CLIENT_GONE not in session.got


async def test_an_end_without_a_close(client, session, over):
    receiver = Receiver()
    client.attach(receiver)
    client.finish()
    assert receiver.got == ["begin", 410]
    assert over == [True]
    assert client.take() is None


async def test_a_refusal_is_the_answer(house, over):
    client = SockJsHttpClient(house, "", tls=True, user=None, on_over=lambda: over.append(1))
    receiver = Receiver()
    client.attach(receiver)
    client.refused(ResponseHead(403, b"Forbidden", Headers()), b"no")
    client.resume(keep_alive=True)
    assert receiver.got == [403]
    assert over == [1]


async def test_a_client_for_whom_too_much_waits(client, session, over, house, jump, mock_clock):
    written(client, *[text(b"x" * 1_000)] * 11)
    assert session.got == []  # in the middle of a delivery nothing changes
    await jump(0.1)
    assert session.got == [CloseReason.CLIENT_TOO_SLOW]
    assert over == [True]
    assert house.counters.clients_too_slow == 1


async def test_who_writes_can_wait_until_it_is_taken(client, session, nursery):
    done = []

    async def send():
        await client.send(text(b"a"))
        done.append(True)

    nursery.start_soon(send)
    await trio.testing.wait_all_tasks_blocked()
    assert not done
    assert client.take() == 'a["a"]'
    await trio.testing.wait_all_tasks_blocked()
    assert done


async def test_who_waits_for_that_learns_of_the_end(client, session, nursery, jump, mock_clock):
    failed = []

    async def send():
        try:
            await client.send(text(b"a"))
        except trio.BrokenResourceError:
            failed.append(True)

    nursery.start_soon(send)
    await trio.testing.wait_all_tasks_blocked()
    await jump(DISCONNECT_SECONDS + 0.1)
    assert failed


async def test_handlers_know_the_client(client, session):
    assert client.held_client is session
    client.finish()
    assert client.held_client is None


async def test_what_waits_counts_with_that_of_others(client, session, house):
    written(client, text(b"abc"), text(b"def"))
    assert house.backlogs.total_bytes == client.backlog_bytes > 0
    assert len(house.backlogs) == 1
    assert not client.has_moved()
    client.take()
    assert client.has_moved()
    assert not client.has_moved()
    assert (house.backlogs.total_bytes, len(house.backlogs)) == (0, 0)


async def test_what_nobody_fetches_is_counted_no_longer(client, session, house, jump, mock_clock):
    written(client, text(b"abc"))
    await jump(DISCONNECT_SECONDS + 0.1)
    assert (house.backlogs.total_bytes, len(house.backlogs)) == (0, 0)


async def test_a_client_is_let_go_by_its_session(client, session):
    assert client.is_held
    client.leave_if_idle()
    assert client.let_go()
    assert session.got == ["let go"]
    client.finish()
    assert not client.is_held
    assert client.let_go()
