import socket
import ssl

import pytest
import trio
import trio.testing

from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net.backlogs import Backlogs
from realtime_proxy.net.client_socket import RECEIVE_BYTES, ClientSocket
from realtime_proxy.net.tls import TlsCodec, handshake
from realtime_proxy.net.watcher import EDGE, HUNG_UP, READ, WRITE

SECONDS = 10
MUCH = bytes(range(256)) * 2_000  # more than the buffers of a pair take
LIMIT = len(MUCH) * 4


def backlogs(limit=LIMIT, seconds=5):
    made = Backlogs(Counters())
    made.max_bytes, made.max_seconds = limit, seconds
    return made


class Owner:
    """Whoever has the connection: notes the events, and lets a test wait for them."""

    def __init__(self, client, *, closes=False):
        self.events = []
        self.came = trio.Event()
        self._client = client
        self._closes = closes
        client.owner = self

    def ready(self, events):
        self.events.append(events)
        self.came.set()
        if self._closes:
            self._client.close()

    async def wait(self):
        await self.came.wait()
        self.came = trio.Event()


@pytest.fixture
def connect(pair, watcher):
    """Makes a client socket and the peer's end of it."""

    def make(kind="unix", limit=LIMIT, waiting=None):
        ours, theirs = pair(kind)
        bounds = backlogs(limit) if waiting is None else waiting
        return ClientSocket(ours, None, watcher, bounds), theirs

    return make


async def read_some(peer, most=65_536):
    while True:
        try:
            return peer.recv(most)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(peer)


async def read_exactly(peer, size):
    data = b""
    while len(data) < size:
        part = await read_some(peer, size - len(data))
        assert part, "ended too soon"
        data += part
    return data


async def read_to_end(peer):
    data = b""
    while part := await read_some(peer):
        data += part
    return data


async def turns(count=5):
    """Let the watcher hand out whatever there is."""
    for _ in range(count):
        await trio.testing.wait_all_tasks_blocked()


# -- writing -------------------------------------------------------------------------------


async def test_a_write_is_sent_at_once(connect):
    client, peer = connect()
    client.write(b"abc")
    assert peer.recv(10) == b"abc"
    assert client.backlog_bytes == 0


async def test_what_the_kernel_does_not_take_follows_in_order(connect):
    client, peer = connect()
    with trio.fail_after(SECONDS):
        client.write(MUCH)
        assert 0 < client.backlog_bytes < len(MUCH)
        client.write(b"then")
        client.write(b"")
        client.write(b"last")
        assert await read_exactly(peer, len(MUCH) + 8) == MUCH + b"thenlast"
        client.write(b"!")
        assert await read_some(peer) == b"!"
        assert client.backlog_bytes == 0


async def test_a_slow_client_is_given_up_while_others_are_served(connect):
    slow, slow_peer = connect(limit=len(MUCH))
    quick, quick_peer = connect(limit=len(MUCH))
    owner = Owner(slow, closes=True)
    with trio.fail_after(SECONDS):
        for _ in range(6):
            slow.write(MUCH)
            quick.write(MUCH)
            assert await read_exactly(quick_peer, len(MUCH)) == MUCH
        await owner.wait()
        assert slow.overflowed
        assert slow.closed
        assert not quick.overflowed
        received = await read_to_end(slow_peer)
    assert len(received) < len(MUCH)
    assert MUCH.startswith(received)


async def test_one_item_may_be_larger_than_the_limit(connect):
    client, peer = connect(limit=10)
    with trio.fail_after(SECONDS):
        client.write(MUCH)
        assert await read_exactly(peer, len(MUCH)) == MUCH
    assert not client.overflowed


async def test_after_an_overflow_nothing_is_kept(connect):
    client, _ = connect(limit=10)
    client.write(MUCH)
    client.write(MUCH)
    client.write(MUCH)
    assert client.overflowed
    assert client.backlog_bytes == 0


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_writing_to_one_who_has_left_tells_the_owner(connect, kind):
    client, peer = connect(kind)
    owner = Owner(client)
    peer.send(b"abc")
    with trio.fail_after(SECONDS):
        await owner.wait()
    owner = Owner(client, closes=True)
    peer.close()
    with trio.fail_after(SECONDS):
        while not client.closed:  # the first write may still find a way
            client.write(MUCH)
            await turns(1)
    assert owner.events


