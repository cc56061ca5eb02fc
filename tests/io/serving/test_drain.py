from random import Random

import pytest
import trio

from realtime_proxy.net.timers import TICK_SECONDS
from realtime_proxy.serving.drain import Drain

SECONDS = 10.0


class Client:
    """A client that is held, or idle, and says when it was let go."""

    def __init__(self, *, is_held=True, refuses=0):
        self.is_held = is_held
        self.refuses = refuses
        self.was_idle_asked = False
        self.let_go_at = None

    def leave_if_idle(self):
        self.was_idle_asked = True

    def let_go(self):
        self.refuses -= 1
        if self.refuses < 0:
            self.let_go_at = trio.current_time()
        return self.refuses < 0


@pytest.fixture
async def drain(timers):
    return Drain(timers, SECONDS, Random(1))


async def test_clients_that_are_held_go_one_after_the_other(drain, autojump_clock):
    clients = [Client() for _ in range(100)]
    begun_at = trio.current_time()
    drain.begin(clients)
    await trio.sleep(SECONDS / 2)
    assert 45 <= sum(client.let_go_at is not None for client in clients) <= 55
    await trio.sleep(SECONDS / 2 + TICK_SECONDS)
    assert all(client.let_go_at - begun_at <= SECONDS + TICK_SECONDS for client in clients)
    assert [client.let_go_at for client in clients] != sorted(c.let_go_at for c in clients)


async def test_others_are_asked_to_leave_at_once_and_have_no_moment(drain, autojump_clock):
    idle = Client(is_held=False)
    drain.begin([idle])
    assert idle.was_idle_asked
    await trio.sleep(2 * SECONDS)
    assert idle.let_go_at is None


async def test_a_client_that_is_held_later_goes_in_what_is_left(drain, autojump_clock):
    drain.begin([])
    await trio.sleep(SECONDS - 1)
    late = Client()
    drain.held(late)
    await trio.sleep(1 + TICK_SECONDS)
    assert late.let_go_at is not None


async def test_one_that_is_held_after_the_time_goes_at_once(drain, autojump_clock):
    drain.begin([])
    await trio.sleep(SECONDS + 1)
    late = Client()
    drain.held(late)
    await trio.sleep(2 * TICK_SECONDS)
    assert late.let_go_at is not None


async def test_one_that_can_not_go_just_now_is_tried_again(drain, autojump_clock):
    client = Client(refuses=3)
    drain.begin([client])
    await trio.sleep(SECONDS + 1)
    assert client.let_go_at is not None


async def test_times_to_come_back_differ(drain, autojump_clock):
    times = {drain.retry_milliseconds() for _ in range(100)}
    assert len(times) > 90
    assert min(times) >= 1_000
    assert max(times) <= 5_000
