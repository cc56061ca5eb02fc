"""An intake under limits, against the clock."""

import pytest
import structlog
import trio
import trio.testing

from realtime_proxy.channels.limits import Limits
from realtime_proxy.channels.membership import Grant
from realtime_proxy.channels.registry import Registry
from realtime_proxy.inputs.holding import Holding, channels_of
from realtime_proxy.inputs.limited_intake import LimitedIntake
from realtime_proxy.inputs.tokens import OwnTokens, TokenDesk
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import HttpStream, Item
from realtime_proxy.net.timers import Timers
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm


class Owner:
    """Grants at once."""

    def hold(self, channel):
        return Grant()

    def release(self, channel):
        pass

    def contradicted(self, channel, last_id):
        pass


class House:
    def __init__(self, per_second=0, max_queued=0):
        self.registry = Registry()
        self.timers = Timers()
        self.counters = Counters()
        self.channels = channels_of(self.registry, Owner(), 0)
        tokens = OwnTokens(TokenDesk(per_second, self.timers)) if per_second else None
        limits = Limits(per_second, max_queued)
        self.intake = LimitedIntake(
            self.registry, self.channels, self.timers, limits, tokens, self.counters
        )

    async def subscribe(self, channel="a", count=1, position=None, route_id=""):
        subscribers = [RecordingSubscriber(WireForm.RAW, route_id=route_id) for _ in range(count)]
        async with Holding(self.channels, [channel]):
            for subscriber in subscribers:
                self.registry.subscribe(channel, subscriber, position=position)
        return subscribers

    def publish(self, *contents, channel="a"):
        self.intake.submit(
            Item(channel, http_stream=HttpStream(content=b"%d" % content)) for content in contents
        )


@pytest.fixture
def house(nursery):
    def house(**limits):
        house = House(**limits)
        nursery.start_soon(house.timers.run)
        nursery.start_soon(house.intake.run)
        return house

    return house


def numbers(count):
    return [b"%d" % number for number in range(count)]


async def test_below_the_rate_nothing_is_delayed(house, autojump_clock):
    house = house(per_second=100)
    (subscriber,) = await house.subscribe()
    for start in range(0, 200, 10):
        house.publish(*range(start, start + 10))
        await trio.sleep(0.001)
        assert subscriber.written == numbers(start + 10)
        await trio.sleep(0.109)
    assert house.counters.deliveries_delayed == 0


async def test_above_the_rate_deliveries_begin_at_once_and_keep_it(house, autojump_clock):
    house = house(per_second=100)
    subscribers = await house.subscribe(count=10)
    house.publish(*range(50))
    await trio.sleep(0.01)
    assert sum(len(subscriber.written) for subscriber in subscribers) >= 100
    for seconds in range(1, 4):
        await trio.sleep(1)
        total = sum(len(subscriber.written) for subscriber in subscribers)
        assert total == pytest.approx(100 + seconds * 100, abs=10)
    await trio.sleep(2)
    assert all(subscriber.written == numbers(50) for subscriber in subscribers)
    assert 350 < house.counters.deliveries_delayed <= 400
    assert house.counters.deliveries_dropped == 0


async def test_what_finds_no_room_is_dropped_for_its_queue_and_counted(house, autojump_clock):
    house = house(per_second=10, max_queued=20)
    (common,), (route,) = await house.subscribe(), await house.subscribe("b", route_id="route")
    with structlog.testing.capture_logs() as logs:
        house.publish(*range(40))
        house.publish(*range(5), channel="b")
        await trio.sleep(60)
    assert common.written == numbers(20)
    assert route.written == numbers(5)
    assert house.counters.deliveries_dropped == 20
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert [(entry["route"], entry["hwm"]) for entry in warnings] == [("", 20)]
    house.publish(7)
    await trio.sleep(1)
    assert common.written[-1] == b"7"


async def test_an_item_may_find_room_in_one_queue_only(house, autojump_clock):
    house = house(per_second=10, max_queued=20)
    (common,), (route,) = await house.subscribe(), await house.subscribe(route_id="route")
    await house.subscribe("b", route_id="route")
    house.publish(*range(15), channel="b")
    house.publish(*range(10))
    await trio.sleep(60)
    assert common.written == numbers(10)
    assert route.written == numbers(5)
    assert house.counters.deliveries_dropped == 5


async def test_an_empty_queue_takes_any_item(house, autojump_clock):
    house = house(max_queued=20)
    subscribers = await house.subscribe(count=50)
    house.publish(0)
    await trio.testing.wait_all_tasks_blocked()
    house.publish(1)
    await trio.testing.wait_all_tasks_blocked()
    assert all(subscriber.written == numbers(2) for subscriber in subscribers)


