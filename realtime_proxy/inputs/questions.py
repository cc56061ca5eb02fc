"""Questions of the supervisor that several workers answer, each for itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import trio

# A worker that is so busy for so long is not waited for.
ANSWER_SECONDS = 2.0
# The number of a question whose answers nobody waits for.
UNASKED = b"-1"


@attrs.define(eq=False)
class Question:
    """A question that is being answered. `answers` has the parts of each worker's so far."""

    number: int
    answers: dict[int, list[bytes]] = attrs.field(factory=dict)
    _missing: set[int] = attrs.field(factory=set)
    _settled: trio.Event = attrs.field(factory=trio.Event)

    def put_to(self, worker: int) -> None:
        """A worker is asked."""
        self._missing.add(worker)

    def answered(self, worker: int, answer: list[bytes] | None) -> None:
        """A worker has answered, or (None) never will."""
        if worker not in self._missing:
            return
        self._missing.discard(worker)
        if answer is not None:
            self.answers[worker] = answer
        if not self._missing:
            self._settled.set()

    async def settled(self, seconds: float | None = None) -> bool:
        """Wait until all have answered; False if that took too long."""
        if self._missing:
            with trio.move_on_after(ANSWER_SECONDS if seconds is None else seconds):
                await self._settled.wait()
        return not self._missing


class Questions:
    """All questions that are being answered, by their numbers."""

    def __init__(self) -> None:
        self._open: dict[int, Question] = {}
        self._next = 0

    @contextmanager
    def new(self) -> Iterator[Question]:
        """A question, which can be answered within this block."""
        question = self._open[self._next] = Question(self._next)
        self._next += 1
        try:
            yield question
        finally:
            del self._open[question.number]

    def answered(self, worker: int, number: int, answer: list[bytes]) -> None:
        """A worker has answered the question of this number; it may be too late."""
        if (question := self._open.get(number)) is not None:
            question.answered(worker, answer)

    def gone(self, worker: int) -> None:
        """A worker is gone, and with it all that it could have answered for."""
        for question in list(self._open.values()):
            question.answered(worker, None)