async def test_writing_after_the_close_does_nothing(connect):
    client, peer = connect()
    client.close()
    client.write(b"late")
    client.close()
    assert peer.recv(10) == b""


# -- waiting for the client ----------------------------------------------------------------


async def test_send_all_returns_at_once_if_all_is_taken(connect):
    client, peer = connect()
    with trio.fail_after(SECONDS):
        assert await client.send_all(b"abc")
    assert peer.recv(10) == b"abc"


async def test_send_all_waits_until_the_client_has_taken_everything(connect, nursery):
    client, peer = connect()
    done = trio.Event()

    async def send():
        assert not await client.send_all(MUCH)
        done.set()

    with trio.fail_after(SECONDS):
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        assert not done.is_set()
        assert await read_exactly(peer, len(MUCH)) == MUCH
        await done.wait()


async def test_send_all_bears_with_what_was_owed_before(connect):
    client, peer = connect(limit=10)
    with trio.fail_after(SECONDS):
        client.write(MUCH)  # one item may be larger than the limit
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send_all, b"next")
            assert await read_exactly(peer, len(MUCH) + 4) == MUCH + b"next"
    assert not client.overflowed


@pytest.mark.parametrize("owed", [b"", MUCH])
async def test_the_room_of_a_view_may_be_used_again_at_once(connect, nursery, owed):
    client, peer = connect()
    room = bytearray(MUCH)
    with trio.fail_after(SECONDS):
        client.write(owed)
        nursery.start_soon(client.send_all, memoryview(room))
        await trio.testing.wait_all_tasks_blocked()
        room[:] = bytes(len(MUCH))
        assert await read_exactly(peer, len(owed) + len(MUCH)) == owed + MUCH


async def test_send_all_gives_up_one_who_takes_nothing(connect, nursery):
    waiting = backlogs()
    client, _ = connect(waiting=waiting)

    async def time_passes():
        for now in (0, 5):
            await trio.testing.wait_all_tasks_blocked()
            waiting.look(now)

    with trio.fail_after(SECONDS):
        nursery.start_soon(time_passes)
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(MUCH)
    assert client.overflowed == "max_backlog_seconds"


async def test_send_all_bears_with_one_who_takes_a_little(connect, nursery):
    """What others add meanwhile is not mistaken for a standstill."""
    waiting = backlogs(LIMIT * 10)
    client, peer = connect(waiting=waiting)
    with trio.fail_after(SECONDS):
        nursery.start_soon(client.send_all, MUCH)
        for now in range(0, 20, 4):
            await trio.testing.wait_all_tasks_blocked()
            await read_exactly(peer, 20_000)
            client.write(b"x" * 30_000)
            await turns()
            waiting.look(now)
            assert not client.overflowed
        await read_exactly(peer, len(MUCH) + 5 * 10_000)
        await trio.testing.wait_all_tasks_blocked()
    assert len(waiting) == 0
    assert waiting.total_bytes == 0


async def test_two_may_wait_for_one_client(connect):
    client, peer = connect()
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send_all, MUCH)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(client.send_all, b"")
            await trio.testing.wait_all_tasks_blocked()
            assert await read_exactly(peer, len(MUCH)) == MUCH


async def test_of_those_who_owe_too_much_together_the_worst_is_given_up(connect):
    waiting = backlogs()
    waiting.max_total_bytes = len(MUCH) * 2
    worst, _ = connect(waiting=waiting)
    other, peer = connect(waiting=waiting)
    owner = Owner(worst, closes=True)
    with trio.fail_after(SECONDS):
        worst.write(MUCH)
        worst.write(MUCH)
        other.write(MUCH)
        await owner.wait()
        assert worst.overflowed == "max_total_backlog_bytes"
        assert waiting.total_bytes == other.backlog_bytes
        assert await read_exactly(peer, len(MUCH)) == MUCH
        await turns()
    assert waiting.total_bytes == 0


async def test_what_waited_for_one_who_is_closed_counts_no_longer(connect):
    waiting = backlogs()
    client, _ = connect(waiting=waiting)
    client.write(MUCH)
    assert waiting.total_bytes == client.backlog_bytes > 0
    client.close()
    assert waiting.total_bytes == 0
    assert len(waiting) == 0


