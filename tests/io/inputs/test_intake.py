import pytest
import structlog
import trio
import trio.testing

from realtime_proxy.channels.group import SLICE
from realtime_proxy.channels.membership import Grant
from realtime_proxy.channels.registry import Registry
from realtime_proxy.channels.scope import Scope
from realtime_proxy.inputs.holding import channels_of
from realtime_proxy.inputs.intake import Intake
from realtime_proxy.model.item import Action, HttpStream, Item
from realtime_proxy.net.timers import Timers
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm

SECONDS = 10


class Owner:
    """Grants every channel at once."""

    def __init__(self):
        self.contradictions = []

    def hold(self, channel):
        return Grant()

    def release(self, channel):
        pass

    def contradicted(self, channel, last_id):
        self.contradictions.append((channel, last_id))


class House:
    """An intake, and those who are subscribed behind it."""

    def __init__(self):
        self.registry = Registry()
        self.owner = Owner()
        timers = Timers()
        self.channels = channels_of(self.registry, self.owner, 0)
        self.intake = Intake(self.registry, self.channels, timers)

    def subscribe(self, *channels, subscriber=None):
        subscriber = subscriber or RecordingSubscriber(WireForm.RAW)
        for channel in channels:
            self.registry.subscribe(channel, subscriber, shared=len(channels) > 1)
        return subscriber


@pytest.fixture
def house():
    return House()


@pytest.fixture
def running(house, nursery):
    nursery.start_soon(house.intake.run)
    return house


def item(content, channel="a", action=Action.SEND):
    return Item(channel, http_stream=HttpStream(action, b"%d" % content))


async def delivered():
    with trio.fail_after(SECONDS):
        await trio.testing.wait_all_tasks_blocked()


async def test_items_are_delivered_in_the_order_in_which_they_came(running):
    subscriber = running.subscribe("a", "b")
    for number in range(0, 40, 4):
        running.intake.submit([item(number), item(number + 1, "b")])
        running.intake.submit([item(number + 2)])
        if number % 3:
            await delivered()
        running.intake.submit([item(number + 3, "b")])
    await delivered()
    assert b"".join(subscriber.written) == b"".join(b"%d" % number for number in range(40))


async def test_what_was_submitted_before_the_start_is_delivered(house, nursery):
    subscriber = house.subscribe("a")
    house.intake.submit([item(1)])
    nursery.start_soon(house.intake.run)
    await delivered()
    assert subscriber.written == [b"1"]


async def test_items_of_channels_without_subscribers_are_dropped(running):
    assert running.intake.submit([item(1), item(2)]) == 0
    await delivered()
    late = running.subscribe("a")
    await delivered()
    assert late.written == []


async def test_submitting_tells_how_many_are_concerned(running):
    for channel in ("a", "a", "b"):
        running.subscribe(channel)
    running.subscribe("a", subscriber=RecordingSubscriber(WireForm.FRAME))
    assert running.intake.submit([item(1), item(2, "b"), item(3, "c")]) == 3


@pytest.mark.parametrize("subscribed", [True, False])
async def test_it_is_told_when_items_are_delivered(running, subscribed):
    subscriber = RecordingSubscriber(WireForm.RAW)
    if subscribed:
        running.subscribe("a", subscriber=subscriber)
    told = []
    running.intake.submit([item(1)], lambda: told.append(list(subscriber.written)))
    assert told == ([] if subscribed else [[]])
    await delivered()
    assert told == ([[b"1"]] if subscribed else [[]])


async def test_a_long_delivery_lets_others_have_their_turn(running):
    turns = []

    class Noting(RecordingSubscriber):
        def write(self, data):
            super().write(data)
            turns.append("write")

    for _ in range(SLICE * 4):
        running.subscribe("a", subscriber=Noting(WireForm.RAW))

    async def other():
        while turns.count("write") < SLICE * 4:
            turns.append("other")
            await trio.lowlevel.checkpoint()

    running.intake.submit([item(1)])
    with trio.fail_after(SECONDS):
        await other()
    first = turns.index("write")
    between = turns[first : len(turns) - turns[::-1].index("write")]
    assert between.count("other") >= 2


