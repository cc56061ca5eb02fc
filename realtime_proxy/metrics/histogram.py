"""Durations, counted by how long they were."""

from bisect import bisect_left

import msgspec

BOUNDS_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


class Histogram(msgspec.Struct):
    """How many durations were within each bound and the one before; last, those beyond all."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS_SECONDS) + 1))
    sum_seconds: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds

    def add(self, other: "Histogram") -> None:
        """Count what another one has counted."""
        if not any(other.counts):
            return
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.sum_seconds += other.sum_seconds
