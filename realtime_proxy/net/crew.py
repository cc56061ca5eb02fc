"""Tasks that wait for work, so that a spell of work costs neither a new task nor a cancel scope.

Starting and ending a task, and entering a scope to be able to cut it short, would cost a tenth of
a small request. A task that has done its work waits here for more, in the scope that it is in.
"""

import contextvars
from collections.abc import Awaitable, Callable

import trio

Work = Callable[[trio.CancelScope], Awaitable[None]]

# So many tasks are kept waiting at most; each takes about 3 kB. An item can have hundreds of
# clients ask again at the same time: tasks that end and begin would be a tenth of what that costs.
MAX_IDLE = 500


class Crew:
    """Does work in tasks of a nursery, those that wait for it first."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._idle: list[_Member] = []
        self._members = 0

    def __len__(self) -> int:
        """How many tasks wait for work."""
        return len(self._idle)

    @property
    def at_work(self) -> int:
        """How many tasks have work to do."""
        return self._members - len(self._idle)

    def start(self, work: Work, on_cancelled: Callable[[], None] | None = None) -> None:
        """Have work done soon; it gets the scope by which it may be cancelled until it is done.

        `on_cancelled` is called when that has cut it short. As with a task of its own, its context
        variables are the caller's, and what it raises ends the nursery.
        """
        if not self._idle:
            self._members += 1
            self._nursery.start_soon(_Member(self._idle, self._left, work, on_cancelled).run)
            return
        member = self._idle.pop()
        member.work, member.on_cancelled = work, on_cancelled
        member.task.context = contextvars.copy_context()
        trio.lowlevel.reschedule(member.task)

    def _left(self) -> None:
        self._members -= 1


class _Member:
    """One task, and the work that it is given."""

    __slots__ = ("_idle", "_on_left", "on_cancelled", "task", "work")

    def __init__(
        self,
        idle: "list[_Member]",
        on_left: Callable[[], None],
        work: Work,
        on_cancelled: Callable[[], None] | None,
    ) -> None:
        self._idle = idle
        self._on_left = on_left
        self.work = work
        self.on_cancelled = on_cancelled
        self.task: trio.lowlevel.Task

    async def run(self) -> None:
        """Work until the scope is cancelled, which can't be undone, or others are idle enough."""
        self.task = trio.lowlevel.current_task()
        try:
            with trio.CancelScope() as scope:
                while True:
                    await self.work(scope)
                    # Whoever it was for may be gone soon, and this task wait for long.
                    del self.work
                    self.on_cancelled = None
                    if len(self._idle) >= MAX_IDLE:
                        return
                    self._idle.append(self)
                    # Work that was cancelled at its end has nothing left to be cut short: this is.
                    await trio.lowlevel.wait_task_rescheduled(self._leave)
            if self.on_cancelled is not None:
                self.on_cancelled()
        finally:
            self._on_left()

    def _leave(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        """The nursery or the scope is cancelled while nothing is to be done."""
        self._idle.remove(self)
        return trio.lowlevel.Abort.SUCCEEDED
