"""Who ends when while clients are let go: at random, and spread, so that no storm comes back."""

from random import Random
from typing import Self

import attrs


@attrs.frozen
class DrainPlan:
    """When each of some clients is to end, in seconds from the beginning."""

    seconds: float
    moments: tuple[float, ...]

    @classmethod
    def of(cls, count: int, seconds: float, random: Random) -> Self:
        """Moments for so many clients, within so many seconds.

        There is one within each of as many equal parts of the time, so no part has more than its
        share; which client gets which is random.
        """
        moments = [(part + random.random()) / count * seconds for part in range(count)]
        random.shuffle(moments)
        return cls(seconds, tuple(moments))

    def late(self, now: float, random: Random) -> float:
        """A moment for one who comes only at `now`: in what is left of the time."""
        return random.uniform(min(now, self.seconds), self.seconds)
