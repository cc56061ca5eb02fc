"""How many lines strangers may cause: enough to see what is wrong, too few to fill a disk."""

import attrs


@attrs.define
class LogRation:
    """So many lines in so many seconds; what comes beyond is counted."""

    lines: int
    seconds: float
    _begun_at: float = -float("inf")
    _used: int = 0
    _left_out: int = 0

    def take(self, now: float) -> int | None:
        """None if a line must be left out; else how many were, since the last that was not."""
        if now - self._begun_at >= self.seconds:
            self._begun_at, self._used = now, 0
        if self._used >= self.lines:
            self._left_out += 1
            return None
        self._used += 1
        left_out, self._left_out = self._left_out, 0
        return left_out
