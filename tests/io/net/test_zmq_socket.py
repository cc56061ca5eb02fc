import stat

import pytest
import structlog
import trio
import trio.testing
import zmq

from realtime_proxy.errors import ConfigError
from realtime_proxy.net.zmq_socket import (
    MAX_BATCH,
    CurveGate,
    DealerSocket,
    PairSocket,
    PubSocket,
    PullSocket,
    RouterSocket,
    SubSocket,
)

SECONDS = 10
ANYWHERE = "tcp://127.0.0.1:*"
# Pairs of keys, the public one first.
SERVER, CLIENT, STRANGER = (zmq.curve_keypair() for _ in range(3))


@pytest.fixture
def pull():
    """A bound socket, closed at the end of the test."""
    with PullSocket(ANYWHERE) as socket:
        yield socket


@pytest.fixture
def push():
    """Makes publishers that are connected to an endpoint."""
    with zmq.Context() as context:
        made = []

        def make(endpoint, own_keys=None, server_key=SERVER[0]):
            socket = context.socket(zmq.PUSH)
            socket.linger = 0
            socket.sndhwm = 0
            if own_keys is not None:
                socket.curve_publickey, socket.curve_secretkey = own_keys
                socket.curve_serverkey = server_key
            socket.connect(endpoint)
            made.append(socket)
            return socket

        yield make
        for socket in made:
            socket.close()


async def receive(socket, count):
    messages = []
    with trio.fail_after(SECONDS):
        while len(messages) < count:
            batch = await socket.receive()
            assert 0 < len(batch) <= MAX_BATCH
            messages += batch
    return messages


async def test_a_message_arrives(pull, push):
    publisher = push(pull.endpoint)
    publisher.send(b"abc")
    assert await receive(pull, 1) == [[b"abc"]]
    publisher.send(b"def")
    assert await receive(pull, 1) == [[b"def"]]


async def test_parts_stay_together(pull, push):
    publisher = push(pull.endpoint)
    publisher.send_multipart([b"a", b"", b"c"])
    publisher.send(b"")
    assert await receive(pull, 2) == [[b"a", b"", b"c"], [b""]]


@pytest.mark.parametrize("count", [MAX_BATCH - 1, MAX_BATCH, MAX_BATCH + 1, 5_000])
async def test_many_at_once_all_arrive_in_order(pull, push, count):
    """The descriptor signals a change only: none may be left lying."""
    publisher = push(pull.endpoint)
    for number in range(count):
        publisher.send(b"%d" % number)
    assert await receive(pull, count) == [[b"%d" % number] for number in range(count)]
    publisher.send(b"last")
    assert await receive(pull, 1) == [[b"last"]]


async def test_publishers_come_and_go(pull, push):
    for number in range(3):
        publisher = push(pull.endpoint)
        publisher.send(b"%d" % number)
        assert await receive(pull, 1) == [[b"%d" % number]]
        publisher.close()


async def test_waiting_wakes_for_a_message(pull, push, nursery):
    messages = []

    async def wait():
        messages.extend(await receive(pull, 1))
        nursery.cancel_scope.cancel()

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    push(pull.endpoint).send(b"abc")
    with trio.fail_after(SECONDS):
        await trio.sleep_forever()


async def test_waiting_can_be_given_up_and_begun_again(pull, push):
    with trio.move_on_after(0) as scope:
        await pull.receive()
    assert scope.cancelled_caught
    push(pull.endpoint).send(b"abc")
    assert await receive(pull, 1) == [[b"abc"]]


async def test_receiving_lets_others_run(pull, push):
    """Even if there is always more."""
    publisher = push(pull.endpoint)
    for _ in range(MAX_BATCH * 3):
        publisher.send(b"x")
    await receive(pull, 1)
    with trio.move_on_after(0) as scope:
        await pull.receive()
    assert scope.cancelled_caught


