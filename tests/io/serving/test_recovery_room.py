import pytest
import trio
import trio.testing

from realtime_proxy.serving.recovery_room import (
    MAX_IN_FLIGHT,
    MAX_OTHERS,
    MAX_URGENT,
    PERIOD_SECONDS,
    RecoveryRoom,
)

PERIOD = PERIOD_SECONDS * 1.6  # a tick later at most


class Crowd:
    """Requests that want to go, and those that have gone and not come back."""

    def __init__(self, room, nursery):
        self._room = room
        self._nursery = nursery
        self.gone = []
        self._ends = {}

    async def ask(self, *names, urgent=False):
        for name in names:
            self._nursery.start_soon(self._go, name, urgent)
        await trio.testing.wait_all_tasks_blocked()

    async def _go(self, name, urgent):
        with trio.CancelScope() as self._ends[name]:
            async with self._room.turn("k", urgent=urgent):
                self.gone.append(name)
                await trio.sleep_forever()

    async def end(self, *names):
        for name in names:
            self._ends[name].cancel()
        await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
def crowd(timers, nursery):
    return Crowd(RecoveryRoom(timers), nursery)


async def test_urgent_requests_go_at_once_while_there_are_few(crowd, jump, mock_clock):
    await crowd.ask(*range(MAX_URGENT + 1), urgent=True)
    assert len(crowd.gone) == MAX_URGENT
    await jump(PERIOD)
    assert len(crowd.gone) == MAX_URGENT + 1


async def test_others_wait_a_little_and_keep_no_urgent_one_waiting(crowd, jump, mock_clock):
    await crowd.ask(*range(2 * MAX_OTHERS))
    assert crowd.gone == []
    await crowd.ask("urgent", urgent=True)
    assert crowd.gone == ["urgent"]
    await jump(PERIOD)
    assert len(crowd.gone) == 1 + MAX_OTHERS


async def test_never_too_many_are_under_way(crowd, jump, mock_clock):
    await crowd.ask(*range(2 * MAX_IN_FLIGHT))
    for _ in range(20):
        await jump(PERIOD)
    assert len(crowd.gone) == MAX_IN_FLIGHT
    await crowd.end(*crowd.gone[:5])
    assert len(crowd.gone) == MAX_IN_FLIGHT + 5
