"""The command socket, with real clients and a played instance behind it."""

import pytest
import structlog
import tnetstring
import trio
import zmq

from realtime_proxy.config.schema import Publish
from realtime_proxy.inputs import zmq_commands
from realtime_proxy.inputs.zmq_commands import ZmqCommands
from realtime_proxy.net.zmq_socket import RouterSocket

SECONDS = 10
SETTINGS = Publish(pull="tcp://*:5560", sub=("ipc://a", "ipc://b"), command="tcp://127.0.0.1:5563")
ITEM = {b"channel": b"a", b"formats": {b"http-stream": {b"content": b"x"}}}


class Instance:
    """Does what it is told, as far as the tests can tell."""

    def __init__(self):
        self.done = []
        self.connections = [b"here"]
        self.silence = trio.Event()
        self.silence.set()

    async def room(self):
        """There is some."""

    def submit(self, items):
        self.done += [item.channel for item in items]

    def recover(self):
        self.done.append("recover")

    def refresh_channel(self, channel):
        if channel == "broken":
            raise RuntimeError("a defect")
        self.done.append(f"refresh {channel}")

    async def refresh_connection(self, name):
        await self.silence.wait()
        return name in self.connections

    async def connected(self, names):
        await self.silence.wait()
        known = self.connections
        return None if known is None else [name for name in names if name in known]


@pytest.fixture
def instance():
    return Instance()


@pytest.fixture
def settings():
    return SETTINGS


class Client:
    """One who sends commands."""

    def __init__(self, socket, endpoint):
        socket.linger = 0
        socket.rcvtimeo = SECONDS * 1_000
        socket.connect(endpoint)
        self.socket = socket

    def send(self, *parts):
        self.socket.send_multipart(parts)

    async def hears(self):
        return await trio.to_thread.run_sync(self.socket.recv_multipart)

    async def call(self, method, arguments=None):
        command = {b"id": b"7", b"method": method.encode()}
        if arguments is not None:
            command[b"args"] = arguments
        self.send(tnetstring.dumps(command))
        reply = tnetstring.loads((await self.hears())[-1])
        assert reply.pop(b"id") == b"7"
        return reply

    async def succeeds(self, method, arguments=None):
        reply = await self.call(method, arguments)
        assert reply.pop(b"success") is True
        (value,) = reply.values()
        return value

    async def fails(self, method, arguments=None):
        reply = await self.call(method, arguments)
        assert reply.pop(b"success") is False
        return reply


@pytest.fixture
def connect(instance, settings, nursery):
    """Make clients."""
    socket = RouterSocket("tcp://127.0.0.1:*")
    nursery.start_soon(ZmqCommands(socket, settings, instance).run)
    with zmq.Context() as context:
        made = []

        def make(kind=zmq.REQ):
            client = Client(context.socket(kind), socket.endpoint)
            made.append(client.socket)
            return client

        yield make
        for client in made:
            client.close()


async def test_publish(connect, instance):
    items = [ITEM, {**ITEM, b"channel": b"b"}]
    assert await connect().succeeds("publish", {b"items": items}) is None
    assert instance.done == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (None, b"Invalid format: object does not contain 'items'"),
        ({b"items": b"x"}, b"Invalid format: object contains 'items' with wrong type"),
        ({b"items": [{b"channel": b"c"}]}, b"Invalid format: no formats specified"),
    ],
)
async def test_publish_what_is_no_item(connect, instance, arguments, text):
    reply = await connect().fails("publish", arguments)
    assert reply == {b"condition": b"bad-request", b"value": text}
    assert instance.done == []


async def test_recover(connect, instance):
    assert await connect().succeeds("recover") is None
    assert instance.done == ["recover"]


@pytest.mark.parametrize(
    ("settings", "uris"),
    [
        (
            SETTINGS,
            {
                b"command": b"tcp://127.0.0.1:5563",
                b"publish-pull": b"tcp://*:5560",
                b"publish-sub": b"ipc://a",
            },
        ),
        (Publish(pull="", sub=()), {b"command": b"tcp://127.0.0.1:5563"}),
        (Publish(pull="", sub_connect=True), {b"command": b"tcp://127.0.0.1:5563"}),
    ],
)
async def test_addresses_are_told(connect, uris):
    assert await connect().succeeds("get-zmq-uris") == uris