async def test_send_all_ends_when_the_connection_is_closed(connect, nursery):
    client, _ = connect()

    async def close():
        await trio.testing.wait_all_tasks_blocked()
        client.close()

    nursery.start_soon(close)
    with trio.fail_after(SECONDS), pytest.raises(trio.BrokenResourceError):
        await client.send_all(MUCH)


async def test_send_all_that_is_cancelled_leaves_the_rest_to_the_watcher(connect):
    client, peer = connect()
    with trio.move_on_after(0) as scope:
        await client.send_all(MUCH)
    assert scope.cancelled_caught
    with trio.fail_after(SECONDS):
        assert await read_exactly(peer, len(MUCH)) == MUCH


# -- reading -------------------------------------------------------------------------------


async def test_receiving(connect):
    client, peer = connect()
    assert client.receive() is None
    peer.send(b"abc")
    with trio.fail_after(SECONDS):
        await client.wait_readable()
    assert client.receive() == b"abc"
    assert client.receive() is None
    peer.close()
    assert client.receive() == b""


async def test_a_reset_reads_like_an_end(connect):
    client, peer = connect("tcp")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()
    with trio.fail_after(SECONDS):
        await client.wait_readable()
    assert client.receive() == b""


# -- being watched -------------------------------------------------------------------------


async def test_input_is_told_for_as_long_as_it_is_there(connect):
    client, peer = connect()
    owner = Owner(client)
    client.watch_input()
    with trio.fail_after(SECONDS):
        peer.send(b"abc")
        await owner.wait()
        await owner.wait()
        client.receive()
        count = len(owner.events)
        await turns()
    assert len(owner.events) == count


async def test_each_arrival_is_told_once(connect):
    client, peer = connect()
    owner = Owner(client)
    with trio.fail_after(SECONDS):
        for count in (1, 2):
            peer.send(b"abc")
            await owner.wait()
            await turns()
            assert len(owner.events) == count
    assert client.has_input
    assert not client.has_ended


async def test_what_is_still_there_is_told_again_if_asked_for_again(connect):
    client, peer = connect()
    owner = Owner(client)
    with trio.fail_after(SECONDS):
        peer.send(b"abc")
        await owner.wait()
        client.watch_arrivals()
        await owner.wait()
        assert client.receive() == b"abc"
        assert not client.has_input
        client.watch_arrivals()
        await turns()
        assert len(owner.events) == 2
        peer.close()
        await owner.wait()
        assert client.receive() == b""
        assert client.has_ended
        client.watch_arrivals()
        await owner.wait()


async def test_what_does_not_fit_into_one_receive_counts_as_input(connect):
    client, peer = connect()
    data = MUCH[: 2 * RECEIVE_BYTES]
    sent = peer.send(data)
    received = client.receive()
    assert client.has_input == (len(received) == RECEIVE_BYTES)
    while len(received) < sent:
        received += client.receive()
    assert received == data[:sent]
    assert client.receive() is None
    assert not client.has_input


async def test_the_end_is_told_after_what_nobody_has_read(connect):
    client, peer = connect()
    owner = Owner(client)
    with trio.fail_after(SECONDS):
        peer.send(b"abc")
        await owner.wait()
        assert not client.has_ended
        peer.close()
        await owner.wait()
    assert client.has_ended


@pytest.mark.parametrize("data", [MUCH, b""])
async def test_an_end_is_not_told_over_and_over(connect, data):
    """A busy owner lets it stand."""
    client, peer = connect("tcp")
    owner = Owner(client)
    client.write(data)
    with trio.fail_after(SECONDS):
        await read_exactly(peer, len(data))
        await turns()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()
    with trio.fail_after(SECONDS):
        await owner.wait()
        for _ in range(20):
            await trio.lowlevel.checkpoint()
    assert len(owner.events) == 1


async def test_input_that_comes_with_a_backlog_does_not_look_like_an_end(connect):
    """A task works on the first request: the second must not look like the client's end."""
    client, peer = connect()
    owner = Owner(client)
    with trio.fail_after(SECONDS):
        peer.send(b"first")
        await owner.wait()
        assert client.receive() == b"first"
        peer.send(b"second")
        client.write(MUCH)
        assert await read_exactly(peer, len(MUCH)) == MUCH
        await turns()
    assert all(not events & HUNG_UP for events in owner.events)
    assert not client.has_ended


