import structlog
import trio
import trio.testing

from realtime_proxy.net.crew import Crew
from realtime_proxy.serving import farewells as farewells_module
from realtime_proxy.serving.farewells import MAX_AT_ONCE, Farewells


async def test_says_each_once_and_so_many_at_once(nursery):
    farewells = Farewells(Crew(nursery))
    begun, go_on = [], trio.Event()

    def farewell(number):
        async def say():
            begun.append(number)
            await go_on.wait()

        return say

    for number in range(MAX_AT_ONCE + 10):
        farewells.say(farewell(number))
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(begun) == list(range(MAX_AT_ONCE))
    go_on.set()
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(begun) == list(range(MAX_AT_ONCE + 10))


async def test_says_those_who_leave_later(nursery):
    farewells = Farewells(Crew(nursery))
    said = []

    async def say():
        said.append(len(said))

    for count in range(1, 2 * MAX_AT_ONCE):
        farewells.say(say)
        await trio.testing.wait_all_tasks_blocked()
        assert len(said) == count


async def test_does_not_keep_ever_more(nursery, monkeypatch):
    monkeypatch.setattr(farewells_module, "MAX_WAITING", 10)
    farewells = Farewells(Crew(nursery))
    said, go_on = [], trio.Event()

    async def say():
        await go_on.wait()
        said.append(len(said))

    for _ in range(MAX_AT_ONCE):
        farewells.say(say)
        await trio.testing.wait_all_tasks_blocked()
    with structlog.testing.capture_logs() as logs:
        taken = [farewells.say(say) for _ in range(15)]
        go_on.set()
        await trio.testing.wait_all_tasks_blocked()
    assert taken == [True] * 10 + [False] * 5  # whoever asks can give back what it keeps for it
    assert len(said) == MAX_AT_ONCE + 10
    too_many, in_the_end = logs
    assert too_many["waiting"] == 10
    assert in_the_end["clients"] == 5
