"""A worker's end of a link, with the supervisor's played by the tests, and both ends together."""

import msgspec
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from realtime_proxy.channels.registry import Registry
from realtime_proxy.config.schema import Config, Grip, Publish
from realtime_proxy.inputs import worker_link
from realtime_proxy.inputs.holding import Holding
from realtime_proxy.inputs.hub import Hub
from realtime_proxy.inputs.link_messages import decode_item, encode_config, encode_item
from realtime_proxy.inputs.open_connections import OpenConnections
from realtime_proxy.inputs.worker_link import WorkerLink
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.connection_filter import ConnectionFilter
from realtime_proxy.model.consumer_record import ConsumerRecord, encode_record
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.item import HttpStream, Item
from realtime_proxy.net.timers import Timers
from realtime_proxy.net.zmq_socket import PairSocket
from realtime_proxy.pipeline.decision import Renewal
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm

SECONDS = 10


def item(channel, content=b"x"):
    return Item(channel, http_stream=HttpStream(content=content))


class Worker:
    """The parts of a worker that a link is for."""

    def __init__(self, socket, **settings):
        self.registry = Registry()
        self.timers = Timers()
        self.connections = OpenConnections("me", [])
        self.link = WorkerLink(
            socket,
            Publish(**settings),
            self.registry,
            self.connections,
            self.timers,
            Counters(),
        )

    async def run(self):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.link.run)
            nursery.start_soon(self.link.intake.run)

    async def subscribe(self, *channels, form=WireForm.RAW):
        subscriber = RecordingSubscriber(form)
        with trio.fail_after(SECONDS):
            async with Holding(self.link.channels, channels):
                places = [
                    self.registry.subscribe(name, subscriber, shared=len(channels) > 1)
                    for name in channels
                ]
        return subscriber, places

    def unsubscribe(self, places):
        for place in places:
            self.registry.unsubscribe(place)


class PlayedHub:
    """The supervisor's end of a link."""

    def __init__(self, socket):
        self.socket = socket
        self._heard = []

    async def hears(self):
        if not self._heard:
            with trio.fail_after(SECONDS):
                self._heard = await self.socket.receive()
        return self._heard.pop(0)

    async def grants(self, *channels):
        for channel in channels:
            assert await self.hears() == [b"H", channel.encode()]
            self.socket.send([b"G", channel.encode()])


@pytest.fixture
async def ends(tmp_path, nursery):
    """A worker, and the hub that the test plays."""
    endpoint = f"ipc://{tmp_path}/link"
    with PairSocket(endpoint, bind=True) as ours, PairSocket(endpoint, bind=False) as theirs:
        worker = Worker(theirs)
        nursery.start_soon(worker.run)
        yield worker, PlayedHub(ours)
        nursery.cancel_scope.cancel()
        await trio.lowlevel.cancel_shielded_checkpoint()


async def hold(worker, hub, *channels, **options):
    """Subscribe, with the hub's permission."""
    result = []

    async def subscribe():
        result.extend(await worker.subscribe(*channels, **options))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscribe)
        await hub.grants(*channels)
    return result


async def test_being_ready_is_told(ends):
    worker, hub = ends
    worker.link.tell_ready()
    assert await hub.hears() == [b"Y"]


async def test_subscribing_waits_for_all_channels(ends):
    worker, hub = ends
    subscribed = trio.Event()

    async def subscribe():
        await worker.subscribe("a", "é")
        subscribed.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscribe)
        assert await hub.hears() == [b"H", b"a"]
        assert await hub.hears() == [b"H", "é".encode()]
        hub.socket.send([b"G", b"a"])
        hub.socket.send([b"C", b"0", encode_item(item("a"))])
        assert (await hub.hears())[0] == b"N"  # the first grant has arrived
        assert not subscribed.is_set()
        hub.socket.send([b"G", "é".encode()])
        with trio.fail_after(SECONDS):
            await subscribed.wait()


async def test_items_reach_subscribers_and_are_then_reported(ends):
    worker, hub = ends
    subscriber, _ = await hold(worker, hub, "a")
    parts = [encode_item(item("a", b"1")), encode_item(item("a", b"2"))]
    hub.socket.send([b"I", *parts])
    assert await hub.hears() == [b"T", b"%d" % sum(map(len, parts))]
    assert b"".join(subscriber.written) == b"12"


