import msgspec
import pytest

from realtime_proxy.channels.membership import HubChannels
from realtime_proxy.inputs.hub_overview import HubOverview
from realtime_proxy.inputs.link_messages import Kind
from realtime_proxy.inputs.overview import Unanswered
from realtime_proxy.model.connection_filter import ConnectionFilter
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.listed_channel import ListedChannel
from realtime_proxy.model.listed_connection import ConnectionPage

ALL = ConnectionFilter()
encode = msgspec.msgpack.encode


class Workers:
    """Two workers, and what they answer."""

    def __init__(self):
        self.answers = {}
        self.asked = []

    def serving(self):
        return [0, 3]

    async def ask(self, kind, parts, workers, seconds):
        self.asked.append((kind, parts, list(workers)))
        answers = {worker: self.answers[worker] for worker in workers if worker in self.answers}
        return answers, len(answers) == len(workers)


class Order:
    """Knows the last id of one channel."""

    def grant(self, channel):
        return type("Grant", (), {"last_id": "7" if channel == "a" else None})


@pytest.fixture
def workers():
    return Workers()


@pytest.fixture
def overview(workers):
    channels = HubChannels()
    channels.hold(3, "a")
    return HubOverview(workers, channels, Order())


async def test_one_worker_is_asked_for_a_page(workers, overview):
    page = ConnectionPage([], 9)
    workers.answers[3] = [encode(page)]
    assert await overview.page(3, ALL, -1, 10) == page
    assert workers.asked == [(Kind.LIST, [encode(ALL), b"-1", b"10"], [3])]


async def test_a_worker_that_is_gone_has_nobody(overview):
    assert await overview.page(1, ALL, -1, 10) == ConnectionPage([], None)


async def test_all_are_told_to_end_connections(workers, overview):
    workers.answers = {0: [b"2"], 3: [b"40"]}
    assert await overview.dismiss(ALL, Dismissal()) == 42
    assert workers.asked == [(Kind.DISMISS, [encode(ALL), encode(Dismissal())], [0, 3])]


async def test_channels_are_added_up(workers, overview):
    assert (overview.serving_workers, overview.workers()) == (2, [0, 3])
    assert (overview.channel_names(), overview.is_held("a"), overview.is_held("b")) == (
        ["a"],
        True,
        False,
    )
    workers.answers = {0: [encode([{}, {}])], 3: [encode([{"response": 2}, {}])]}
    assert await overview.channels(["a", "b"]) == [
        ListedChannel("a", {"response": 2}, {3: 2}, "7"),
        ListedChannel("b", {}, {}, None),
    ]


async def test_a_worker_that_does_not_answer_is_named(workers, overview):
    workers.answers = {0: [b"2"]}
    with pytest.raises(Unanswered, match="worker 3 within 30 seconds"):
        await overview.dismiss(ALL, Dismissal())
