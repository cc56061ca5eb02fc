"""The tasks that fetch links: each takes kilobytes while it waits, so only so many are there.

When all streams of a worker have to look at their links, most of them stand in line here, which
takes next to nothing.
"""

from collections import deque
from collections.abc import Awaitable, Callable

import trio

from realtime_proxy.net.crew import Crew

# Those that are not urgent leave some room for those that are.
MAX_OTHERS = 400
MAX_TASKS = 500


class LinkTask:
    """A task that runs, or is still in line."""

    __slots__ = ("_has_place", "_is_over", "_scope", "_tasks", "_work")

    def __init__(self, tasks: "LinkTasks", work: "Work") -> None:
        self._tasks = tasks
        self._work = work
        self._scope: trio.CancelScope | None = None
        self._is_over = False
        self._has_place = False

    @property
    def is_over(self) -> bool:
        """True once it was cancelled."""
        return self._is_over

    def cancel(self) -> None:
        """End it, or never begin it."""
        self._is_over = True
        if self._scope is not None:
            self._scope.cancel()

    def leave_place(self) -> None:
        """It has its answer: another may begin. What it still does may take as long as it likes."""
        if self._has_place:
            self._has_place = False
            self._tasks.place_is_free()

    def take_place(self, crew: Crew) -> None:
        """Begin. For the line only."""
        self._has_place = True
        crew.start(self._run)

    async def _run(self, scope: trio.CancelScope) -> None:
        try:
            if not self._is_over:
                self._scope = scope
                await self._work(self)
        finally:
            self._scope = None
            self.leave_place()


Work = Callable[[LinkTask], Awaitable[None]]


class LinkTasks:
    """Those of a worker, the urgent ones first."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._urgent: deque[LinkTask] = deque()
        self._others: deque[LinkTask] = deque()
        self._running = 0

    def start(self, work: Work, *, urgent: bool) -> LinkTask:
        """Have work done in a task, soon if there is a place. It must not raise."""
        task = LinkTask(self, work)
        (self._urgent if urgent else self._others).append(task)
        self._fill_places()
        return task

    def place_is_free(self) -> None:
        """A task has left its place."""
        self._running -= 1
        self._fill_places()

    def _fill_places(self) -> None:
        while (task := self._next()) is not None:
            if not task.is_over:
                self._running += 1
                task.take_place(self._crew)

    def _next(self) -> LinkTask | None:
        if self._urgent and self._running < MAX_TASKS:
            return self._urgent.popleft()
        if self._others and self._running < MAX_OTHERS:
            return self._others.popleft()
        return None
