import pytest

from realtime_proxy.inputs.publishing import Reach
from realtime_proxy.inputs.succession import Succession
from realtime_proxy.model.item import HttpStream, Item

ITEM = Item("a", http_stream=HttpStream(content=b"x"))
ONE = Reach(1, 1)


class Publishing:
    """One of both processes."""

    def __init__(self, *names, reach=ONE):
        self.names = list(names)
        self.reach = reach
        self.done = []
        self.answers = True

    def submit(self, items):
        self.done.append(("submit", list(items)))

    async def count(self, _items):
        return self.reach

    def recover(self):
        self.done.append("recover")

    def refresh_channel(self, channel):
        self.done.append(("refresh", channel))

    async def refresh_connection(self, name):
        return name in self.names

    async def connected(self, names):
        return [name for name in names if name in self.names] if self.answers else None

    def show_channels(self, topics):
        topics.append(self)


@pytest.fixture
def own():
    return Publishing(b"own")


@pytest.fixture
def other():
    return Publishing(b"other", reach=Reach(3, 2))


@pytest.fixture
def both(own, other):
    return Succession(own, other)


def act(publishing):
    publishing.submit(iter([ITEM]))
    publishing.recover()
    publishing.refresh_channel("a")


def test_what_is_published_goes_to_both(both, own, other):
    act(both)
    assert own.done == other.done == [("submit", [ITEM]), "recover", ("refresh", "a")]


async def test_receivers_of_both_are_counted(both):
    assert await both.count([ITEM]) == Reach(4, 3)


async def test_connections_of_both_are_found(both, other):
    assert await both.refresh_connection(b"own")
    assert await both.refresh_connection(b"other")
    assert not await both.refresh_connection(b"none")
    names = [b"other", b"none", b"own"]
    assert await both.connected(names) == [b"other", b"own"]
    other.answers = False
    assert await both.connected(names) is None


def test_channels_of_both_are_shown(both, own, other):
    topics = []
    both.show_channels(topics)
    assert topics == [own, other]


async def test_at_the_end_of_the_other_only_the_own_is_left(both, own, other):
    both.end()
    act(both)
    assert len(own.done) == 3
    assert other.done == []
    assert await both.count([ITEM]) == Reach(1, 1)
