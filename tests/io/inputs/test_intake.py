import pytest
import structlog
import trio
import trio.testing

from realtime_proxy.channels.group import SLICE
from realtime_proxy.channels.registry import Registry
from realtime_proxy.inputs.intake import Intake
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import Action, HttpStream, Item
from realtime_proxy.net.timers import Timers
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm

SECONDS = 10


class House:
    """An intake, and those who are subscribed behind it."""

    def __init__(self):
        self.registry = Registry()
        self.counters = Counters()
        self.intake = Intake(self.registry, Timers(), self.counters)

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


async def test_items_of_channels_without_subscribers_are_counted_and_dropped(running):
    assert running.intake.submit([item(1), item(2)]) == 0
    await delivered()
    late = running.subscribe("a")
    await delivered()
    assert late.written == []
    assert running.counters.items_published == 2


async def test_submitting_tells_how_many_are_concerned(running):
    for channel in ("a", "a", "b"):
        running.subscribe(channel)
    running.subscribe("a", subscriber=RecordingSubscriber(WireForm.FRAME))
    assert running.intake.submit([item(1), item(2, "b"), item(3, "c")]) == 3
    assert await running.intake.count([item(1), item(1), item(2, "b")]) == 5
    assert running.counters.items_published == 3


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
    assert [entry["log_level"] for entry in logs if entry["log_level"] != "debug"] == ["error"]


async def test_a_writer_that_fails_ends_nothing(running):
    """It must not, but publishing goes on if it does."""

    class Broken(RecordingSubscriber):
        def write(self, data):
            raise ZeroDivisionError

    place = running.registry.subscribe("a", Broken(WireForm.RAW))
    with structlog.testing.capture_logs() as logs:
        running.intake.submit([item(1)])
        await delivered()
    assert [entry["log_level"] for entry in logs if entry["log_level"] != "debug"] == ["error"]
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