async def test_what_is_no_item_keeps_no_other_back(ends):
    worker, hub = ends
    subscriber, _ = await hold(worker, hub, "a")
    parts = [encode_item(item("a", b"1")), b"nonsense", encode_item(item("a", b"2"))]
    hub.socket.send([b"I", *parts])
    assert await hub.hears() == [b"T", b"%d" % sum(map(len, parts))]
    assert b"".join(subscriber.written) == b"12"


async def test_items_nobody_waits_for_any_more_are_reported_too(ends):
    worker, hub = ends
    worker.link.tell_ready()
    await hub.hears()
    part = encode_item(item("a"))
    hub.socket.send([b"I", part])
    assert await hub.hears() == [b"T", b"%d" % len(part)]


async def test_what_is_not_delivered_yet_is_not_reported(tmp_path, nursery):
    """A worker that can't keep up must not take more and more."""
    endpoint = f"ipc://{tmp_path}/link"
    with PairSocket(endpoint, bind=True) as ours, PairSocket(endpoint, bind=False) as theirs:
        hub, worker = PlayedHub(ours), Worker(theirs)
        nursery.start_soon(worker.link.run)  # and nobody delivers
        await hold(worker, hub, "a")
        hub.socket.send([b"I", encode_item(item("a"))])
        hub.socket.send([b"C", b"0"])
        assert await hub.hears() == [b"N", b"0", b"0", b"0"]
        assert await hub.hears() == [b"T", b"0"]  # that of the count
        nursery.start_soon(worker.link.intake.run)
        assert (await hub.hears())[0] == b"T"
        nursery.cancel_scope.cancel()
        await trio.lowlevel.cancel_shielded_checkpoint()


async def test_deliveries_wait_for_leave_where_the_rate_is_limited(tmp_path, nursery):
    endpoint = f"ipc://{tmp_path}/link"
    with PairSocket(endpoint, bind=True) as ours, PairSocket(endpoint, bind=False) as theirs:
        hub, worker = PlayedHub(ours), Worker(theirs, max_deliveries_per_second=20)
        nursery.start_soon(worker.run)
        subscriber, _ = await hold(worker, hub, "a")
        parts = [encode_item(item("a", b"%d" % number)) for number in range(2)]
        hub.socket.send([b"I", *parts])
        for number in range(2):
            assert await hub.hears() == [b"Q", b"1"]
            assert len(subscriber.written) == number
            hub.socket.send([b"B", b"1"])
        assert await hub.hears() == [b"T", b"%d" % sum(map(len, parts))]
        assert subscriber.written == [b"0", b"1"]
        nursery.cancel_scope.cancel()
        await trio.lowlevel.cancel_shielded_checkpoint()


async def test_the_last_to_leave_gives_the_channel_back(ends):
    worker, hub = ends
    _, first = await hold(worker, hub, "a")
    _, second = await worker.subscribe("a")  # held already: no question
    worker.unsubscribe(first)
    worker.unsubscribe(second)
    worker.link.tell_ready()
    assert await hub.hears() == [b"R", b"a"]
    assert await hub.hears() == [b"Y"]


async def test_who_is_cancelled_while_waiting_leaves_nothing_behind(ends):
    worker, hub = ends
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.subscribe, "a", "b")
        assert await hub.hears() == [b"H", b"a"]
        assert await hub.hears() == [b"H", b"b"]
        nursery.cancel_scope.cancel()
    hub.socket.send([b"G", b"a"])
    hub.socket.send([b"G", b"b"])
    assert await hub.hears() == [b"R", b"a"]
    assert await hub.hears() == [b"R", b"b"]


async def test_subscribers_are_counted(ends):
    worker, hub = ends
    await hold(worker, hub, "a")
    await worker.subscribe("a")
    await worker.subscribe("a", form=WireForm.RESPONSE)  # the item is not for this one
    parts = [encode_item(item("a")), encode_item(item("b"))]
    hub.socket.send([b"C", b"7", *parts])
    assert await hub.hears() == [b"N", b"7", b"2", b"2"]
    assert await hub.hears() == [b"T", b"%d" % sum(map(len, parts))]