async def test_a_backlog_goes_on_when_input_has_come(connect):
    client, peer = connect()
    owner = Owner(client)
    client.write(MUCH)
    with trio.fail_after(SECONDS):
        peer.send(b"abc")
        await owner.wait()
        assert await read_exactly(peer, len(MUCH)) == MUCH
        await turns()
    assert client.receive() == b"abc"


async def test_input_is_still_told_after_a_backlog_is_written(connect):
    client, peer = connect()
    owner = Owner(client)
    client.write(MUCH)
    with trio.fail_after(SECONDS):
        assert await read_exactly(peer, len(MUCH)) == MUCH
        await turns()
        assert not owner.events
        peer.send(b"abc")
        await owner.wait()


def test_room_to_write_alone_is_not_for_the_owner(pair):
    class Still:
        def add(self, fd, watched, events):
            pass

        def change(self, fd, events):
            self.events = events

    ours, _ = pair()
    still = Still()
    client = ClientSocket(ours, None, still, backlogs())
    owner = Owner(client)
    client.write(MUCH)
    assert still.events == READ | EDGE | WRITE
    client.ready(WRITE)
    assert not owner.events


# -- the end -------------------------------------------------------------------------------


async def test_closing_frees_the_place_and_tells_nobody(connect, watcher):
    client, peer = connect()
    owner = Owner(client)
    client.watch_input()
    assert len(watcher) == 1
    client.write(MUCH)
    client.close()
    assert client.closed
    assert len(watcher) == 0
    assert client.backlog_bytes == 0
    with trio.fail_after(SECONDS):
        await read_to_end(peer)
        await turns()
    assert not owner.events


async def test_an_abort_is_no_clean_end(connect):
    client, peer = connect("tcp")
    client.abort()
    client.abort()
    with trio.fail_after(SECONDS), pytest.raises(ConnectionResetError):
        await read_some(peer)


async def test_the_output_ends_and_the_input_goes_on(connect):
    client, peer = connect()
    client.write(b"abc")
    client.end_output()
    with trio.fail_after(SECONDS):
        assert await read_to_end(peer) == b"abc"
    peer.send(b"more")
    assert client.receive() == b"more"


async def test_the_output_ends_after_the_backlog(connect):
    client, peer = connect()
    client.write(MUCH)
    client.end_output()
    with trio.fail_after(SECONDS):
        assert await read_to_end(peer) == MUCH


async def test_ending_the_input_wakes_who_waits_for_it(connect):
    client, _ = connect()
    client.end_input()
    with trio.fail_after(SECONDS):
        await client.wait_readable()
    assert client.receive() == b""


# -- TLS -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def contexts(authority):
    """The server's and the client's."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("a.example").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


class Peer:
    """The client's end of an encrypted connection."""

    def __init__(self, raw, context):
        self.raw = raw
        self.tls = TlsCodec(context, "a.example")

    async def read_exactly(self, size):
        data = b""
        while len(data) < size:
            part = self.tls.open(await read_some(self.raw))
            assert part != b"", "ended too soon"
            data += part or b""
        return data

    async def read_to_end(self):
        data = b""
        while (part := self.tls.open(await read_some(self.raw))) != b"":
            data += part or b""
        return data


@pytest.fixture
async def connect_tls(pair, watcher, contexts):
    """Makes an encrypted client socket and the peer's end of it."""

    async def make(limit=LIMIT, kind="unix"):
        ours, theirs = pair(kind)
        codec = TlsCodec(contexts[0], None)
        peer = Peer(theirs, contexts[1])
        with trio.fail_after(SECONDS):
            async with trio.open_nursery() as shaking:
                shaking.start_soon(handshake, ours, codec)
                shaking.start_soon(handshake, theirs, peer.tls)
        return ClientSocket(ours, codec, watcher, backlogs(limit)), peer

    return make


async def test_encrypted_writes_are_sent_at_once(connect_tls):
    client, peer = await connect_tls()
    client.write(b"abc")
    client.write(b"")
    client.write(b"def")
    with trio.fail_after(SECONDS):
        assert await peer.read_exactly(6) == b"abcdef"


