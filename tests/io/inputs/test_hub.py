"""The hub, with workers whose ends of the links are played by the tests."""

import contextlib

import pytest
import trio
import trio.testing

from realtime_proxy.config.schema import Config, Grip, Publish
from realtime_proxy.inputs import hub as hub_module
from realtime_proxy.inputs import questions
from realtime_proxy.inputs.hub import PREDECESSOR, Hub
from realtime_proxy.inputs.link_messages import Kind, decode_config, decode_item, encode_item
from realtime_proxy.inputs.tokens import TokenDesk
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.consumer_record import ConsumerRecord, encode_record
from realtime_proxy.model.item import HttpResponse, HttpStream, Item
from realtime_proxy.net.zmq_socket import PairSocket
from realtime_proxy.pipeline.stored_consumers import StoredConsumers

SECONDS = 10


def item(channel, content=b"x"):
    return Item(channel, http_stream=HttpStream(content=content))


class PlayedWorker:
    """A worker's end of a link: says what it is told to, and hears one message after another."""

    def __init__(self, socket, scope):
        self.socket = socket
        self.ready = trio.Event()
        self._scope = scope
        self._heard = []

    async def hears(self):
        """The next message, waited for."""
        if not self._heard:
            with trio.fail_after(SECONDS):
                self._heard = await self.socket.receive()
        return self._heard.pop(0)

    async def hears_items(self):
        kind, *parts = await self.hears()
        assert kind == b"I"
        return [decode_item(part) for part in parts], sum(map(len, parts))

    async def holds(self, *channels):
        for channel in channels:
            self.socket.send([b"H", channel.encode()])
            assert await self.hears() == [b"G", channel.encode()]

    async def is_heard(self):
        """Come back when the hub has taken everything said so far."""
        self.socket.send([b"H", b"heard?"])
        assert await self.hears() == [b"G", b"heard?"]

    def die(self):
        self._scope.cancel()
        self.socket.close()


@pytest.fixture
def counters():
    return Counters()


class HeldTimers:
    """Takes deadlines, which come when the test says so."""

    def __init__(self):
        self.set = []
        self.time = 0.0

    def now(self):
        return self.time

    def after(self, seconds, callback):
        self.set.append(callback)
        return trio.CancelScope()  # can be cancelled


@pytest.fixture
def timers():
    return HeldTimers()


@pytest.fixture
def hub(timers, counters):
    return Hub(Publish(), timers, counters, max_link_bytes=10_000)


@pytest.fixture
async def join(hub, tmp_path, nursery):
    """Let a worker join, by its number."""
    with contextlib.ExitStack() as stack:

        def join(number, life=0):
            endpoint = f"ipc://{tmp_path}/{number}-{life}"
            bound = stack.enter_context(PairSocket(endpoint, bind=True))
            scope = trio.CancelScope()
            worker = PlayedWorker(stack.enter_context(PairSocket(endpoint, bind=False)), scope)

            async def serve():
                with scope, bound:
                    await hub.serve(number, bound, worker.ready)

            nursery.start_soon(serve)
            return worker

        yield join
        nursery.cancel_scope.cancel()
        await trio.lowlevel.cancel_shielded_checkpoint()


async def test_a_worker_is_ready_when_it_says_so(join):
    worker = join(0)
    await worker.is_heard()
    assert not worker.ready.is_set()
    worker.socket.send([b"Y"])
    with trio.fail_after(SECONDS):
        await worker.ready.wait()


async def test_a_worker_gets_items_of_its_channels_only(hub, join, counters):
    one, other = join(0), join(1)
    await one.holds("a", "é")
    await other.holds("a", "b")
    hub.submit([item("a", b"1"), item("b", b"2"), item("é", b"3"), item("nobody"), item("a", b"4")])
    assert (await one.hears_items())[0] == [item("a", b"1"), item("é", b"3"), item("a", b"4")]
    assert (await other.hears_items())[0] == [item("a", b"1"), item("b", b"2"), item("a", b"4")]
    assert counters.items_published == 5


async def test_a_released_channel_is_heard_of_no_more(hub, join):
    worker = join(0)
    await worker.holds("a", "b")
    worker.socket.send([b"R", b"a"])
    await worker.is_heard()
    hub.submit([item("a"), item("b")])
    assert (await worker.hears_items())[0] == [item("b")]


async def test_items_published_by_a_worker_reach_all(hub, join):
    one, other = join(0), join(1)
    await one.holds("a")
    await other.holds("a")
    other.socket.send([b"P", encode_item(item("a"))])
    assert (await one.hears_items())[0] == [item("a")]
    assert (await other.hears_items())[0] == [item("a")]


