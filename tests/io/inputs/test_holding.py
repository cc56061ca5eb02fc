import pytest
import trio
import trio.testing

from realtime_proxy.channels.membership import Grant
from realtime_proxy.channels.registry import Registry
from realtime_proxy.inputs.holding import Holding, channels_of
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm


class Owner:
    """Answers at once what it knows, else when the test says so."""

    def __init__(self):
        self.grants = {}
        self.released = []

    def hold(self, channel):
        return self.grants.get(channel)

    def release(self, channel):
        self.released.append(channel)


@pytest.fixture
def owner():
    return Owner()


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def channels(owner, registry):
    return channels_of(registry, owner, 60.0)


async def test_channels_are_held_within_the_block(channels, owner):
    owner.grants = {"a": Grant("5"), "b": Grant()}
    async with Holding(channels, ["a", "b"]) as known:
        assert known.holds("a")
        assert (known.last_id("a"), known.last_id("b")) == ("5", None)
        assert not owner.released
    assert owner.released == ["a", "b"]


async def test_the_block_begins_when_all_are_granted(channels, owner, autojump_clock):
    owner.grants = {"a": Grant()}
    begun = trio.Event()

    async def hold():
        async with Holding(channels, ["a", "b"]):
            begun.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold)
        await trio.testing.wait_all_tasks_blocked()
        assert not begun.is_set()
        channels.granted("b", Grant("7"))
    assert begun.is_set()
    assert owner.released == ["a", "b"]


async def test_who_gives_up_holds_nothing(channels, owner, autojump_clock):
    owner.grants = {"a": Grant()}
    with trio.move_on_after(1):
        async with Holding(channels, ["a", "b"]):
            pytest.fail("nobody has granted b")
    channels.granted("b", Grant())
    assert owner.released == ["a", "b"]


async def test_channels_follow_who_is_subscribed(channels, owner, registry, mock_clock):
    owner.grants = {"a": Grant(), "b": Grant()}
    async with Holding(channels, ["a", "b"]):
        stream = registry.subscribe("a", RecordingSubscriber(WireForm.RAW))
        poll = registry.subscribe("b", RecordingSubscriber(WireForm.RESPONSE))
    assert not owner.released
    registry.unsubscribe(stream)
    registry.unsubscribe(poll)
    assert owner.released == ["a"]
    channels.expire(trio.current_time())
    mock_clock.jump(59.9)
    channels.expire(trio.current_time())
    assert owner.released == ["a"]
    mock_clock.jump(0.2)
    channels.expire(trio.current_time())
    assert owner.released == ["a", "b"]