def test_the_port_that_was_taken_is_told(pull):
    assert "127.0.0.1" in pull.endpoint
    assert int(pull.endpoint.rpartition(":")[2]) > 0


def test_an_address_in_use_is_refused(pull):
    with pytest.raises(ConfigError, match="Address already in use") as caught:
        PullSocket(pull.endpoint)
    assert caught.value.problems[0].key_path == "publish.pull"


@pytest.mark.parametrize(
    "endpoint", ["nonsense", "tcp://192.0.2.1:5560", "ipc:///no/such/folder/x"]
)
def test_an_address_that_can_not_be_had_is_refused(endpoint):
    with pytest.raises(ConfigError, match=f"can't bind {endpoint}"):
        PullSocket(endpoint)


async def test_a_path_with_its_permissions(tmp_path, push):
    endpoint = f"ipc://{tmp_path}/pull"
    with PullSocket(endpoint, 0o640) as pull:
        assert stat.S_IMODE((tmp_path / "pull").stat().st_mode) == 0o640
        push(endpoint).send(b"abc")
        assert await receive(pull, 1) == [[b"abc"]]


def test_permissions_that_can_not_be_set_are_refused():
    with pytest.raises(ConfigError, match="ipc://@abstract-name-of-a-test"):
        PullSocket("ipc://@abstract-name-of-a-test", 0o600)


def test_permissions_are_for_paths_only():
    with PullSocket(ANYWHERE, 0o600) as socket:
        assert socket.endpoint.startswith("tcp://")


def test_closing_gives_the_address_back(tmp_path):
    endpoint = f"ipc://{tmp_path}/pull"
    for _ in range(2):
        socket = PullSocket(endpoint)
        socket.close()
        socket.close()


# -- subscriptions --------------------------------------------------------------------------


class Publisher:
    """A publisher that hears of subscriptions."""

    def __init__(self, socket):
        socket.linger = 0
        socket.rcvhwm = 0
        self.socket = socket

    async def hears(self):
        """The next subscription or its end, while the other end runs, which makes connections."""
        with trio.fail_after(SECONDS):
            while True:
                try:
                    return self.socket.recv(zmq.NOBLOCK)
                except zmq.Again:
                    await trio.sleep(0.001)

    def publish(self, topic, data):
        self.socket.send_multipart([topic, data])


@pytest.fixture
def publisher():
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        yield Publisher(socket)


class Taken:
    """What comes on a socket, which is closed at the end."""

    def __init__(self, socket):
        self._socket = socket
        self._messages = []
        self._more = trio.Event()

    async def run(self):
        with self._socket:
            while True:
                self._messages += await self._socket.receive()
                self._more.set()

    async def first(self, count):
        with trio.fail_after(SECONDS):
            while len(self._messages) < count:
                self._more = trio.Event()
                await self._more.wait()
        return self._messages


@pytest.fixture
def taken(nursery):
    """Take what comes on a socket."""

    def take(socket):
        taken = Taken(socket)
        nursery.start_soon(taken.run)
        return taken

    return take


async def test_publishers_hear_of_the_first_and_the_last_of_a_topic(publisher, taken):
    sub = SubSocket([ANYWHERE])
    messages = taken(sub)
    sub.subscribe("é")
    publisher.socket.connect(sub.endpoint)
    assert await publisher.hears() == b"\x01" + "é".encode()
    sub.subscribe("é")
    sub.subscribe("")  # would be everything
    sub.unsubscribe("é")
    sub.subscribe("b")
    assert await publisher.hears() == b"\x01b"
    publisher.publish(b"other", b"1")
    publisher.publish("é".encode(), b"2")
    assert await messages.first(1) == [["é".encode(), b"2"]]
    sub.unsubscribe("é")
    assert await publisher.hears() == b"\x00" + "é".encode()


