import attrs
import pytest
import structlog

from realtime_proxy.net.timers import TICK_SECONDS
from realtime_proxy.serving.link_timers import SLICE, LinkTimers


@attrs.define(eq=False)
class Stream:
    calls: int = 0
    fails: bool = False

    def link_due(self):
        self.calls += 1
        if self.fails:
            raise RuntimeError("a defect")


@pytest.fixture
def links(timers):
    return LinkTimers(timers)


async def test_the_first_begins_the_time_of_all(links, jump, mock_clock):
    first, second = Stream(), Stream()
    links.join("http://a/x?from=1", 10, first)
    await jump(6)
    links.join("http://a/x?from=2", 10, second)
    await jump(4 + TICK_SECONDS)
    assert (first.calls, second.calls) == (1, 1)
    await jump(20)
    assert (first.calls, second.calls) == (1, 1)


async def test_other_times_and_links_are_apart(links, jump, mock_clock):
    streams = [Stream() for _ in range(3)]
    links.join("http://a/x", 10, streams[0])
    await jump(5)
    links.join("http://a/y", 10, streams[1])
    links.join("http://a/x", 20, streams[2])
    await jump(5 + TICK_SECONDS)
    assert [stream.calls for stream in streams] == [1, 0, 0]


async def test_who_has_left_is_not_called_and_leaves_nothing_behind(links, jump, mock_clock):
    first, second = Stream(), Stream()
    shared = links.join("http://a/x", 10, first)
    links.join("http://a/x", 10, second)
    links.leave(shared, first)
    links.leave(shared, second)
    assert not links._shared
    await jump(5)
    third = Stream()
    links.join("http://a/x", 10, third)
    links.leave(shared, first)
    await jump(6)
    assert (first.calls, third.calls) == (0, 0), "another time has begun"
    await jump(5)
    assert third.calls == 1


async def test_many_are_called_a_slice_at_a_time(links, jump, mock_clock):
    streams = [Stream() for _ in range(SLICE + 1)]
    for stream in streams:
        shared = links.join("http://a/x", 0, stream)
    await jump(TICK_SECONDS)
    assert sum(stream.calls for stream in streams) == SLICE
    links.join("http://a/x", 100, streams[0])
    await jump(TICK_SECONDS)
    assert sum(stream.calls for stream in streams) == SLICE + 1
    links.leave(shared, streams[0])


async def test_a_defect_of_one_keeps_no_other_from_its_link(links, jump, mock_clock):
    streams = [Stream(fails=True), Stream()]
    for stream in streams:
        links.join("http://a/x", 1, stream)
    with structlog.testing.capture_logs() as logs:
        await jump(2)
    assert [entry["event"] for entry in logs] == ["link failed"]
    assert streams[1].calls == 1
