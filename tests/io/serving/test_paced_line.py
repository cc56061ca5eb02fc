import pytest
import trio
import trio.testing

from realtime_proxy.net.timers import TICK_SECONDS
from realtime_proxy.serving.paced_line import PacedLine


class Crowd:
    """Tasks that wait for their turn, and those that have had it."""

    def __init__(self, line, nursery):
        self.line = line
        self._nursery = nursery
        self.gone = []
        self.scopes = {}

    async def come(self, *names, key="k", later=False):
        async def wait(name):
            with trio.CancelScope() as self.scopes[name]:
                await (self.line.later(key) if later else self.line.turn(key))
                self.gone.append(name)

        for name in names:
            self._nursery.start_soon(wait, name)
        await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
def crowd(timers, nursery):
    return Crowd(PacedLine(timers, 2, 1.0), nursery)


async def test_so_many_go_at_once_and_the_others_with_the_next_periods(crowd, jump, mock_clock):
    await crowd.come(*range(5))
    assert len(crowd.gone) == 2
    await jump(1.0 + TICK_SECONDS)
    assert len(crowd.gone) == 4
    await jump(1.0 + TICK_SECONDS)
    assert len(crowd.gone) == 5


async def test_who_comes_for_later_does_not_go_at_once(crowd, jump, mock_clock):
    await crowd.come("a", later=True)
    assert crowd.gone == []
    await jump(2 * TICK_SECONDS)
    assert crowd.gone == ["a"]


async def test_lines_are_served_in_turn(crowd, jump, mock_clock):
    await crowd.come(*range(4), key="many", later=True)
    await crowd.come("one", key="few", later=True)
    await jump(2 * TICK_SECONDS)
    assert "one" in crowd.gone


async def test_who_gives_up_waiting_takes_no_turn(crowd, jump, mock_clock):
    await crowd.come("a", "b", "c", "d", later=True)
    crowd.scopes["a"].cancel()
    crowd.scopes["b"].cancel()
    await trio.testing.wait_all_tasks_blocked()
    await jump(2 * TICK_SECONDS)
    assert sorted(crowd.gone) == ["c", "d"]