async def test_many_topics_all_reach_a_publisher(publisher, taken):
    """Beyond the usual high-water mark, above which subscriptions are dropped in silence."""
    sub = SubSocket([ANYWHERE])
    taken(sub)
    publisher.socket.connect(sub.endpoint)
    for number in range(3_000):
        sub.subscribe(f"{number}")
    assert {await publisher.hears() for _ in range(3_000)} == {b"\x01%d" % n for n in range(3_000)}


async def test_all_addresses_are_listened_to(publisher, taken, tmp_path):
    endpoints = [f"ipc://{tmp_path}/one", f"ipc://{tmp_path}/other"]
    sub = SubSocket(endpoints, 0o600)
    taken(sub)
    sub.subscribe("a")
    for name, endpoint in zip(("one", "other"), endpoints, strict=True):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        publisher.socket.connect(endpoint)
        assert await publisher.hears() == b"\x01a"
        publisher.socket.disconnect(endpoint)
        assert await publisher.hears() == b"\x00a"


async def test_publishers_can_be_connected_to(publisher, taken):
    port = publisher.socket.bind_to_random_port("tcp://127.0.0.1")
    sub = SubSocket.connected([f"tcp://127.0.0.1:{port}"])
    assert sub._socket.tcp_keepalive == 1
    assert sub._socket.tcp_keepalive_idle == 30
    assert sub._socket.tcp_keepalive_cnt == 6
    assert sub._socket.tcp_keepalive_intvl == 5
    messages = taken(sub)
    sub.subscribe("a")
    assert await publisher.hears() == b"\x01a"
    publisher.publish(b"a", b"1")
    assert await messages.first(1) == [[b"a", b"1"]]


@pytest.mark.parametrize(
    ("make", "right"), [(SubSocket, ANYWHERE), (SubSocket.connected, "tcp://127.0.0.1:1")]
)
def test_the_address_that_can_not_be_had_is_told(make, right):
    with pytest.raises(ConfigError, match="tcp://:x") as caught:
        make([right, "tcp://:x"])
    assert caught.value.problems[0].key_path == "publish.sub[1]"


async def test_an_arrival_is_seen_while_topics_change(publisher, taken):
    """Setting them takes the signal of an arrival away from the descriptor."""
    sub = SubSocket([ANYWHERE])
    messages = taken(sub)
    publisher.socket.connect(sub.endpoint)
    sub.subscribe("a")
    assert await publisher.hears() == b"\x01a"
    for number in range(200):
        publisher.publish(b"a", b"%d" % number)
        sub.subscribe(f"{number}")
        await trio.lowlevel.checkpoint()
    assert [data for _, data in await messages.first(200)] == [
        b"%d" % number for number in range(200)
    ]


def test_topics_of_a_closed_socket_are_nobodys_matter():
    sub = SubSocket([ANYWHERE])
    sub.close()
    sub.subscribe("a")
    sub.unsubscribe("a")


# -- requests ------------------------------------------------------------------------------


async def test_replies_find_their_way_back():
    with RouterSocket(ANYWHERE) as router, zmq.Context() as context:
        askers = [context.socket(zmq.REQ) for _ in range(3)]
        for number, asker in enumerate(askers):
            asker.rcvtimeo = SECONDS * 1_000
            asker.connect(router.endpoint)
            asker.send(b"%d" % number)
        for parts in await receive(router, 3):
            router.send([*parts[:-1], b"re " + parts[-1]])
        for number, asker in enumerate(askers):
            assert asker.recv() == b"re %d" % number
            asker.close()
        router.send([b"nobody", b"", b"x"])


def test_where_requests_are_taken_may_be_in_use():
    with RouterSocket(ANYWHERE) as router, pytest.raises(ConfigError) as caught:
        RouterSocket(router.endpoint)
    assert caught.value.problems[0].key_path == "publish.command"


# -- keys ----------------------------------------------------------------------------------------


@pytest.fixture
async def gate(nursery):
    """A gate for one client; it is closed after what it guards."""
    with CurveGate(SERVER[1], [CLIENT[0].decode()]) as gate:
        nursery.start_soon(gate.run)
        yield gate
        nursery.cancel_scope.cancel()
        await trio.lowlevel.cancel_shielded_checkpoint()


