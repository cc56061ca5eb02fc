import pytest
import trio
import trio.testing

from realtime_proxy.inputs.tokens import OwnTokens, SharedTokens, TokenDesk
from realtime_proxy.net.timers import Timers


@pytest.fixture
def desk(nursery):
    timers = Timers()
    nursery.start_soon(timers.run)
    return TokenDesk(100, timers)


async def test_who_asks_below_the_rate_does_not_wait(desk, autojump_clock):
    tokens = OwnTokens(desk)
    for _ in range(10):
        assert not await tokens.take(10)


async def test_beyond_the_rate_it_is_kept(desk, autojump_clock):
    tokens = OwnTokens(desk)
    begun_at = trio.current_time()
    waits = [await tokens.take(10) for _ in range(60)]
    assert not any(waits[:10])
    assert any(waits[10:])
    assert trio.current_time() - begun_at == pytest.approx(5, abs=0.2)


async def test_those_who_ask_are_served_in_turn(desk, autojump_clock):
    given = []
    desk.ask(300, lambda: given.append("first"))
    desk.ask(1, lambda: given.append("second"))
    desk.ask(1, lambda: given.append("third"))
    assert given == ["first"]
    await trio.sleep(1.9)
    assert given == ["first"]
    await trio.sleep(0.3)
    assert given == ["first", "second", "third"]


async def test_workers_send_for_some_and_use_them_up():
    asked = []
    tokens = SharedTokens(1_000, asked.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tokens.take, 10)
        await trio.testing.wait_all_tasks_blocked()
        assert asked == [50]
        tokens.given(50)
    assert not await tokens.take(30)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tokens.take, 100)
        await trio.testing.wait_all_tasks_blocked()
        assert asked == [50, 90]
        tokens.given(90)


async def test_a_low_rate_gives_one_at_a_time():
    asked = []
    tokens = SharedTokens(0.5, asked.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tokens.take, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert asked == [1]
        tokens.given(1)