async def test_items_that_come_within_a_delivery_follow_it(running):
    class Answering(RecordingSubscriber):
        def write(self, data):
            super().write(data)
            if len(self.written) == 1:
                running.intake.submit([item(2), item(3)])

    subscriber = running.subscribe("a", subscriber=Answering(WireForm.RAW))
    running.intake.submit([item(1)])
    await delivered()
    assert b"".join(subscriber.written) == b"123"


async def test_a_subscriber_that_fails_costs_nobody_an_item(running):
    class Broken(RecordingSubscriber):
        def item_arrived(self, arrived):
            raise ZeroDivisionError

    running.subscribe("a", subscriber=Broken(WireForm.RAW))
    subscriber = running.subscribe("a")
    with structlog.testing.capture_logs() as logs:
        running.intake.submit([item(1), item(2, action=Action.CLOSE), item(3)])
        await delivered()
        running.intake.submit([item(4)])
        await delivered()
    assert b"".join(subscriber.written) == b"134"
    assert len(subscriber.items) == 1
    assert [entry["log_level"] for entry in logs if entry["log_level"] != "info"] == ["error"]


async def test_a_writer_that_fails_ends_nothing(running):
    """It must not, but publishing goes on if it does."""

    class Broken(RecordingSubscriber):
        def write(self, data):
            raise ZeroDivisionError

    place = running.registry.subscribe("a", Broken(WireForm.RAW))
    with structlog.testing.capture_logs() as logs:
        running.intake.submit([item(1)])
        await delivered()
    assert [entry["log_level"] for entry in logs if entry["log_level"] != "info"] == ["error"]
    running.registry.unsubscribe(place)
    subscriber = running.subscribe("a")
    running.intake.submit([item(2)])
    await delivered()
    assert subscriber.written == [b"2"]


async def test_delivery_that_is_cancelled_stops_between_two_slices(house):
    subscribers = [house.subscribe("a") for _ in range(SLICE * 2)]
    house.intake.submit([item(1)])
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.intake.run)
            nursery.cancel_scope.cancel()
    assert sum(len(subscriber.written) for subscriber in subscribers) <= SLICE


# -- what is known, and updates ------------------------------------------------------------------


async def test_items_of_channels_that_are_held_are_noted_without_subscribers(running):
    running.channels.pin("a", trio.Event)
    assert running.intake.submit([Item("a", id="1"), Item("b", id="2")]) == 0
    await delivered()
    assert running.channels.last_id("a") == "1"
    assert running.channels.last_id("b") is None


async def test_who_comes_after_an_item_does_not_get_it(running):
    running.channels.pin("a", trio.Event)
    running.intake.submit([Item("a", id="1", http_stream=HttpStream(content=b"1"))])
    assert running.channels.last_id("a") == "1"
    late = running.subscribe("a")
    await delivered()
    assert late.written == []


async def test_who_comes_while_an_item_is_in_line_gets_it(running):
    """Its id is not the last one yet, so whoever counts would miss it."""
    running.channels.pin("a", trio.Event)
    running.subscribe("b")
    running.intake.submit([item(1, "b"), Item("a", id="1", http_stream=HttpStream(content=b"1"))])
    assert running.channels.last_id("a") is None
    late = running.subscribe("a")
    await delivered()
    assert late.written == [b"1"]
    assert running.channels.last_id("a") == "1"


async def test_updates_come_after_what_is_in_line(running):
    seen = []

    class Noting(RecordingSubscriber):
        def write(self, data):
            seen.append(data)

        def update(self):
            seen.append("update")

    running.subscribe("a", subscriber=Noting(WireForm.RAW))
    running.intake.submit([item(1)])
    running.intake.update(["a", "nobody's"])
    running.intake.update(["a"])
    await delivered()
    assert seen == [b"1", "update"]


async def test_websockets_of_a_channel_are_refreshed(running):
    socket = running.subscribe("a", subscriber=RecordingSubscriber(WireForm.FRAME))
    stream = running.subscribe("a")
    running.intake.refresh("a")
    running.intake.refresh("a")
    await delivered()
    assert (socket.updates, stream.updates) == (1, 0)