async def test_an_item_that_can_not_be_sent_keeps_no_other_back(hub, join):
    worker = join(0)
    await worker.holds("a")
    endless = []
    endless.append(endless)
    odd = Item("a", http_response=HttpResponse(body_patch=endless))
    hub.submit([item("a", b"1"), odd, item("a", b"2")])
    assert (await worker.hears_items())[0] == [item("a", b"1"), item("a", b"2")]


# -- order ---------------------------------------------------------------------------------------


async def test_items_reach_workers_in_their_order_and_once(hub, join):
    worker = join(0)
    await worker.holds("a")
    ids = (("1", None), ("3", "2"), ("1", None), ("2", "1"))
    hub.submit([Item("a", id=name, prev_id=prev) for name, prev in ids])
    assert [one.id for one in (await worker.hears_items())[0]] == ["1", "2", "3"]


async def test_a_grant_tells_the_last_id_for_as_long_as_anybody_holds_the_channel(hub, join):
    one, other = join(0), join(1)
    await one.holds("a")
    hub.submit([Item("a", id="é")])
    await one.hears()
    other.socket.send([b"H", b"a"])
    assert await other.hears() == [b"G", b"a", "é".encode()]
    other.socket.send([b"R", b"a"])
    await other.is_heard()
    one.socket.send([b"R", b"a"])
    await one.is_heard()
    await other.holds("a")  # and knows of no last id


async def test_what_a_dead_worker_held_alone_is_forgotten(hub, join):
    worker, other = join(0), join(1)
    await worker.holds("a")
    hub.submit([Item("a", id="1"), Item("a", id="3", prev_id="2")])
    await worker.hears()
    worker.die()
    await trio.testing.wait_all_tasks_blocked()
    await other.holds("a")
    hub.submit([Item("a", id="9", prev_id="8")])
    assert [one.id for one in (await other.hears_items())[0]] == ["9"]


async def test_a_contradicted_id_keeps_no_next_item_waiting(hub, join):
    worker = join(0)
    await worker.holds("a")
    hub.submit([Item("a", id="1")])
    await worker.hears()
    worker.socket.send([b"D", b"a", b"1"])
    await worker.is_heard()
    hub.submit([Item("a", id="9", prev_id="8")])
    assert [one.id for one in (await worker.hears_items())[0]] == ["9"]


async def test_recovering_is_told_to_all(hub, join):
    one, other = join(0), join(1)
    await one.holds("a")
    await other.is_heard()
    hub.submit([Item("a", id="1")])
    await one.hears()
    hub.recover()
    assert await one.hears() == [b"V"]
    assert await other.hears() == [b"V"]
    await other.holds("a")  # and knows of no last id


async def test_the_first_subscriber_of_all_workers_has_the_channel_updated(hub, timers, join):
    one, other = join(0), join(1)
    await one.holds("a")
    await other.holds("a", "b")
    assert len(timers.set) == 2
    for callback in timers.set:
        callback()
    assert await one.hears() == [b"U", b"a"]
    assert await other.hears() == [b"U", b"a"]
    assert await other.hears() == [b"U", b"b"]


class RecordedTopics:
    def __init__(self):
        self.seen = []

    def subscribe(self, channel):
        self.seen.append("+" + channel)

    def unsubscribe(self, channel):
        self.seen.append("-" + channel)


async def test_channels_are_shown_for_as_long_as_any_worker_holds_them(hub, join):
    one, other = join(0), join(1)
    await one.holds("a")
    topics = RecordedTopics()
    hub.show_channels(topics)
    await other.holds("a", "b")
    one.socket.send([b"R", b"a"])
    await one.is_heard()
    assert topics.seen == ["+a", "+b", "+heard?"]
    other.die()
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(topics.seen[3:]) == ["-a", "-b"]


# -- workers that die ----------------------------------------------------------------------------


async def test_a_dead_worker_is_forgotten(hub, join):
    worker, other = join(0), join(1)
    await worker.holds("a")
    await other.holds("a")
    worker.die()
    hub.submit([item("a", b"1")])  # may come before its death is known
    await trio.testing.wait_all_tasks_blocked()
    hub.submit([item("a", b"2")])
    assert (await other.hears_items())[0] == [item("a", b"1")]
    assert (await other.hears_items())[0] == [item("a", b"2")]
    next_life = join(0, life=1)
    await next_life.holds("b")
    hub.submit([item("a", b"3"), item("b", b"4")])
    assert (await next_life.hears_items())[0] == [item("b", b"4")]