async def test_encrypted_reading(connect_tls):
    client, peer = await connect_tls()
    assert client.receive() is None
    peer.raw.send(peer.tls.seal(b"abc") + peer.tls.seal(b"def"))
    assert client.receive() == b"abcdef"
    record = peer.tls.seal(b"ghi")
    peer.raw.send(record[:9])
    assert client.receive() is None
    peer.raw.send(record[9:])
    assert client.receive() == b"ghi"
    peer.raw.send(peer.tls.goodbye())
    assert client.receive() == b""


@pytest.mark.parametrize("watch", [ClientSocket.watch_input, ClientSocket.watch_arrivals])
@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_a_goodbye_behind_the_last_bytes_is_told(connect_tls, watch, kind):
    """Whether or not the other side ends its connection, too."""
    client, peer = await connect_tls(kind=kind)
    owner = Owner(client)
    watch(client)
    peer.raw.send(peer.tls.seal(b"last") + peer.tls.goodbye())
    with trio.fail_after(SECONDS):
        await owner.wait()
        assert client.receive() == b"last"
        await owner.wait()
    assert client.receive() == b""


async def test_an_encrypted_backlog_follows_in_order(connect_tls, timers, nursery):
    client, peer = await connect_tls()
    with trio.fail_after(SECONDS):
        nursery.start_soon(client.send_all, MUCH)
        await trio.testing.wait_all_tasks_blocked()
        client.write(b"then")
        assert await peer.read_exactly(len(MUCH) + 4) == MUCH + b"then"


async def test_an_encrypted_connection_says_goodbye_after_its_backlog(connect_tls):
    client, peer = await connect_tls()
    client.write(MUCH)
    client.end_output()
    client.write(b"too late")
    with trio.fail_after(SECONDS):
        assert await peer.read_to_end() == MUCH
        assert await read_some(peer.raw) == b""


async def test_after_the_goodbye_nothing_is_written_and_input_still_read(connect_tls):
    client, peer = await connect_tls()
    client.end_output()
    client.write(b"too late")
    with trio.fail_after(SECONDS):
        assert await peer.read_to_end() == b""
    peer.raw.send(peer.tls.seal(b"abc"))
    client.receive()
    peer.raw.close()
    assert client.receive() == b""


async def test_garbage_for_records_ends_the_connection(connect_tls):
    client, peer = await connect_tls()
    peer.raw.send(b"GET / HTTP/1.1\r\n\r\n")
    assert client.receive() == b""
    assert client.receive() == b""
    client.write(b"abc")
    client.end_output()
    client.close()


async def test_a_connection_that_ends_without_a_goodbye_has_ended(connect_tls):
    client, peer = await connect_tls()
    peer.raw.close()
    assert client.receive() == b""
    assert client.receive() == b""


async def test_an_encrypted_client_that_is_too_slow_is_given_up(connect_tls):
    client, _ = await connect_tls(limit=10)
    owner = Owner(client, closes=True)
    client.write(MUCH)
    client.write(MUCH)
    with trio.fail_after(SECONDS):
        await owner.wait()
    client.write(b"late")
    assert client.overflowed


async def test_a_request_that_comes_along_with_the_handshake_is_not_left_there(
    pair, watcher, contexts
):
    ours, theirs = pair()
    codec = TlsCodec(contexts[0], None)
    peer = TlsCodec(contexts[1], "a.example")
    with trio.fail_after(SECONDS):
        peer.handshake(b"")
        codec.handshake(peer.output())
        assert peer.handshake(codec.output())
        theirs.send(peer.output() + peer.seal(b"GET /"))
        await handshake(ours, codec)
    client = ClientSocket(ours, codec, watcher, backlogs())
    assert client.receive() == b"GET /"
    assert client.receive() is None


async def test_the_kernel_tells_what_the_client_has_taken(connect):
    client, peer = connect("tcp")
    client.write(b"x" * 1_000)
    assert await read_exactly(peer, 1_000)
    with trio.fail_after(SECONDS):
        while client.bytes_sent < 1_000:  # noqa: ASYNC110  it is acknowledged a little later
            await trio.sleep(0.01)
    assert client.bytes_sent <= 1_001  # the handshake may count for one


async def test_it_does_not_tell_of_unix_sockets_and_closed_ones(connect):
    client, _ = connect("unix")
    assert client.bytes_sent is None
    assert client.number >= 0
    client.close()
    assert (client.bytes_sent, client.number) == (None, -1)
