"""Answers of others that are kept for a while, so that not every request has to ask."""

import hashlib
from typing import Generic, TypeVar

T = TypeVar("T")


class KeptAnswers(Generic[T]):
    """Answers by what was asked; when there are too many, the oldest makes room.

    Questions carry credentials, so that only digests of them are kept.
    """

    def __init__(self, max_answers: int) -> None:
        self._max_answers = max_answers
        self._kept: dict[bytes, tuple[float, T]] = {}

    def get(self, question: bytes, now: float) -> T | None:
        """What was answered, if that still counts."""
        digest = _digest(question)
        until, answer = self._kept.get(digest, (now, None))
        if until > now:
            return answer
        self._kept.pop(digest, None)
        return None

    def keep(self, question: bytes, answer: T, until: float) -> None:
        """Keep an answer up to this time; instead of the one before."""
        digest = _digest(question)
        self._kept.pop(digest, None)
        if len(self._kept) >= self._max_answers:
            del self._kept[next(iter(self._kept))]
        self._kept[digest] = until, answer

    def forget(self, question: bytes) -> None:
        """It counts no more."""
        self._kept.pop(_digest(question), None)

    def __len__(self) -> int:
        return len(self._kept)


def _digest(question: bytes) -> bytes:
    return hashlib.sha256(question).digest()