# -- workers that are too slow -------------------------------------------------------------------


async def test_what_a_slow_worker_can_not_take_is_counted_and_told(hub, join, counters):
    slow, quick = join(0), join(1)
    await slow.holds("a")
    await quick.holds("a")
    sent = [item("a", b"%d" % number * 3_000) for number in range(9)]
    for one in sent:
        hub.submit([one])
        _, size = await quick.hears_items()
        quick.socket.send([b"T", b"%d" % size])
        await quick.is_heard()
    assert counters.items_lost == 6
    got = [await slow.hears_items() for _ in range(3)]
    assert [one for items, _ in got for one in items] == sent[:3]

    slow.socket.send([b"T", b"%d" % got[0][1]])
    await slow.is_heard()  # not half of it is free
    hub.submit([sent[0]])
    assert counters.items_lost == 7
    slow.socket.send([b"T", b"%d" % got[1][1]])
    assert await slow.hears() == [b"L", b"7"]
    hub.submit([sent[4]])
    assert (await slow.hears_items())[0] == [sent[4]]
    assert counters.items_lost == 7


async def test_one_item_larger_than_the_bound_passes(hub, join, counters):
    worker = join(0)
    await worker.holds("a")
    large = item("a", b"x" * 20_000)
    hub.submit([large])
    assert (await worker.hears_items())[0] == [large]
    assert counters.items_lost == 0


# -- counting ------------------------------------------------------------------------------------


async def count(hub, items, results):
    with trio.fail_after(SECONDS):
        results.append(await hub.count(items))


async def answers(worker, found):
    """Answer a count."""
    kind, number, *parts = await worker.hears()
    assert kind == b"C"
    worker.socket.send([b"N", number, b"%d" % found, b"1"])
    worker.socket.send([b"T", b"%d" % sum(map(len, parts))])
    return [decode_item(part) for part in parts]


async def test_subscribers_are_counted_over_all_who_hold_a_channel(hub, join, counters):
    one, other, third = join(0), join(1), join(2)
    await one.holds("a")
    await other.holds("a", "b")
    results = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count, hub, [item("a"), item("b"), item("c")], results)
        assert await answers(one, 3) == [item("a")]
        assert await answers(other, 4) == [item("a"), item("b")]
    assert results == [(7, 2)]
    await third.is_heard()  # and was not asked
    assert counters.items_published == 0


async def test_where_nobody_listens_nobody_is_asked(hub, join):
    await join(0).is_heard()
    assert await hub.count([item("a")]) == (0, 0)


async def test_a_worker_that_dies_counts_for_nothing(hub, join):
    one, other = join(0), join(1)
    await one.holds("a")
    await other.holds("a")
    results = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count, hub, [item("a")], results)
        await answers(one, 3)
        await other.hears()
        other.die()
    assert results == [(3, 1)]


async def test_a_worker_that_does_not_answer_is_not_waited_for(hub, join, monkeypatch):
    monkeypatch.setattr(questions, "ANSWER_SECONDS", 0.01)
    one, other = join(0), join(1)
    await one.holds("a")
    await other.holds("a")
    results = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count, hub, [item("a")], results)
        number = (await one.hears())[1]
    assert results == [(0, 0)]
    one.socket.send([b"N", number, b"5", b"5"])  # too late
    await one.is_heard()


async def test_counts_do_not_mix(hub, join):
    worker = join(0)
    await worker.holds("a")
    first, second = [], []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count, hub, [item("a")], first)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(count, hub, [item("a")], second)
        one, other = await worker.hears(), await worker.hears()
        worker.socket.send([b"N", other[1], b"2", b"0"])
        worker.socket.send([b"N", one[1], b"1", b"1"])
        worker.socket.send([b"N", one[1], b"1", b"1"])
    assert (first, second) == ([(1, 1)], [(2, 0)])


