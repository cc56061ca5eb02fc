import pytest
import structlog
import tnetstring
import trio
import trio.testing
import zmq

from realtime_proxy.errors import PublishError
from realtime_proxy.inputs.zmq_items import ZmqItems, item_of_topic, pushed_item
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net.listening_sockets import ListeningSockets
from realtime_proxy.net.zmq_socket import PullSocket, SubSocket
from realtime_proxy.testing.reserved_ports import reserved_ports

SECONDS = 10
GOOD = b'J{"channel": "%b", "formats": {"http-stream": {"content": "x"}}}'
TNETSTRING = tnetstring.dumps({b"channel": b"t", b"formats": {b"http-stream": {b"content": b"x"}}})
BAD = {
    "two parts": [GOOD % b"no", b""],
    "nothing": [b""],
    "broken JSON": [b"J{"],
    "no object": [b"J[]"],
    "no channel": [b'J{"formats": {}}'],
    "broken TNetString": [b"T5:ab,"],
    "neither": [b"hello"],
    "not UTF-8": [b"J\xff"],
    "nested without end": [b"J" + b"[" * 100_000],
    "nested without end in an item": [b'J{"channel": "a", "formats": ' + b'{"a":' * 100_000],
}


class Line:
    """Where items are put in line."""

    def __init__(self):
        self.items = []
        self.came = trio.Event()

    async def room(self):
        """There is some."""

    def submit(self, items):
        self.items.extend(one.item() for one in items)
        self.came.set()

    @property
    def channels(self):
        return [item.channel for item in self.items]


@pytest.fixture
async def pull(nursery):
    """A running input: its line, its counters, and a publisher."""
    line, counters = Line(), Counters()
    socket = PullSocket("tcp://127.0.0.1:*")
    with zmq.Context() as context, context.socket(zmq.PUSH) as publisher:
        publisher.linger = 0
        publisher.connect(socket.endpoint)
        nursery.start_soon(ZmqItems(socket, pushed_item, line, counters).run)
        yield line, counters, publisher


async def wait_for(line, channel):
    with trio.fail_after(SECONDS):
        while channel not in line.channels:
            line.came = trio.Event()
            await line.came.wait()


async def test_items_come_in_their_order(pull):
    line, counters, publisher = pull
    for number in range(1_000):
        publisher.send(GOOD % b"%d" % number)
    await wait_for(line, "999")
    assert line.channels == [str(number) for number in range(1_000)]
    assert counters.items_refused == 0


async def test_all_ways_to_write_an_item(pull):
    line, _, publisher = pull
    for message in (TNETSTRING, b"T" + TNETSTRING, GOOD % b"j"):
        publisher.send(message)
    await wait_for(line, "j")
    assert line.channels == ["t", "t", "j"]


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_message_is_skipped_logged_and_counted(pull, name):
    line, counters, publisher = pull
    with structlog.testing.capture_logs() as logs:
        publisher.send(GOOD % b"before")
        publisher.send_multipart(BAD[name])
        publisher.send(GOOD % b"after")
        await wait_for(line, "after")
    assert line.channels == ["before", "after"]
    assert counters.items_refused == 1
    assert [(entry["log_level"], entry["input"]) for entry in logs] == [("warning", "zmq pull")]


async def test_a_batch_of_nothing_but_bad_messages_is_not_submitted(pull):
    line, counters, publisher = pull
    for _ in range(300):
        publisher.send(b"bad")
    publisher.send(GOOD % b"end")
    with structlog.testing.capture_logs():
        await wait_for(line, "end")
    assert counters.items_refused == 300
    assert line.channels == ["end"]


async def test_the_socket_is_closed_at_the_end():
    socket = PullSocket("tcp://127.0.0.1:*")
    endpoint = socket.endpoint
    with trio.move_on_after(0):
        await ZmqItems(socket, pushed_item, Line(), Counters()).run()
    PullSocket(endpoint).close()


