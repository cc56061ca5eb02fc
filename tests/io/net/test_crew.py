import contextvars
import gc
import weakref

import pytest
import trio
import trio.testing

from realtime_proxy.net import crew as crew_module
from realtime_proxy.net.crew import Crew

SECONDS = 10


@pytest.fixture
def crew(nursery):
    return Crew(nursery)


class Job:
    """Work that goes on until a test lets it end."""

    def __init__(self, crew, log):
        self.scope = None
        self.may_end = trio.Event()
        self.task = None
        self._log = log
        crew.start(self.work, self.cut_short)

    async def work(self, scope):
        self.scope, self.task = scope, trio.lowlevel.current_task()
        await self.may_end.wait()
        self._log.append("done")

    def cut_short(self):
        self._log.append("cut short")

    async def end(self):
        self.may_end.set()
        await trio.testing.wait_all_tasks_blocked()


async def test_a_task_is_used_again(crew):
    log = []
    first = Job(crew, log)
    await trio.testing.wait_all_tasks_blocked()
    assert len(crew) == 0
    await first.end()
    assert len(crew) == 1
    second = Job(crew, log)
    assert len(crew) == 0
    await trio.testing.wait_all_tasks_blocked()
    assert (second.task, second.scope) == (first.task, first.scope)
    await second.end()
    assert log == ["done", "done"]


async def test_those_at_work_are_counted(crew):
    log = []
    assert crew.at_work == 0
    jobs = [Job(crew, log) for _ in range(3)]
    assert crew.at_work == 3  # before any has begun
    await trio.testing.wait_all_tasks_blocked()
    await jobs[0].end()
    assert crew.at_work == 2
    jobs[1].scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
    assert crew.at_work == 1
    await jobs[2].end()
    assert (crew.at_work, len(crew)) == (0, 2)


async def test_work_goes_on_side_by_side(crew):
    log = []
    jobs = [Job(crew, log) for _ in range(5)]
    await trio.testing.wait_all_tasks_blocked()
    assert len({job.task for job in jobs}) == 5
    for job in reversed(jobs):
        await job.end()
    assert len(crew) == 5


async def test_work_that_is_cancelled_is_told(crew):
    log = []
    job, other = Job(crew, log), Job(crew, log)
    await trio.testing.wait_all_tasks_blocked()
    job.scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
    assert log == ["cut short"]
    assert len(crew) == 0
    await other.end()
    assert log == ["cut short", "done"]


async def test_a_scope_that_was_cancelled_too_late_serves_nobody_else(crew):
    log = []
    job = Job(crew, log)
    await trio.testing.wait_all_tasks_blocked()
    await job.end()

    async def cancel_at_the_end(scope):
        scope.cancel()

    crew.start(cancel_at_the_end, job.cut_short)
    await trio.testing.wait_all_tasks_blocked()
    assert len(crew) == 0
    after = Job(crew, log)
    await trio.testing.wait_all_tasks_blocked()
    assert after.scope is not job.scope
    await after.end()
    assert log == ["done", "done"]


@pytest.mark.parametrize("is_cut", [True, False])
async def test_nothing_is_kept_of_work_that_is_done(crew, is_cut):
    job = Job(crew, [])
    await trio.testing.wait_all_tasks_blocked()
    if is_cut:
        job.scope.cancel()
    await job.end()
    kept = weakref.ref(job)
    del job
    gc.collect()
    assert kept() is None


async def test_only_so_many_are_kept_waiting(crew, monkeypatch):
    monkeypatch.setattr(crew_module, "MAX_IDLE", 2)
    jobs = [Job(crew, []) for _ in range(5)]
    await trio.testing.wait_all_tasks_blocked()
    for job in jobs:
        await job.end()
    assert len(crew) == 2


async def test_context_variables_do_not_pass_from_one_to_the_next(crew):
    name = contextvars.ContextVar("name", default="nobody")
    seen = []

    async def work(_scope):
        seen.append(name.get())
        name.set("the one before")

    for _ in range(2):
        crew.start(work)
        await trio.testing.wait_all_tasks_blocked()
    name.set("the caller")
    crew.start(work)
    await trio.testing.wait_all_tasks_blocked()
    assert seen == ["nobody", "nobody", "the caller"]


async def test_all_end_with_the_nursery():
    log = []
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            crew = Crew(nursery)
            idle, busy = Job(crew, log), Job(crew, log)
            await trio.testing.wait_all_tasks_blocked()
            await idle.end()
            nursery.cancel_scope.cancel()
    assert log == ["done"]
    assert len(crew) == 0
    assert not busy.may_end.is_set()