async def test_room_comes_back_as_deliveries_go(house, autojump_clock):
    house = house(per_second=10, max_queued=20)
    subscribers = await house.subscribe(count=40)
    house.publish(0)
    await trio.sleep(2)
    house.publish(1)  # there is no room yet for as many again
    await trio.sleep(3)
    assert [subscriber.written for subscriber in subscribers] == [[b"0"]] * 40
    house.publish(2)
    await trio.sleep(5)
    assert [subscriber.written for subscriber in subscribers] == [[b"0", b"2"]] * 40


async def test_who_counts_notices_what_was_dropped(house, autojump_clock):
    house = house(per_second=10, max_queued=20)
    (subscriber,) = await house.subscribe(position="0")
    for number in range(40):
        content = HttpStream(content=b"%d" % number)
        item = Item("a", id=f"{number + 1}", prev_id=f"{number}", http_stream=content)
        house.intake.submit([item])
    await trio.sleep(5)
    last = Item("a", id="41", prev_id="40", http_stream=HttpStream(content=b"40"))
    house.intake.submit([last])
    await trio.sleep(1)
    assert subscriber.written == numbers(20)
    assert subscriber.missed == [last]
    assert house.channels.last_id("a") == "41"


async def test_what_has_lost_its_subscribers_takes_no_room(house, autojump_clock):
    house = house(per_second=10, max_queued=20)
    (subscriber,) = await house.subscribe()
    await house.subscribe("b")
    house.publish(*range(20), channel="b")
    async with Holding(house.channels, ["b"]):
        (group,) = house.registry.groups("b")
        house.registry.unsubscribe(group.subscriptions[0])
    await trio.sleep(1)
    house.publish(*range(20))
    await trio.sleep(10)
    assert subscriber.written == numbers(20)


async def test_those_who_act_between_rounds_need_not_wait_for_all_that_is_in_line(
    house, autojump_clock
):
    house = house(per_second=10)
    (subscriber,) = await house.subscribe()
    house.publish(*range(100))
    await trio.sleep(3)
    seen = await house.intake.result_at_rest(lambda: len(subscriber.written))
    assert seen < 50


async def test_steps_run_when_what_was_in_line_is_delivered(house, autojump_clock):
    house = house(per_second=10)
    (subscriber,) = await house.subscribe()
    seen = []
    house.publish(*range(30))
    house.intake.submit((), lambda: seen.append(len(subscriber.written)))
    house.intake.in_turn(lambda: seen.append(len(subscriber.written)), "a")
    house.intake.in_turn(lambda: seen.append(len(subscriber.written)))
    house.intake.in_turn(lambda: seen.append("soon"), "b")
    house.publish(*range(30, 60))
    await trio.sleep(1)
    assert seen == ["soon"]
    await trio.sleep(20)
    assert seen == ["soon", 30, 30, 30]


async def test_how_many_would_get_items_is_told_before(house, autojump_clock):
    house = house(per_second=10, max_queued=20)
    await house.subscribe(count=5)
    await house.subscribe("b", count=2, route_id="route")
    items = [Item(channel, http_stream=HttpStream()) for channel in "aaaaaabc"]
    assert house.intake.reach(items) == (32, 22)
    house.publish(*range(3))
    assert house.intake.reach(items[:2]) == (10, 5)


async def test_without_a_rate_what_is_in_line_is_joined(house, autojump_clock):
    house = house(max_queued=20)
    (common,), (route,) = await house.subscribe(), await house.subscribe(route_id="route")
    await house.subscribe("b", route_id="route")
    house.publish(*range(15), channel="b")
    house.publish(*range(10))
    await trio.testing.wait_all_tasks_blocked()
    assert common.written == [b"".join(numbers(10))]
    assert route.written == [b"".join(numbers(5))]
    assert house.counters.deliveries_dropped == 5


async def test_without_a_rate_steps_run_between_the_items_around_them(house, autojump_clock):
    house = house(max_queued=20)
    (subscriber,) = await house.subscribe()
    seen = []
    for number in range(0, 6, 2):
        house.publish(number, number + 1)
        house.intake.in_turn(lambda: seen.append(b"".join(subscriber.written)))
    house.publish(6)
    await trio.testing.wait_all_tasks_blocked()
    assert seen == [b"01", b"0123", b"012345"]
    assert b"".join(subscriber.written) == b"0123456"


async def test_without_a_rate_a_defect_takes_no_room(house, autojump_clock, monkeypatch):
    house = house(max_queued=2)
    (subscriber,) = await house.subscribe()
    with monkeypatch.context() as patched, structlog.testing.capture_logs() as logs:
        house.publish(7, 8)
        patched.setattr(house.registry, "groups_for", None)
        await trio.testing.wait_all_tasks_blocked()
    assert [one["event"] for one in logs if one["log_level"] == "error"] == ["delivery failed"]
    house.publish(*range(2))
    await trio.testing.wait_all_tasks_blocked()
    assert subscriber.written == [b"01"]
    assert house.counters.deliveries_dropped == 0