async def test_publishers_that_are_sent_away_lose_nothing(nursery):
    """What they sent before is taken though there is no room; the rest comes to the next one."""
    line, following = Line(), Line()
    line.room = trio.sleep_forever
    sockets = ListeningSockets()
    with (
        reserved_ports(1) as [port],
        zmq.Context() as context,
        context.socket(zmq.PUSH) as publisher,
    ):
        endpoint = f"tcp://127.0.0.1:{port}"
        socket = PullSocket(endpoint, sockets=sockets)
        items = ZmqItems(socket, pushed_item, line, Counters())
        is_over = trio.Event()

        async def run():
            await items.run()
            is_over.set()

        nursery.start_soon(run)
        publisher.linger = 0
        publisher.connect(endpoint)
        for number in range(1_000):
            publisher.send(GOOD % b"%d" % number)
        with trio.fail_after(SECONDS):
            await trio.lowlevel.wait_readable(socket._fd)  # it has connected
            inherited = [one.dup() for one in sockets.all()]
            await items.send_away()
            await is_over.wait()
        socket = PullSocket(endpoint, sockets=ListeningSockets(inherited))
        nursery.start_soon(ZmqItems(socket, pushed_item, following, Counters()).run)
        publisher.send(GOOD % b"1000")
        await wait_for(following, "1000")
        assert line.channels + following.channels == [str(number) for number in range(1_001)]
        nursery.cancel_scope.cancel()


# -- with topics -----------------------------------------------------------------------------------

NAMELESS = b'{"formats": {"http-stream": {"content": "x"}}}'


@pytest.mark.parametrize("frame", [b"J" + NAMELESS, GOOD % b"other", b"T" + TNETSTRING, TNETSTRING])
def test_the_topic_is_the_channel_whatever_the_item_says(frame):
    assert item_of_topic(["é".encode(), frame]).channel == "é"


def test_without_a_topic_the_item_names_its_channel():
    assert item_of_topic([b"", GOOD % b"own"]).channel == "own"
    with pytest.raises(PublishError, match="does not contain 'channel'"):
        item_of_topic([b"", b"J" + NAMELESS])


@pytest.mark.parametrize(
    "parts", [[b"a"], [b"a", b"J" + NAMELESS, b""], [b"\xff", b"J" + NAMELESS], [b"a", b"J{"]]
)
def test_what_is_no_message_with_a_topic_is_refused(parts):
    with pytest.raises(PublishError):
        item_of_topic(parts)


async def test_items_with_topics_are_taken_and_bad_ones_skipped(nursery):
    line, counters = Line(), Counters()
    socket = SubSocket(["tcp://127.0.0.1:*"])
    with zmq.Context() as context, context.socket(zmq.XPUB) as publisher:
        publisher.linger = 0
        publisher.connect(socket.endpoint)
        nursery.start_soon(ZmqItems(socket, item_of_topic, line, counters).run)
        socket.subscribe("a")
        publisher.rcvtimeo = SECONDS * 1_000
        assert await trio.to_thread.run_sync(publisher.recv) == b"\x01a"
        with structlog.testing.capture_logs() as logs:
            publisher.send(b"a")
            publisher.send_multipart([b"a", b"J{"])
            publisher.send_multipart([b"ab", b"J" + NAMELESS])  # topics are beginnings
            await wait_for(line, "ab")
    assert line.channels == ["ab"]
    assert counters.items_refused == 2
    assert [entry["input"] for entry in logs] == ["zmq sub", "zmq sub"]


async def test_nothing_is_read_while_there_is_no_room(nursery):
    """What is not read stays with the publisher, whose own bound counts then."""

    class Full(Line):
        def __init__(self):
            super().__init__()
            self.has_room = trio.Event()

        async def room(self):
            await self.has_room.wait()

    line = Full()
    socket = PullSocket("tcp://127.0.0.1:*")
    with zmq.Context() as context, context.socket(zmq.PUSH) as publisher:
        publisher.linger = 0
        publisher.connect(socket.endpoint)
        nursery.start_soon(ZmqItems(socket, pushed_item, line, Counters()).run)
        publisher.send(GOOD % b"a")
        with trio.fail_after(SECONDS):
            await trio.testing.wait_all_tasks_blocked()
            assert not line.items
            line.has_room.set()
            await wait_for(line, "a")
        nursery.cancel_scope.cancel()
