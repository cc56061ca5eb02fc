import pytest
import trio
import trio.testing

from realtime_proxy.config.schema import Publish
from realtime_proxy.inputs.order import Order
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import HttpStream, Item
from realtime_proxy.net.timers import Timers


class House:
    """An order over channel `a`, with what it hands on and whom it has ask."""

    def __init__(self, **settings):
        self.timers = Timers()
        self.forwarded = []
        self.updated = []
        self.order = Order(
            Publish(**settings),
            self.timers,
            Counters(),
            is_held=lambda channel: channel == "a",
            forward=self.forwarded.append,
            update=self.updated.append,
        )

    def submit(self, *items):
        self.order.submit([Item("a", id=name, prev_id=prev) for name, prev in items])

    @property
    def ids(self):
        return [item.id for items in self.forwarded for item in items]


@pytest.fixture
def house(nursery):
    house = House()
    nursery.start_soon(house.timers.run)
    return house


async def after(mock_clock, seconds):
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(seconds)
    await trio.testing.wait_all_tasks_blocked()


async def test_what_is_in_order_goes_on_at_once_and_together(house, mock_clock):
    house.submit(("1", None), ("2", "1"))
    house.submit(("2", "1"))
    house.submit(("3", "2"))
    assert [[item.id for item in items] for items in house.forwarded] == [["1", "2"], ["3"]]


async def test_an_early_item_waits_so_long_and_no_longer(house, mock_clock):
    house.submit(("1", None), ("9", "8"))
    for _ in range(4):
        await after(mock_clock, 1.0)
    assert house.ids == ["1"]
    await after(mock_clock, 1.1)
    assert house.ids == ["1", "9"]


async def test_waiting_is_looked_after_for_as_long_as_anything_waits(house, mock_clock):
    house.submit(("1", None), ("9", "8"))
    await after(mock_clock, 3.0)
    house.submit(("7", "6"))
    await after(mock_clock, 3.0)
    assert house.ids == ["1", "9"]
    await after(mock_clock, 3.0)
    assert house.ids == ["1", "9", "7"]
    await after(mock_clock, 100.0)
    assert not house.timers._ticks, "nobody waits, and the clock is asked in vain"
    house.submit(("20", "19"))
    await after(mock_clock, 6.0)
    assert house.ids == ["1", "9", "7", "20"]


async def test_a_second_after_its_first_subscriber_a_channel_is_updated_once(house, mock_clock):
    house.order.begin("a")
    await after(mock_clock, 0.9)
    assert not house.updated
    await after(mock_clock, 0.2)
    assert house.updated == ["a"]
    await after(mock_clock, 10.0)
    assert house.updated == ["a"]


async def test_a_channel_that_is_left_is_not_updated(house, mock_clock):
    house.order.begin("a")
    await after(mock_clock, 0.5)
    house.order.end("a")
    house.order.begin("a")
    await after(mock_clock, 0.9)
    assert not house.updated
    await after(mock_clock, 0.2)
    assert house.updated == ["a"]


async def test_updates_of_first_subscribers_can_be_switched_off(nursery, mock_clock):
    house = House(update_on_first_subscription=False)
    nursery.start_soon(house.timers.run)
    house.order.begin("a")
    await after(mock_clock, 10.0)
    house.order.end("a")
    assert not house.updated


async def test_grants_tell_the_last_id(house):
    assert house.order.grant("a").last_id is None
    house.submit(("1", None))
    assert house.order.grant("a").last_id == "1"
    house.order.contradicted("a", "0")
    assert house.order.grant("a").last_id == "1"
    house.order.contradicted("a", "1")
    assert house.order.grant("a").last_id is None
    house.submit(("2", None))
    house.order.recover()
    assert house.order.grant("a").last_id is None


async def test_how_long_ids_are_remembered_and_items_wait_can_be_set(nursery, mock_clock):
    house = House(id_cache_seconds=1.0, message_wait_seconds=2.0)
    nursery.start_soon(house.timers.run)
    house.submit(("1", None), ("1", None), ("9", "8"))
    await after(mock_clock, 1.1)
    house.submit(("1", None))
    await after(mock_clock, 1.1)
    assert house.ids == ["1", "1", "9"]


async def test_other_settings_count_from_now_on(house, mock_clock):
    settings = Publish(
        message_wait_seconds=1.0, id_cache_seconds=0.0, update_on_first_subscription=False
    )
    house.order.adopt(settings)
    house.order.begin("a")
    house.submit(("1", None), ("1", None), ("9", "8"))
    for _ in range(2):
        await after(mock_clock, 1.0)
    assert house.ids == ["1", "1", "9"]
    assert house.updated == []


async def test_what_nobody_is_there_for_ends_here_but_is_counted():
    house = House(message_block_bytes=10)
    content = HttpStream(content=b"x" * 25)
    house.order.submit([Item("deserted", http_stream=content)])
    assert not house.forwarded
    counters = house.order._counters
    assert (counters.items_published, counters.blocks_published) == (1, 3)


class Successor:
    """Another process, as it is told of channels and items."""

    def __init__(self):
        self.told = []

    def subscribe(self, channel):
        self.told.append(("subscribe", channel))

    def unsubscribe(self, channel):
        self.told.append(("unsubscribe", channel))

    def publish(self, items):
        self.told.append([item.id for item in items])


async def test_another_process_may_put_items_in_order(house, mock_clock):
    successor = Successor()
    house.submit(("1", None), ("9", "8"))
    house.order.show_channels(["a"], successor)
    house.order.hand_over(successor)
    house.submit(("2", "1"))
    house.order.begin("b")
    house.order.end("b")
    assert successor.told == [
        ("subscribe", "a"),
        ["9"],
        ["2"],
        ("subscribe", "b"),
        ("unsubscribe", "b"),
    ]
    assert house.ids == ["1"]
    house.order.arrived([Item("a", id="2", prev_id="1")])
    assert house.ids == ["1", "2"]


async def test_one_that_fails_is_told_nothing_more(house, mock_clock):
    successor = Successor()
    house.order.show_channels([], successor)
    house.order.hand_over(successor)
    house.order.take_back(successor)
    house.order.begin("b")
    house.submit(("1", None))
    assert successor.told == []
    assert house.ids == ["1"]
