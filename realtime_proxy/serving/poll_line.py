"""Long-polls that want to ask their backends: so many at once, the others without a task."""

from collections import deque
from typing import Protocol

# Tasks that wait for their turn or for an answer: as many as may be under way, and some more.
MAX_ASKING = 300


class AskingPoll(Protocol):
    """A long-poll, as the line knows it."""

    def begin_asking(self, *, urgent: bool) -> bool:
        """Ask now; False if there is nothing to ask any more. `PollLine.leave` has to follow."""


class PollLine:
    """Has polls ask in the order in which they came, urgent ones first."""

    def __init__(self) -> None:
        self._asking: set[AskingPoll] = set()
        self._urgent: deque[AskingPoll] = deque()
        self._others: deque[AskingPoll] = deque()

    def enter(self, poll: AskingPoll, *, urgent: bool) -> None:
        """Have a poll ask, at once if there are not too many."""
        (self._urgent if urgent else self._others).append(poll)
        self._go_on()

    def leave(self, poll: AskingPoll) -> None:
        """A poll has its answer, or needs none any more. Safe when it has left before."""
        if poll in self._asking:
            self._asking.remove(poll)
            self._go_on()

    def _go_on(self) -> None:
        while (line := self._urgent or self._others) and len(self._asking) < MAX_ASKING:
            urgent = line is self._urgent
            poll = line.popleft()
            self._asking.add(poll)
            if not poll.begin_asking(urgent=urgent):
                self._asking.discard(poll)