async def test_recovering_forgets_and_asks_all(running):
    subscribers = [running.subscribe(channel) for channel in "ab"]
    running.channels.pin("a", trio.Event)
    running.intake.submit([Item("a", id="1", http_stream=HttpStream())])
    running.intake.recover()
    await delivered()
    assert running.channels.last_id("a") is None
    assert [subscriber.updates for subscriber in subscribers] == [1, 1]
    running.intake.recover()
    await delivered()
    assert [subscriber.updates for subscriber in subscribers] == [2, 2]


# -- between two rounds --------------------------------------------------------------------------


def slow_round(house):
    """Have a round that takes several slices."""
    subscribers = [house.subscribe("a") for _ in range(SLICE * 9)]
    house.intake.submit([item(1)])
    return subscribers


async def under_way(subscribers):
    """Come back within the round."""
    with trio.fail_after(SECONDS):
        while not subscribers[0].written:
            await trio.lowlevel.checkpoint()
    assert not subscribers[-1].written


async def test_a_step_runs_at_once_while_nothing_goes_round(house):
    ran = []
    house.intake.at_rest(lambda: ran.append(1))
    assert await house.intake.result_at_rest(lambda: 2) == 2
    assert ran == [1]


async def test_a_step_waits_for_the_round_and_not_for_what_comes_after(running):
    subscribers = slow_round(running)
    seen = []
    await under_way(subscribers)
    running.intake.at_rest(lambda: seen.append(len(subscribers[-1].written)))
    running.intake.submit([item(2)])
    assert not seen
    assert await running.intake.result_at_rest(lambda: subscribers[0].written[:]) == [b"1"]
    assert seen == [1]


async def test_a_step_that_fails_does_so_where_it_is_waited_for(running):
    subscribers = slow_round(running)
    await under_way(subscribers)
    with structlog.testing.capture_logs() as logs:
        running.intake.at_rest(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await running.intake.result_at_rest(lambda: 1 / 0)
    assert [entry["event"] for entry in logs] == ["step after delivery failed"]
    running.intake.submit([item(2)])
    await delivered()
    assert subscribers[-1].written == [b"1", b"2"]


async def test_a_step_is_not_run_when_nobody_waits_for_it_any_more(running):
    subscribers = slow_round(running)
    await under_way(subscribers)
    ran = []
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.intake.result_at_rest, lambda: ran.append(1))
            await trio.lowlevel.checkpoint()
            scope.cancel()
    await delivered()
    assert subscribers[-1].written
    assert not ran


async def test_a_step_in_turn_comes_between_items(house, nursery):
    """What was known when a channel was granted is newer than what came before, older than what
    comes later."""
    known = []

    def grant():
        known.append(house.channels.last_id("a"))
        house.channels.granted("a", Grant("5"))

    house.owner.hold = lambda _channel: None
    house.channels.pin("a", trio.Event)
    house.subscribe("b")
    house.intake.submit([item(0, "b"), Item("a", id="3")])
    house.intake.in_turn(grant)
    house.intake.submit([Item("a", id="6")])
    nursery.start_soon(house.intake.run)
    await delivered()
    assert known == ["3"]
    assert house.channels.last_id("a") == "6"


async def test_a_step_in_turn_is_run_at_once_if_nothing_is_in_line(house):
    done = []
    house.intake.update(["a"])
    house.intake.in_turn(lambda: done.append(1))
    assert done == [1]


async def test_an_item_for_others_goes_round_for_those_who_go_by_ids(running):
    scope = Scope("agency", ("north",))
    subscriber = RecordingSubscriber(WireForm.RAW, scope=scope)
    place = running.registry.subscribe("a", subscriber, position="1")
    payload = HttpStream(content=b"x")
    item = Item("a", "2", "1", http_stream=payload, meta={"agency": "south"})
    delivered = trio.Event()
    assert running.intake.submit([item], delivered.set) == 0
    with trio.fail_after(5):
        await delivered.wait()
    assert (place.group.position, subscriber.written) == ("2", [])


def test_an_item_that_says_nothing_of_its_scope_is_told_of(house):
    subscriber = RecordingSubscriber(WireForm.RAW, scope=Scope("agency", ("north",)))
    house.subscribe("a", subscriber=subscriber)
    with structlog.testing.capture_logs() as lines:
        house.intake.submit([Item("a", http_stream=HttpStream(content=b"x"))])
    expected = {"event": "item without scope", "channel": "a", "claim": "agency"}
    assert {**expected, "log_level": "warning"} in lines
