import pytest
import trio

from realtime_proxy.channels.registry import Registry
from realtime_proxy.config.schema import Publish
from realtime_proxy.inputs.door import Door
from realtime_proxy.inputs.holding import Holding
from realtime_proxy.inputs.open_connections import OpenConnections
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.connection_filter import ConnectionFilter
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.item import HttpStream, Item
from realtime_proxy.model.listed_channel import ListedChannel
from realtime_proxy.model.listed_connection import ConnectionPage
from realtime_proxy.net.timers import Timers
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm

ALL = ConnectionFilter()


class Inspector:
    """Says what it was asked."""

    async def page(self, *asked):
        return asked

    async def dismiss(self, *asked):
        self.dismissed = asked
        return 7


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def door(registry):
    return Door(Publish(), registry, OpenConnections("me", ()), Timers(), Counters())


async def test_nobody_is_there_before_it_serves(door):
    overview = door.overview
    assert (overview.serving_workers, overview.workers()) == (0, (0,))
    assert await overview.page(0, ALL, -1, 10) == ConnectionPage([], None)
    assert await overview.dismiss(ALL, Dismissal()) == 0


async def test_its_inspector_is_asked(door):
    inspector = door.inspector = Inspector()
    assert door.inspector is inspector
    assert door.overview.serving_workers == 1
    assert await door.overview.page(0, ALL, 3, 10) == (ALL, 3, 10)
    assert await door.overview.page(1, ALL, 3, 10) == ConnectionPage([], None)
    assert await door.overview.dismiss(ALL, Dismissal()) == 7
    assert inspector.dismissed == (ALL, Dismissal())
    await door.dismiss_everywhere(ConnectionFilter(consumer="alice"), Dismissal(4001))
    assert inspector.dismissed == (ConnectionFilter(consumer="alice"), Dismissal(4001))


async def test_channels_are_those_that_are_held(door, registry):
    overview = door.overview
    assert not overview.is_held("a")
    async with Holding(door.channels, ["a"]):
        registry.subscribe("a", RecordingSubscriber(WireForm.CHUNK))
        registry.subscribe("a", RecordingSubscriber(WireForm.FRAME))
    door.submit([Item("a", id="3", http_stream=HttpStream(content=b"x"))])
    await trio.lowlevel.checkpoint()
    assert overview.is_held("a")
    assert overview.channel_names() == ["a"]
    assert await overview.channels(["a", "b"]) == [
        ListedChannel("a", {"http-stream": 1, "websocket": 1}, {0: 2}, "3"),
        ListedChannel("b", {}, {}, None),
    ]
