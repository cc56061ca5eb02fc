import pytest
import trio
import trio.testing

from realtime_proxy.net.crew import Crew
from realtime_proxy.serving import link_tasks
from realtime_proxy.serving.link_tasks import LinkTasks


@pytest.fixture(autouse=True)
def _few_places(monkeypatch):
    monkeypatch.setattr(link_tasks, "MAX_OTHERS", 2)
    monkeypatch.setattr(link_tasks, "MAX_TASKS", 3)


class Bench:
    """Starts work that waits until it is told to end."""

    def __init__(self, nursery):
        self.tasks = LinkTasks(Crew(nursery))
        self.begun, self.ended, self.cut = [], [], []
        self._ends = {}
        self.of = {}

    async def start(self, *names, urgent=False):
        for name in names:
            self.of[name] = self.tasks.start(self._work(name), urgent=urgent)
        await trio.testing.wait_all_tasks_blocked()

    def _work(self, name):
        async def work(task):
            self.begun.append(name)
            self._ends[name] = trio.Event()
            try:
                await self._ends[name].wait()
            except trio.Cancelled:
                self.cut.append(name)
                raise
            self.ended.append(name)

        return work

    async def end(self, name):
        self._ends[name].set()
        await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
def bench(nursery):
    return Bench(nursery)


async def test_so_many_run_and_the_others_follow(bench):
    await bench.start("a", "b", "c")
    assert sorted(bench.begun) == ["a", "b"]
    await bench.end("a")
    assert bench.begun[2:] == ["c"]


async def test_urgent_ones_go_first(bench):
    await bench.start("a", "b", "c")
    await bench.start("d", urgent=True)
    assert bench.begun[2:] == ["d"], "a place is left for it"
    await bench.start("e", urgent=True)
    await bench.end("a")
    assert bench.begun[3:] == ["e"]
    await bench.end("b")
    assert bench.begun[4:] == [], "there are two still, as many as may be without hurry"
    await bench.end("d")
    assert bench.begun[4:] == ["c"]


async def test_who_has_left_its_place_goes_on_beside_the_next(bench):
    await bench.start("a", "b", "c")
    bench.of["a"].leave_place()
    bench.of["a"].leave_place()
    await trio.testing.wait_all_tasks_blocked()
    assert bench.begun[2:] == ["c"]
    await bench.start("d")
    await bench.end("a")
    assert bench.ended == ["a"]
    assert len(bench.begun) == 3, "its place was free before"


async def test_what_is_cancelled_ends_or_never_begins(bench):
    await bench.start("a", "b", "c", "d")
    bench.of["c"].cancel()
    bench.of["a"].cancel()
    await trio.testing.wait_all_tasks_blocked()
    assert (bench.begun[2:], bench.cut) == (["d"], ["a"])
    await bench.start("e")
    await bench.end("b")
    assert bench.begun[3:] == ["e"]


async def test_what_is_cancelled_before_its_task_runs_does_nothing(bench):
    task = bench.tasks.start(bench._work("a"), urgent=True)
    task.cancel()
    await trio.testing.wait_all_tasks_blocked()
    assert bench.begun == []
    await bench.start("b", "c")
    assert sorted(bench.begun) == ["b", "c"]