async def test_connections_are_found_and_refreshed(ends):
    worker, hub = ends
    websocket = worker.connections.websockets[b"id"] = RecordingSubscriber()
    worker.link.tell_ready()
    assert await hub.hears() == [b"Y"]
    hub.socket.send([b"K", b"1", b"other", b"id"])
    assert await hub.hears() == [b"N", b"1", b"id"]
    hub.socket.send([b"E", b"2", b"other"])
    assert await hub.hears() == [b"N", b"2", b"0"]
    hub.socket.send([b"E", b"3", b"id"])
    assert await hub.hears() == [b"N", b"3", b"1"]
    assert websocket.updates == 1


async def test_credentials_are_renewed_for_other_workers(ends):
    worker, hub = ends

    async def renew(*told):
        if told[0] == "broken":
            raise ValueError("no credential at all")
        return Renewal.ACCEPTED if told == ("id", "tokens", b"c") else Renewal.UNKNOWN

    worker.link.on_renew = renew
    worker.link.tell_ready()
    assert await hub.hears() == [b"Y"]
    for number, name, renewal in ((b"1", b"id", b"accepted"), (b"2", b"other", b"unknown")):
        hub.socket.send([b"n", number, name, b"tokens", b"c"])
        assert await hub.hears() == [b"N", number, renewal]
    hub.socket.send([b"n", b"3", b"broken", b"tokens", b"c"])
    assert await hub.hears() == [b"N", b"3", b"refused"]


async def test_others_are_asked_to_renew_what_is_not_here(ends, nursery, monkeypatch):
    worker, hub = ends
    found = []

    async def renew():
        found.append(await worker.link.renew_elsewhere("id", "tokens", b"c"))

    nursery.start_soon(renew)
    kind, number, *about = await hub.hears()
    assert (kind, about) == (b"n", [b"id", b"tokens", b"c"])
    hub.socket.send([b"r", number, b"accepted"])
    with trio.fail_after(SECONDS):
        while not found:
            await trio.lowlevel.checkpoint()
    monkeypatch.setattr(worker_link, "ANSWER_SECONDS", -0.9)
    await renew()
    assert found == [Renewal.ACCEPTED, Renewal.UNANSWERED]


async def test_websockets_of_a_channel_are_refreshed(ends):
    worker, hub = ends
    websocket, _ = await hold(worker, hub, "a", form=WireForm.FRAME)
    hub.socket.send([b"W", b"a"])
    await everything_is_done(hub)
    assert websocket.updates == 1


async def test_publishing_goes_to_the_hub(ends):
    worker, hub = ends
    worker.link.publish(item("a"))
    kind, part = await hub.hears()
    assert (kind, decode_item(part)) == (b"P", item("a"))


async def test_after_a_loss_holds_ask_their_backends(ends):
    worker, hub = ends
    poll, _ = await hold(worker, hub, "a", form=WireForm.RESPONSE)
    stream, _ = await hold(worker, hub, "b")
    hub.socket.send([b"L", b"3"])
    part = encode_item(item("b"))
    hub.socket.send([b"I", part])
    assert await hub.hears() == [b"T", b"%d" % len(part)]
    await everything_is_done(hub)
    assert (poll.updates, poll.items) == (1, [])
    assert (stream.updates, stream.written) == (1, [b"x"])


async def everything_is_done(hub):
    """Come back when the worker has done what it was told."""
    hub.socket.send([b"I"])
    assert await hub.hears() == [b"T", b"0"]


async def test_the_supervisor_has_holds_ask_their_backends(ends):
    worker, hub = ends
    first, _ = await hold(worker, hub, "a", form=WireForm.RESPONSE)
    other, _ = await hold(worker, hub, "b", form=WireForm.RESPONSE)
    hub.socket.send([b"U", b"a"])
    await everything_is_done(hub)
    assert (first.updates, other.updates) == (1, 0)
    hub.socket.send([b"V"])
    await everything_is_done(hub)
    assert (first.updates, other.updates) == (2, 1)


