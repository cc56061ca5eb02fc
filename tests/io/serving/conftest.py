import pytest
import trio
import trio.testing

from realtime_proxy.net.timers import Timers


@pytest.fixture
async def timers(nursery):
    wheel = Timers()
    nursery.start_soon(wheel.run)
    await trio.testing.wait_all_tasks_blocked()
    return wheel


@pytest.fixture
def jump():
    """Let time pass on the test's clock, and all that is due then happen."""

    async def jump(seconds):
        trio.lowlevel.current_clock().jump(seconds)
        await trio.testing.wait_all_tasks_blocked()

    return jump
