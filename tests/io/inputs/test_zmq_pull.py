import pytest
import structlog
import tnetstring
import trio
import zmq

from realtime_proxy.inputs.zmq_pull import ZmqPull
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net.zmq_socket import PullSocket

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

    def submit(self, items):
        self.items.extend(items)
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
        nursery.start_soon(ZmqPull(socket, line, counters).run)
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
    assert [entry["log_level"] for entry in logs] == ["warning"]


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
        await ZmqPull(socket, Line(), Counters()).run()
    PullSocket(endpoint).close()