async def test_a_count_that_is_given_up_leaves_nothing_behind(hub, join):
    worker = join(0)
    await worker.holds("a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count, hub, [item("a")], [])
        assert (await worker.hears())[0] == b"C"
        nursery.cancel_scope.cancel()
    assert not hub._questions._open


async def test_all_workers_are_told_of_configurations_and_logs_in_order(hub, join):
    workers = join(0), join(1)
    for worker in workers:
        await worker.holds("a")
    new = Config(grip=Grip(issuer="new"))
    hub.submit([item("a")])
    hub.reopen_logs()
    hub.configure(new)
    for worker in workers:
        assert [(await worker.hears())[0] for _ in range(2)] == [b"I", b"O"]
        kind, data = await worker.hears()
        assert (kind, decode_config(data)) == (b"F", new)


async def test_a_worker_that_was_starting_gets_the_latest_configuration(hub, join):
    hub.configure(Config(grip=Grip(issuer="missed")))
    hub.configure(Config(grip=Grip(issuer="latest")))
    worker = join(0)
    worker.socket.send([b"Y"])
    kind, data = await worker.hears()
    assert (kind, decode_config(data).grip.issuer) == (b"F", "latest")


async def test_workers_are_told_whether_to_tell_of_single_clients(hub, join):
    early = join(0)
    await early.holds("a")
    hub.tell_visits(is_wanted=False)
    assert await early.hears() == [b"S", b"0"]
    late = join(1)
    late.socket.send([b"Y"])
    assert await late.hears() == [b"S", b"0"]
    hub.tell_visits(is_wanted=True)
    for worker in (early, late):
        assert await worker.hears() == [b"S", b"1"]


# -- the rate ------------------------------------------------------------------------------------


async def test_workers_get_leave_to_deliver_in_turn(hub, timers, join):
    hub._tokens = TokenDesk(100, timers)
    one, other = join(0), join(1)
    for worker in (one, other):
        worker.socket.send([b"Q", b"60"])
        assert await worker.hears() == [b"B", b"60"]
    one.socket.send([b"Q", b"60"])
    await one.is_heard()
    other.socket.send([b"Q", b"60"])
    await other.is_heard()
    other.die()
    await trio.testing.wait_all_tasks_blocked()
    timers.time = 5.0
    (serve,) = (callback for callback in timers.set if callback == hub._tokens._serve)
    serve()
    assert await one.hears() == [b"B", b"60"]


# -- connections -----------------------------------------------------------------------------------


async def serving(join, *numbers):
    """Workers that serve, and so may have connections."""
    workers = [join(number) for number in numbers]
    for worker in workers:
        worker.socket.send([b"Y"])
        await worker.is_heard()
    return workers


async def test_all_workers_that_serve_are_asked_which_connections_they_have(hub, join):
    one, other = await serving(join, 0, 1)
    join(2)  # has not begun to serve
    results = []

    async def ask():
        results.append(await hub.connected([b"a", b"b", b"c", b"a"]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        for worker, found in ((one, [b"c"]), (other, [b"a"])):
            kind, number, *names = await worker.hears()
            assert (kind, names) == (b"K", [b"a", b"b", b"c", b"a"])
            worker.socket.send([b"N", number, *found])
    assert results == [[b"a", b"c", b"a"]]


async def test_what_not_all_can_tell_is_not_known(hub, join, monkeypatch):
    monkeypatch.setattr(questions, "ANSWER_SECONDS", 0.01)
    await serving(join, 0)
    assert await hub.connected([b"a"]) is None


@pytest.mark.parametrize(
    ("answers", "renewal"),
    [
        ([b"unknown", b"unknown"], b"unknown"),
        ([b"unknown", b"accepted"], b"accepted"),
        ([b"refused", b"unknown"], b"refused"),
        ([b"unknown", None], b"unanswered"),
        ([b"accepted", None], b"accepted"),
    ],
)
async def test_a_credential_is_renewed_by_the_worker_that_has_the_connection(
    hub, join, monkeypatch, answers, renewal
):
    if None in answers:
        monkeypatch.setattr(questions, "ANSWER_SECONDS", 0.2)
    asking, *others = await serving(join, 0, 1, 2)
    asking.socket.send([b"n", b"7", b"id", b"handler", b"credential"])
    for worker, answer in zip(others, answers, strict=True):
        kind, number, *about = await worker.hears()
        assert (kind, about) == (b"n", [b"id", b"handler", b"credential"])
        if answer is not None:
            worker.socket.send([b"N", number, answer])
    assert await asking.hears() == [b"r", b"7", renewal]


@pytest.mark.parametrize("found", [False, True])
async def test_a_connection_is_refreshed_wherever_it_is(hub, join, found):
    workers = await serving(join, 0, 1)
    results = []

    async def ask():
        results.append(await hub.refresh_connection(b"id"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        for worker in workers:
            kind, number, name = await worker.hears()
            assert (kind, name) == (b"E", b"id")
            worker.socket.send([b"N", number, b"%d" % (found and worker is workers[1])])
    assert results == [found]


async def test_websockets_of_a_channel_are_refreshed_by_who_holds_it(hub, join):
    one, other = join(0), join(1)
    await one.holds("a")
    hub.refresh_channel("a")
    hub.refresh_channel("nobody's")
    assert await one.hears() == [b"W", b"a"]
    await other.is_heard()  # and was not asked


async def test_what_one_worker_wants_to_end_ends_in_all(hub, join):
    workers = await serving(join, 0, 1)
    workers[1].socket.send([b"X", b"which", b"dismissal"])
    for worker in workers:
        kind, number, *parts = await worker.hears()
        assert (kind, parts) == (b"X", [b"which", b"dismissal"])
        worker.socket.send([b"N", number, b"3"])  # nobody waits for that
    await workers[0].is_heard()


async def test_some_workers_may_be_asked(hub, join):
    workers = await serving(join, 0, 3)
    assert hub.serving() == [0, 3]
    results = []

    async def ask():
        results.append(await hub.ask(Kind.LIST, [b"x"], [3]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        kind, number, part = await workers[1].hears()
        assert (kind, part) == (b"J", b"x")
        workers[1].socket.send([b"N", number, b"a", b"b"])
    assert results == [({3: [b"a", b"b"]}, True)]


async def test_publishers_wait_for_a_worker_that_goes_on(hub, join, counters, nursery):
    worker = join(0)
    await worker.holds("a")
    came = trio.Event()

    async def wait():
        await hub.room()
        came.set()

    await hub.room()
    hub.submit([item("a", b"x" * 6_000)])
    nursery.start_soon(wait)
    _, size = await worker.hears_items()
    assert not came.is_set()
    worker.socket.send([b"T", b"%d" % size])
    with trio.fail_after(SECONDS):
        await came.wait()
    assert counters.limit_queued_bytes == 1


async def test_nobody_waits_for_long_for_a_worker_that_is_stuck(hub, join, monkeypatch):
    monkeypatch.setattr(hub_module, "STUCK_SECONDS", 0.01)
    worker = join(0)
    await worker.holds("a")
    hub.submit([item("a", b"x" * 6_000)])
    with trio.fail_after(SECONDS):
        await hub.room()
        monkeypatch.setattr(hub_module, "STUCK_SECONDS", 10 * SECONDS)
        await hub.room()


async def test_nobody_waits_for_a_worker_that_has_died(hub, join, nursery):
    worker = join(0)
    await worker.holds("a")
    hub.submit([item("a", b"x" * 6_000)])
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as waiting:
            waiting.start_soon(hub.room)
            await trio.testing.wait_all_tasks_blocked()
            worker.die()


async def test_workers_know_the_consumers_of_the_store(hub, join):
    hub.consumers = StoredConsumers()
    alice, bob = ConsumerRecord("1", 1, "alice"), ConsumerRecord("2", 1, "bob")
    hub.consumers.put(alice)
    one, other = join(0), join(1)
    await other.is_heard()
    one.socket.send([b"c"])
    assert await one.hears() == [b"c", b"1", encode_record(alice)]
    hub.tell_consumer("2", bob)
    hub.tell_consumer("1", None)
    for worker in (one, other):
        assert await worker.hears() == [b"e", b"2", encode_record(bob)]
        assert await worker.hears() == [b"e", b"1"]
    hub.consumers.is_known = False
    hub.tell_consumers()
    for worker in (one, other):
        assert await worker.hears() == [b"c", b"0", encode_record(alice)]


# -- from the start to the end -------------------------------------------------------------------


async def test_workers_take_clients_when_they_are_told_and_later_ones_at_once(hub, join):
    early = join(0)
    early.socket.send([b"Y"])
    await early.is_heard()
    hub.admit()
    assert await early.hears() == [Kind.ADMIT]
    late = join(1)
    late.socket.send([b"Y"])
    assert await late.hears() == [Kind.ADMIT]


async def test_workers_are_told_to_let_their_clients_go(hub, join):
    workers = [join(0), join(1)]
    for worker in workers:
        await worker.is_heard()
    hub.drain(2.5)
    for worker in workers:
        kind, seconds = await worker.hears()
        assert (kind, float(seconds)) == (Kind.DRAIN, 2.5)


async def test_the_process_before_this_one_is_told_neither(hub, join):
    """It drains by itself; all that it gets are items, as any worker does."""
    predecessor = join(PREDECESSOR)
    await predecessor.holds("a")
    hub.admit()
    hub.drain(2.5)
    hub.submit([item("a")])
    assert (await predecessor.hears_items())[0] == [item("a")]
    assert hub.serving() == []
