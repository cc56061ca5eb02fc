import gc
from types import MethodType

import pytest
import structlog
import trio
import trio.testing

from realtime_proxy.net.timers import TICK_SECONDS, Timers


class Fired:
    """Notes when each callback was called."""

    def __init__(self, timers):
        self._timers = timers
        self.calls = []

    def __call__(self, name):
        return lambda: self.calls.append((name, self._timers.now()))

    @property
    def names(self):
        return [name for name, _ in self.calls]


@pytest.fixture
async def timers(nursery):
    wheel = Timers()
    nursery.start_soon(wheel.run)
    await trio.testing.wait_all_tasks_blocked()
    return wheel


@pytest.fixture
def fired(timers):
    return Fired(timers)


async def jump(seconds):
    """Let time pass on the test's clock, and all that is due then happen."""
    trio.lowlevel.current_clock().jump(seconds)
    await trio.testing.wait_all_tasks_blocked()


async def test_a_deadline_comes_once_and_not_before_its_time(timers, fired, mock_clock):
    timers.after(1, fired("a"))
    await jump(0.9)
    assert fired.names == []
    await jump(0.1 + TICK_SECONDS)
    assert fired.names == ["a"]
    await jump(100)
    assert fired.names == ["a"]


@pytest.mark.parametrize("seconds", [0, 0.001, 0.049, 0.05, 0.051, 0.3, 1.0, 7.77, 1800])
async def test_a_deadline_is_never_early_and_at_most_one_tick_late(
    timers, fired, mock_clock, seconds
):
    await jump(12.34)
    begun = timers.now()
    timers.after(seconds, fired("a"))
    while not fired.calls:
        await jump(max(TICK_SECONDS / 5, seconds / 1_000))
        assert timers.now() < begun + seconds + 2 * TICK_SECONDS + seconds / 1_000
    assert fired.calls[0][1] >= begun + seconds - 1e-6


async def test_deadlines_come_in_their_order(timers, fired, mock_clock):
    for seconds in (3, 1, 2, 5, 4):
        timers.after(seconds, fired(seconds))
    for _ in range(60):
        await jump(0.1)
    assert fired.names == [1, 2, 3, 4, 5]


async def test_a_deadline_of_the_next_tick_waits_for_it(timers, fired, mock_clock):
    timers.after(1, fired("first"))
    timers.after(1 + TICK_SECONDS, fired("second"))
    await jump(1)
    assert fired.names == ["first"]
    await jump(TICK_SECONDS)
    assert fired.names == ["first", "second"]


async def test_an_earlier_deadline_is_seen_while_waiting_for_a_later_one(timers, fired, mock_clock):
    timers.after(100, fired("late"))
    await jump(1)
    timers.after(1, fired("early"))
    await jump(2)
    assert fired.names == ["early"]


async def test_a_cancelled_deadline_never_comes(timers, fired, mock_clock):
    cancelled = timers.after(1, fired("cancelled"))
    timers.after(1, fired("kept"))
    cancelled.cancel()
    cancelled.cancel()
    await jump(2)
    assert fired.names == ["kept"]


async def test_cancelling_afterwards_harms_nobody(timers, fired, mock_clock):
    first = timers.after(1, fired("first"))
    await jump(2)
    timers.after(1, fired("second"))
    first.cancel()
    await jump(2)
    assert fired.names == ["first", "second"]


async def test_a_callback_may_cancel_another_of_the_same_tick(timers, fired, mock_clock):
    pair = []

    def cancel_both():
        fired("one")()
        for timer in pair:
            timer.cancel()

    pair += [timers.after(1, cancel_both), timers.after(1, cancel_both)]
    await jump(2)
    assert fired.names == ["one"]


async def test_a_callback_may_set_the_next_deadline(timers, fired, mock_clock):
    def again():
        fired("again")()
        timers.after(1, again)

    timers.after(1, again)
    for _ in range(35):
        await jump(0.1)
    assert fired.names == ["again"] * 3


async def test_a_callback_may_set_an_earlier_deadline_than_all_others(timers, fired, mock_clock):
    timers.after(100, fired("late"))
    timers.after(1, lambda: timers.after(1, fired("next")))
    await jump(1.5)
    await jump(1.5)
    assert fired.names == ["next"]


async def test_a_callback_that_fails_stops_nobody(timers, fired, mock_clock):
    def fail():
        raise ZeroDivisionError

    timers.after(1, fail)
    for name in "abc":
        timers.after(1, fired(name))
    timers.after(2, fired("later"))
    with structlog.testing.capture_logs() as logs:
        await jump(1.5)
        await jump(1.5)
    assert sorted(fired.names) == ["a", "b", "c", "later"]
    assert [entry["event"] for entry in logs] == ["timer callback failed"]


async def test_what_was_set_before_the_start_comes_as_well(nursery, mock_clock):
    wheel = Timers()
    fired = Fired(wheel)
    wheel.after(1, fired("a"))
    nursery.start_soon(wheel.run)
    await jump(2)
    assert fired.names == ["a"]


def test_the_time_is_that_of_the_clock_in_use():
    assert Timers(lambda: 7.5).now() == 7.5


class Kettle:
    """Something with a deadline."""

    def __init__(self):
        self.boils = False

    def boil(self):
        self.boils = True


async def test_of_a_method_only_its_parts_are_kept(timers, mock_clock):
    kettle = Kettle()
    timer = timers.after(1.0, kettle.boil)
    kept = gc.get_referents(timer)
    assert kettle in kept
    assert not any(isinstance(one, MethodType) for one in kept)
    await jump(1.1)
    assert kettle.boils


def test_deadlines_that_were_cancelled_leave_little_behind():
    """Such as those of long-polls that may last for a day, each answered at once."""
    now = 0.0
    timers = Timers(lambda: now)
    for _ in range(20_000):
        now += TICK_SECONDS
        timers.after(86_400, print).cancel()
    assert len(timers) < 5_000


async def test_what_others_leave_behind_goes_without_harm(timers, fired, mock_clock):
    timers.after(70, fired("late"))
    for count in range(3_000):
        timers.after(60 + count * TICK_SECONDS, fired(count)).cancel()
    timers.after(1, fired("early"))
    await jump(2)
    await jump(70)
    assert fired.names == ["early", "late"]


async def test_what_is_put_off_keeps_its_timer_while_that_does(timers, fired, mock_clock):
    callback = fired("a")
    timer = timers.put_off(None, 16, callback)
    await jump(0.9)
    assert timers.put_off(timer, 16, callback) is timer
    await jump(0.9)
    later = timers.put_off(timer, 16, callback)
    assert later is not timer
    await jump(15.9)
    assert fired.names == []  # neither is early, and the first is cancelled
    await jump(1 + 2 * TICK_SECONDS)
    assert fired.names == ["a"]


async def test_what_is_put_off_is_at_most_a_sixteenth_late(timers, fired, mock_clock):
    timer = timers.put_off(None, 160, fired("a"))
    sooner = timers.put_off(timer, 2, fired("b"))
    await jump(2 + 2 / 16 + TICK_SECONDS)
    assert fired.names == ["b"]
    again = timers.put_off(sooner, 2, fired("c"))
    assert again is not sooner  # which has happened
    again.cancel()
    assert timers.put_off(again, 2, fired("d")) is not again
    await jump(1000)
    assert fired.names == ["b", "d"]
