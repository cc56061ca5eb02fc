import pytest
import trio
import trio.testing

from realtime_proxy.channels.registry import Registry
from realtime_proxy.config.schema import Publish
from realtime_proxy.inputs.door import Door
from realtime_proxy.inputs.holding import Holding
from realtime_proxy.inputs.open_connections import OpenConnections
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import HttpStream, Item
from realtime_proxy.net.timers import Timers
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm


def item(name=None, prev=None, channel="a"):
    return Item(channel, id=name, prev_id=prev, http_stream=HttpStream(content=name.encode()))


class RecordedTopics:
    def __init__(self):
        self.seen = []

    def subscribe(self, channel):
        self.seen.append("+" + channel)

    def unsubscribe(self, channel):
        self.seen.append("-" + channel)


class House:
    def __init__(self):
        self.registry = Registry()
        self.timers = Timers()
        self.counters = Counters()
        self.connections = OpenConnections("me", [])
        self.door = Door(Publish(), self.registry, self.connections, self.timers, self.counters)

    async def subscribe(self, channel="a", form=WireForm.RAW):
        subscriber = RecordingSubscriber(form)
        async with Holding(self.door.channels, [channel]):
            self.place = self.registry.subscribe(channel, subscriber)
        return subscriber


@pytest.fixture
def house(nursery, mock_clock):
    house = House()
    nursery.start_soon(house.timers.run)
    nursery.start_soon(house.door.intake.run)
    return house


async def test_items_are_ordered_and_delivered(house):
    subscriber = await house.subscribe()
    house.door.submit([item("1"), item("3", "2"), item("1")])
    house.door.submit([item("2", "1")])
    await trio.testing.wait_all_tasks_blocked()
    assert b"".join(subscriber.written) == b"123"
    assert house.counters.items_published == 4


async def test_the_last_id_is_known_until_the_last_has_left(house):
    await house.subscribe()
    house.door.submit([item("1")])
    await trio.testing.wait_all_tasks_blocked()
    assert house.door.channels.last_id("a") == "1"
    house.registry.unsubscribe(house.place)
    await house.subscribe()
    assert house.door.channels.last_id("a") is None


async def test_a_contradicted_id_keeps_no_next_item_waiting(house):
    subscriber = await house.subscribe()
    house.door.submit([item("1")])
    await trio.testing.wait_all_tasks_blocked()
    assert not house.door.channels.contradicts("a", "7", known_when_asked="1")
    house.door.submit([item("8", "7")])
    await trio.testing.wait_all_tasks_blocked()
    assert b"".join(subscriber.written) == b"18"


async def test_publishing_from_inside_tells_how_many_there_are(house):
    await house.subscribe()
    await house.subscribe()
    assert house.door.publish(item("1")) == 2
    assert await house.door.count([item("2"), item("3", channel="b")]) == (2, 2)


async def test_websockets_are_refreshed_by_channel_and_by_name(house):
    of_channel, named = await house.subscribe(form=WireForm.FRAME), RecordingSubscriber()
    house.connections.websockets[b"id"] = named
    house.door.refresh_channel("a")
    assert await house.door.refresh_connection(b"id")
    assert not await house.door.refresh_connection(b"other")
    await trio.testing.wait_all_tasks_blocked()
    assert (of_channel.updates, named.updates) == (1, 1)
    assert await house.door.connected([b"other", b"id"]) == [b"id"]


async def test_recovering_asks_all_holds(house):
    subscribers = [await house.subscribe("a"), await house.subscribe("b")]
    house.door.submit([item("1")])
    house.door.recover()
    await trio.testing.wait_all_tasks_blocked()
    assert [subscriber.updates for subscriber in subscribers] == [1, 1]
    assert house.door.channels.last_id("a") is None
    house.door.submit([item("9", "8")])
    await trio.testing.wait_all_tasks_blocked()
    assert b"".join(subscribers[0].written) == b"19"


async def test_channels_are_shown_as_they_are_held(house):
    await house.subscribe()
    topics = RecordedTopics()
    house.door.show_channels(topics)
    assert topics.seen == ["+a"]
    await house.subscribe("b")
    house.registry.unsubscribe(house.place)
    await house.subscribe("b")
    assert topics.seen == ["+a", "+b", "-b", "+b"]


async def test_a_channel_that_lingers_is_still_shown(house):
    topics = RecordedTopics()
    house.door.show_channels(topics)
    await house.subscribe(form=WireForm.RESPONSE)
    house.registry.unsubscribe(house.place)
    house.door.channels.expire(house.timers.now())
    house.door.channels.expire(house.timers.now() + 59)
    assert topics.seen == ["+a"]
    house.door.channels.expire(house.timers.now() + 61)
    assert topics.seen == ["+a", "-a"]


async def test_the_first_subscriber_is_updated_a_second_later(house, mock_clock):
    subscriber = await house.subscribe()
    mock_clock.jump(0.9)
    await house.subscribe()
    await trio.testing.wait_all_tasks_blocked()
    assert subscriber.updates == 0
    mock_clock.jump(0.2)
    await trio.testing.wait_all_tasks_blocked()
    assert subscriber.updates == 1


@pytest.mark.parametrize("limits", [{}, {"max_deliveries_per_second": 1_000.0}])
async def test_publishers_wait_while_too_much_is_in_line(nursery, mock_clock, limits):
    registry, timers, counters = Registry(), Timers(), Counters()
    settings = Publish(max_queued_bytes=1_200, **limits)
    door = Door(settings, registry, OpenConnections("me", []), timers, counters)
    async with Holding(door.channels, ["a"]):
        registry.subscribe("a", RecordingSubscriber(WireForm.RAW))
    came = trio.Event()

    async def wait():
        await door.room()
        came.set()

    await door.room()
    door.submit([item("1"), item("2", "1"), item("1"), item("9", channel="nobody")])
    await door.room()
    door.submit([item("3", "2")])
    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    assert not came.is_set()
    assert counters.limit_queued_bytes == 1
    nursery.start_soon(timers.run)
    nursery.start_soon(door.intake.run)
    await trio.testing.wait_all_tasks_blocked()
    assert came.is_set()
    assert door._line.waiting_bytes == 0
    door.adopt(Publish(max_queued_bytes=5_000))
    assert door._line.max_bytes == 5_000