async def test_who_has_a_known_key_gets_in_and_nobody_else(gate, push):
    with structlog.testing.capture_logs() as logs, PullSocket(ANYWHERE, None, gate) as pull:
        strangers = [push(pull.endpoint, STRANGER), push(pull.endpoint, CLIENT, STRANGER[0])]
        strangers.append(push(pull.endpoint, None))
        for stranger in strangers:
            stranger.send(b"stranger")
        with trio.fail_after(SECONDS):
            while not logs:  # noqa: ASYNC110  nothing tells of a log line
                await trio.sleep(0.01)
        push(pull.endpoint, CLIENT).send(b"known")
        assert await receive(pull, 1) == [[b"known"]]
        assert {entry["event"] for entry in logs} == {"publisher refused"}
        assert logs[0]["peer"] == "127.0.0.1"


async def test_publishers_that_are_connected_to_must_have_their_key(publisher, taken):
    gate = CurveGate(CLIENT[1], [])
    publisher.socket.curve_server = True
    publisher.socket.curve_secretkey = SERVER[1]
    port = publisher.socket.bind_to_random_port("tcp://127.0.0.1")
    endpoint = f"tcp://127.0.0.1:{port}"
    wrong = SubSocket.connected([endpoint], gate, STRANGER[0].decode())
    wrong.subscribe("wrong")
    taken(wrong)
    right = SubSocket.connected([endpoint], gate, SERVER[0].decode())
    right.subscribe("right")
    taken(right)
    assert await publisher.hears() == b"\x01right"
    gate.close()


def test_a_secret_that_is_no_key_is_refused():
    with pytest.raises(ConfigError, match="no secret key"):
        CurveGate(b"short", [])


# -- links between processes ---------------------------------------------------------------


@pytest.fixture
def link(tmp_path):
    """Both ends of a link."""
    endpoint = f"ipc://{tmp_path}/link"
    with PairSocket(endpoint, bind=True) as one, PairSocket(endpoint, bind=False) as other:
        yield one, other


async def test_a_link_carries_both_ways_in_order(link):
    one, other = link
    other.send([b"ready"])
    assert await receive(one, 1) == [[b"ready"]]
    for number in range(1_000):
        one.send([b"item", b"%d" % number])
        other.send([b"ask", b"%d" % number])
    assert await receive(other, 1_000) == [[b"item", b"%d" % number] for number in range(1_000)]
    assert await receive(one, 1_000) == [[b"ask", b"%d" % number] for number in range(1_000)]


async def test_an_answer_is_seen_while_sending_goes_on(link, nursery):
    """Sending takes the signal of an arrival away from the descriptor."""
    one, other = link
    answers = []

    async def answer():
        while True:
            for parts in await other.receive():
                other.send(parts)

    async def listen():
        while len(answers) < 200:
            answers.extend(await one.receive())
        nursery.cancel_scope.cancel()

    with trio.fail_after(SECONDS):
        other.send([b"ready"])
        await receive(one, 1)
        nursery.start_soon(answer)
        nursery.start_soon(listen)
        for number in range(200):
            one.send([b"%d" % number])
            await trio.lowlevel.checkpoint()
        await trio.sleep_forever()


def test_sending_to_nobody_harms_nobody(tmp_path):
    with PairSocket(f"ipc://{tmp_path}/link", bind=True) as alone:
        alone.send([b"abc"])


def test_a_link_that_can_not_be_made_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="can't make the link"):
        PairSocket(f"ipc://{tmp_path}/{'a' * 200}", bind=True)


# -- asking handlers -----------------------------------------------------------------------