async def test_refresh_a_channel(connect, instance):
    assert await connect().succeeds("refresh", {b"channel": "é".encode()}) is None
    assert instance.done == ["refresh é"]


async def test_refresh_a_connection(connect):
    client = connect()
    assert await client.succeeds("refresh", {b"cid": b"here"}) is None
    assert await client.fails("refresh", {b"cid": b"gone"}) == {b"condition": b"item-not-found"}


@pytest.mark.parametrize(
    "arguments", [None, {}, {b"cid": 7}, {b"channel": []}, {b"channel": b"\xff"}]
)
async def test_refresh_of_nothing(connect, arguments):
    reply = await connect().fails("refresh", arguments)
    assert reply.pop(b"value")
    assert reply == {b"condition": b"bad-request"}


async def test_connections_are_checked(connect, instance):
    client = connect()
    assert await client.succeeds("conncheck", {b"ids": [b"gone", b"here"]}) == [b"here"]
    instance.connections = None
    reply = await client.fails("conncheck", {b"ids": [b"here"]})
    assert reply[b"condition"] == b"proxy-request-failed"


@pytest.mark.parametrize("arguments", [None, {b"ids": b"x"}, {b"ids": [7]}])
async def test_checks_of_what_are_no_names(connect, arguments):
    assert (await connect().fails("conncheck", arguments))[b"condition"] == b"bad-request"


async def test_unknown_commands_are_told_so(connect):
    assert await connect().fails("make-tea") == {b"condition": b"method-not-found"}


@pytest.mark.parametrize("parts", [[b""], [b"no"], [b"2:{},"], [b"0:}", b"0:}"]])
async def test_nonsense_gets_a_reply_too(connect, parts):
    client = connect()
    with structlog.testing.capture_logs() as logs:
        client.send(*parts)
        reply = tnetstring.loads((await client.hears())[0])
    assert (reply[b"success"], reply[b"condition"]) == (False, b"bad-request")
    assert [entry["log_level"] for entry in logs] == ["warning"]


async def test_a_defect_is_told_and_ends_nothing(connect):
    client = connect()
    with structlog.testing.capture_logs() as logs:
        reply = await client.fails("refresh", {b"channel": b"broken"})
    assert reply == {b"condition": b"internal-error"}
    assert [entry["log_level"] for entry in logs if entry["log_level"] != "debug"] == ["error"]
    assert await client.succeeds("recover") is None


@pytest.mark.parametrize("envelope", [[b""], [b"further", b"back", b""]])
async def test_dealers_get_back_what_leads_to_them(connect, envelope):
    dealer = connect(zmq.DEALER)
    dealer.send(*envelope, b"19:6:method,7:recover,}")
    *before, reply = await dealer.hears()
    assert before == envelope
    assert tnetstring.loads(reply)[b"success"]


async def test_a_dealer_without_an_empty_part_is_understood_as_well(connect):
    dealer = connect(zmq.DEALER)
    dealer.send(b"19:6:method,7:recover,}")
    (reply,) = await dealer.hears()
    assert tnetstring.loads(reply)[b"success"]


async def test_publishing_keeps_its_order(connect, instance):
    dealer = connect(zmq.DEALER)
    for number in range(500):
        items = [{**ITEM, b"channel": b"%d" % number}]
        dealer.send(b"", tnetstring.dumps({b"method": b"publish", b"args": {b"items": items}}))
    for _ in range(500):
        await dealer.hears()
    assert instance.done == [str(number) for number in range(500)]


async def test_questions_that_wait_hold_up_nobody_until_there_are_many(
    connect, instance, monkeypatch
):
    monkeypatch.setattr(zmq_commands, "MAX_UNDER_WAY", 2)
    instance.silence = trio.Event()
    waiting, other = connect(zmq.DEALER), connect()
    question = tnetstring.dumps({b"method": b"conncheck", b"args": {b"ids": [b"here"]}})
    waiting.send(b"", question)
    assert await other.succeeds("recover") is None
    for _ in range(5):
        waiting.send(b"", question)
    instance.silence.set()
    for _ in range(6):
        assert tnetstring.loads((await waiting.hears())[1])[b"value"] == [b"here"]