async def test_last_ids_come_with_grants_and_items_and_are_given_up_for_another(ends):
    worker, hub = ends
    channels = worker.link.channels
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.subscribe, "a")
        assert await hub.hears() == [b"H", b"a"]
        hub.socket.send([b"G", b"a", "é".encode()])
    assert channels.last_id("a") == "é"
    hub.socket.send([b"I", encode_item(Item("a", id="2", http_stream=HttpStream()))])
    assert (await hub.hears())[0] == b"T"
    assert channels.last_id("a") == "2"
    assert not channels.contradicts("a", "3", known_when_asked="2")
    assert await hub.hears() == [b"D", b"a", b"2"]
    hub.socket.send([b"I", encode_item(Item("a", id="4", http_stream=HttpStream()))])
    await hub.hears()
    hub.socket.send([b"V"])
    await everything_is_done(hub)
    assert channels.last_id("a") is None


async def test_a_grant_waits_for_the_items_of_an_earlier_time(ends):
    """Else the last id of these would take the place of the newer one that comes with it."""
    worker, hub = ends
    _, places = await hold(worker, hub, "a")
    worker.unsubscribe(places)
    assert await hub.hears() == [b"R", b"a"]
    hub.socket.send([b"I", encode_item(Item("a", id="5", http_stream=HttpStream()))])
    assert (await hub.hears())[0] == b"T"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.subscribe, "a")
        assert await hub.hears() == [b"H", b"a"]
        hub.socket.send([b"I", encode_item(Item("a", id="6", http_stream=HttpStream()))])
        hub.socket.send([b"G", b"a", b"7"])
    assert worker.link.channels.last_id("a") == "7"


# -- both ends -----------------------------------------------------------------------------------


async def test_everyone_gets_a_gapless_run_from_the_first_item_on(tmp_path, nursery):
    hub = Hub(Publish(), Timers(), Counters())
    workers = []
    sockets = []
    for number in range(2):
        endpoint = f"ipc://{tmp_path}/{number}"
        sockets += [PairSocket(endpoint, bind=True), PairSocket(endpoint, bind=False)]
        workers.append(Worker(sockets[-1]))
        nursery.start_soon(hub.serve, number, sockets[-2], trio.Event())
        nursery.start_soon(workers[-1].run)
    published = 0
    starts = []

    async def publish():
        nonlocal published
        while True:
            hub.submit([item("a", b"%d " % published)])
            published += 1
            await trio.lowlevel.checkpoint()

    async def come(worker):
        subscriber, _ = await worker.subscribe("a")
        starts.append((subscriber, published))

    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as publishing:
            publishing.start_soon(publish)
            async with trio.open_nursery() as coming:
                for number in range(100):
                    coming.start_soon(come, workers[number % 2])
                    await trio.lowlevel.checkpoint()
            publishing.cancel_scope.cancel()
        while hub._links[0].line.waiting_bytes or hub._links[1].line.waiting_bytes:
            await trio.testing.wait_all_tasks_blocked(0.001)
    for subscriber, start in starts:
        got = [int(number) for number in b"".join(subscriber.written).split()]
        assert got == list(range(got[0], published)) if got else start == published
        assert not got or got[0] <= start
    nursery.cancel_scope.cancel()
    await trio.lowlevel.cancel_shielded_checkpoint()
    for socket in sockets:
        socket.close()


async def test_what_the_supervisor_says_of_configurations_and_logs_is_passed_on(ends):
    worker, hub = ends
    told, done = [], trio.Event()
    new = Config(grip=Grip(issuer="new"))
    worker.link.tell_ready()
    assert await hub.hears() == [b"Y"]
    hub.socket.send([b"O"])  # nobody is interested yet
    worker.link.on_configure = told.append
    worker.link.on_reopen = lambda: told and done.set()  # the first may come only now
    hub.socket.send([b"F", encode_config(new)])
    hub.socket.send([b"O"])
    with trio.fail_after(SECONDS):
        await done.wait()
    assert told[-1] == new


async def test_whether_single_clients_are_told_is_passed_on(ends):
    worker, hub = ends
    told = []
    worker.link.tell_ready()
    assert await hub.hears() == [b"Y"]
    hub.socket.send([b"S", b"0"])  # nobody counts yet
    worker.link.on_visits_wanted = told.append
    done = trio.Event()
    worker.link.on_reopen = done.set
    hub.socket.send([b"S", b"0"])
    hub.socket.send([b"S", b"1"])
    hub.socket.send([b"O"])
    with trio.fail_after(SECONDS):
        await done.wait()
    assert told[-2:] == [False, True]