async def test_a_dealer_asks_and_is_answered():
    with DealerSocket(ANYWHERE, "key", 1_000) as dealer, zmq.Context() as context:
        assert not dealer.can_send
        assert not dealer.send([b"", b"to nobody"])
        with context.socket(zmq.REP) as handler:
            handler.linger = 0
            handler.connect(dealer.endpoint)
            with trio.fail_after(SECONDS):
                while not dealer.can_send:  # noqa: ASYNC110  ZeroMQ sets no event
                    await trio.sleep(0.01)
                assert dealer.send([b"", b"question"])
                assert await trio.to_thread.run_sync(handler.recv) == b"question"
                handler.send(b"answer")
                assert await receive(dealer, 1) == [[b"", b"answer"]]


def test_a_dealer_that_can_not_be_had_is_refused():
    for connect in (False, True):
        with pytest.raises(ConfigError, match="key: can't"):
            DealerSocket("tcp://nowhere:x", "key", 1_000, connect=connect)


async def test_listeners_get_what_begins_as_they_asked(tmp_path):
    with (
        PubSocket(f"ipc://{tmp_path}/new/pub", 0o600) as pub,
        zmq.Context() as context,
        context.socket(zmq.SUB) as sub,
    ):
        assert stat.S_IMODE((tmp_path / "new" / "pub").stat().st_mode) == 0o600
        sub.subscribe(b"a ")
        sub.connect(pub.endpoint)
        with trio.fail_after(SECONDS):
            while not sub.poll(10):
                pub.send([b"b 1"])
                pub.send([b"a 2"])
                await trio.lowlevel.checkpoint()
        assert sub.recv() == b"a 2"


@pytest.mark.parametrize("prefix", [b"", b"co", b"conn ", b"conn J"])
async def test_what_is_subscribed_to_is_wanted(prefix):
    with (
        PubSocket(ANYWHERE) as pub,
        zmq.Context() as context,
        context.socket(zmq.SUB) as sub,
    ):
        assert not pub.is_wanted(b"conn ")
        sub.connect(pub.endpoint)
        sub.subscribe(prefix)
        with trio.fail_after(SECONDS):
            while not pub.is_wanted(b"conn "):
                await trio.lowlevel.checkpoint()
            assert pub.is_wanted(b"sub ") == (prefix == b"")
            sub.unsubscribe(prefix)
            while pub.is_wanted(b"conn "):
                await trio.lowlevel.checkpoint()


async def test_whoever_waits_for_listeners_is_told_of_each_change(nursery):
    changes = []

    async def look():
        while len(changes) < 3:
            changes.append(pub.is_wanted(b"conn "))
            await pub.listeners_change()

    with (
        PubSocket(ANYWHERE) as pub,
        zmq.Context() as context,
        context.socket(zmq.SUB) as sub,
        trio.fail_after(SECONDS),
    ):
        nursery.start_soon(look)
        sub.connect(pub.endpoint)
        sub.subscribe(b"conn ")
        while True not in changes:
            await trio.lowlevel.checkpoint()
        sub.unsubscribe(b"conn ")
        while changes[-1]:
            await trio.lowlevel.checkpoint()


async def test_nobody_waits_for_listeners_that_somebody_else_has_heard_of():
    with (
        PubSocket(ANYWHERE) as pub,
        zmq.Context() as context,
        context.socket(zmq.SUB) as sub,
        trio.fail_after(SECONDS),
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pub.listeners_change)
            await trio.testing.wait_all_tasks_blocked()
            sub.connect(pub.endpoint)
            sub.subscribe(b"")
            while not pub.is_wanted(b"conn "):  # as when something is sent
                pass


async def test_nobody_waits_for_listeners_of_what_is_closed():
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            pub = PubSocket(ANYWHERE)
            nursery.start_soon(pub.listeners_change)
            await trio.testing.wait_all_tasks_blocked()
            pub.close()


def test_an_address_for_listeners_that_is_in_use():
    with PubSocket(ANYWHERE) as pub, pytest.raises(ConfigError, match=r"stats\.pub: can't bind"):
        PubSocket(pub.endpoint)
