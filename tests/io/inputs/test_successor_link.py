"""The link to the process that takes over, at its other end a hub, as there is in that process."""

import pytest
import trio
import trio.testing

from realtime_proxy.channels.registry import Registry
from realtime_proxy.config.schema import Publish
from realtime_proxy.inputs.door import Door
from realtime_proxy.inputs.holding import Holding
from realtime_proxy.inputs.hub import PREDECESSOR, Hub
from realtime_proxy.inputs.open_connections import OpenConnections
from realtime_proxy.inputs.publishing import Reach
from realtime_proxy.inputs.successor_link import SuccessorLink
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import HttpStream, Item
from realtime_proxy.net.timers import Timers
from realtime_proxy.net.zmq_socket import PairSocket
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm

SECONDS = 10


def item(content, number=0, channel="a"):
    ids = {"id": str(number), "prev_id": str(number - 1)} if number else {}
    return Item(channel, http_stream=HttpStream(content=content), **ids)


class Client(RecordingSubscriber):
    """A client of the old process."""

    @property
    def data(self):
        return b"".join(self.written)


class Old:
    """The process that drains: its door, with somebody subscribed."""

    def __init__(self):
        self.registry = Registry()
        self.connections = OpenConnections("old", [])
        self.timers = Timers()
        settings = Publish(message_wait_seconds=60)
        self.door = Door(settings, self.registry, self.connections, self.timers, Counters())

    async def subscribe(self, channel="a"):
        subscriber = Client(WireForm.RAW)
        async with Holding(self.door.channels, [channel]):
            place = self.registry.subscribe(channel, subscriber)
        return subscriber, place


class Both:
    """Both processes, and what is between them."""

    def __init__(self, nursery, tmp_path, sockets):
        self.old = Old()
        self.timers = Timers()
        self.hub = Hub(Publish(), self.timers, Counters())
        self._endpoint = f"ipc://{tmp_path}/link"
        self._nursery = nursery
        self._sockets = sockets
        self.joined = trio.Event()
        self.scope = trio.CancelScope()

    async def join(self):
        bound = PairSocket(self._endpoint, bind=True)
        connected = PairSocket(self._endpoint, bind=False)
        self._sockets += [bound, connected]
        self.link = SuccessorLink(connected, self.old.door, self.old.door.order)
        self.link.begin()
        self._nursery.start_soon(self.hub.serve, PREDECESSOR, bound, self.joined)
        self._nursery.start_soon(self.link.run)
        with trio.fail_after(SECONDS):
            await self.joined.wait()

    async def until(self, is_so):
        with trio.fail_after(SECONDS):
            while not is_so():  # noqa: ASYNC110  sockets set no event
                await trio.sleep(0.005)


@pytest.fixture
async def both(tmp_path):
    sockets = []
    async with trio.open_nursery() as nursery:
        both = Both(nursery, tmp_path, sockets)
        nursery.start_soon(both.timers.run)
        nursery.start_soon(both.old.timers.run)
        nursery.start_soon(both.old.door.intake.run)
        yield both
        nursery.cancel_scope.cancel()
    for one in sockets:
        one.close()


async def test_items_of_channels_that_are_held_come_from_the_new_process(both):
    subscriber, _ = await both.old.subscribe()
    await both.join()
    both.hub.submit([item(b"1"), item(b"other", channel="b"), item(b"2")])
    await both.until(lambda: subscriber.data == b"12")


async def test_channels_that_are_held_later_and_left_are_told(both):
    await both.join()
    subscriber, place = await both.old.subscribe("late")
    await both.until(lambda: "late" in both.hub._channels.names())
    both.hub.submit([item(b"x", channel="late")])
    await both.until(lambda: subscriber.data == b"x")
    both.old.registry.unsubscribe(place)
    await both.until(lambda: both.hub._channels.names() == [])


async def test_what_is_published_at_the_old_goes_round_by_the_new(both):
    subscriber, _ = await both.old.subscribe()
    await both.join()
    seen = []
    forward, both.hub.order._forward = both.hub.order._forward, None
    both.hub.order._forward = lambda items: (seen.extend(items), forward(items))
    both.old.door.submit([item(b"1")])
    await both.until(lambda: subscriber.data == b"1")
    assert [one.http_stream.content for one in seen] == [b"1"]


async def test_the_last_ids_go_along_so_that_order_is_kept(both):
    subscriber, _ = await both.old.subscribe()
    both.old.door.submit([item(b"1", 1)])
    await both.join()
    both.hub.submit([item(b"3", 3)])
    both.hub.submit([item(b"2", 2)])
    await both.until(lambda: subscriber.data == b"123")


async def test_items_that_wait_for_others_go_along(both):
    subscriber, _ = await both.old.subscribe()
    both.old.door.submit([item(b"1", 1), item(b"3", 3)])
    await both.join()
    both.hub.submit([item(b"2", 2)])
    await both.until(lambda: subscriber.data == b"123")


async def test_receivers_and_connections_are_asked_for(both):
    await both.old.subscribe()
    await both.old.subscribe()
    await both.join()
    assert await both.hub.count([item(b"")]) == Reach(2, 2)
    updates = []

    class WebSocket:
        def update(self):
            updates.append(1)

    both.old.connections.websockets[b"id"] = WebSocket()
    assert await both.hub.connected([b"id", b"other"]) == [b"id"]
    assert await both.hub.refresh_connection(b"id")
    assert not await both.hub.refresh_connection(b"other")
    assert updates == [1]


async def test_it_counts_as_no_worker(both):
    await both.join()
    assert both.hub.serving() == []


async def test_holds_are_asked_to_ask(both):
    subscriber, _ = await both.old.subscribe()
    await both.join()
    both.hub.recover()
    await both.until(lambda: subscriber.updates == 1)


async def test_if_the_new_one_fails_the_old_goes_on_as_before(both):
    subscriber, _ = await both.old.subscribe()
    await both.join()
    both.link.give_up()
    both.old.door.submit([item(b"1")])
    await both.until(lambda: subscriber.data == b"1")
    await both.old.subscribe("late")
    await trio.testing.wait_all_tasks_blocked()
    assert both.hub._channels.names() == ["a"]