@pytest.mark.parametrize("channels", ["a", "abc"])
async def test_items_right_behind_a_grant_reach_those_who_waited_for_it(ends, channels):
    worker, hub = ends
    for _ in range(20):  # of the tasks that a grant wakes, any may run first
        subscribed = []

        async def subscribe(subscribed=subscribed):
            subscribed.append(await worker.subscribe(*channels))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(subscribe)
            asked = [await hub.hears() for _ in channels]
            for _, channel in asked:
                hub.socket.send([b"G", channel])
            hub.socket.send([b"I", encode_item(item(channels[0]))])
        assert (await hub.hears())[0] == b"T"
        [(subscriber, places)] = subscribed
        assert subscriber.written == [b"x"]
        worker.unsubscribe(places)
        for _ in channels:
            assert (await hub.hears())[0] == b"R"


async def connected(worker, hub):
    """Come back when each can speak to the other."""
    worker.link.tell_ready()
    assert await hub.hears() == [b"Y"]


class Inspector:
    """Says what it was asked; fails at a limit of 0."""

    async def page(self, which, after, limit):
        return [which.route, after, limit, 1 / limit]

    async def dismiss(self, which, dismissal):
        await trio.lowlevel.checkpoint()
        return 7 if (which.route, dismissal.code) == ("r", 4000) else 0


async def test_questions_about_connections_are_answered(ends):
    worker, hub = ends
    worker.link.inspector = Inspector()
    await connected(worker, hub)
    which = msgspec.msgpack.encode(ConnectionFilter(route="r"))
    hub.socket.send([b"J", b"3", which, b"-1", b"2"])
    kind, number, page = await hub.hears()
    assert (kind, number, msgspec.msgpack.decode(page)) == (b"N", b"3", ["r", -1, 2, 0.5])
    with capture_logs() as logs:
        hub.socket.send([b"J", b"4", which, b"-1", b"0"])
        hub.socket.send([b"X", b"5", which, msgspec.msgpack.encode(Dismissal(4000))])
        assert await hub.hears() == [b"N", b"5", b"7"]
    assert [line["event"] for line in logs] == ["inspection failed"]


async def test_subscribers_of_channels_are_counted(ends):
    worker, hub = ends
    await connected(worker, hub)
    worker.registry.subscribe("a", RecordingSubscriber(WireForm.RESPONSE))
    hub.socket.send([b"M", b"3", b"a", b"b"])
    kind, number, counts = await hub.hears()
    assert (kind, number, msgspec.msgpack.decode(counts)) == (b"N", b"3", [{"response": 1}, {}])


async def test_one_worker_may_have_all_end_connections(ends):
    worker, hub = ends
    which, dismissal = ConnectionFilter(consumer="alice"), Dismissal(4001, "revoked")
    await worker.link.dismiss_everywhere(which, dismissal)
    kind, *parts = await hub.hears()
    assert kind == b"X"
    assert parts == [msgspec.msgpack.encode(which), msgspec.msgpack.encode(dismissal)]


async def test_the_consumers_of_the_store_are_learned_before_clients_come(ends, nursery):
    worker, hub = ends
    stored, learned = worker.link.stored, trio.Event()
    alice, bob = ConsumerRecord("1", 1, "alice"), ConsumerRecord("2", 1, "bob")
    stored.put(ConsumerRecord("3", 1, "of an earlier time"))

    async def learn():
        await worker.link.learn_consumers()
        learned.set()

    nursery.start_soon(learn)
    assert await hub.hears() == [b"c"]
    assert not learned.is_set()
    hub.socket.send([b"c", b"0", encode_record(alice)])
    with trio.fail_after(SECONDS):
        await learned.wait()
    assert stored.records == {"1": alice}
    assert not stored.is_known
    hub.socket.send([b"e", b"2", encode_record(bob)])
    hub.socket.send([b"e", b"1"])
    hub.socket.send([b"c", b"1", encode_record(bob)])
    with trio.fail_after(SECONDS):
        while stored.records != {"2": bob}:
            await trio.lowlevel.checkpoint()
