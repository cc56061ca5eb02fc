"""How long a program had to wait for a processor, which is the machine's fault and not its own."""

import contextlib
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

_EVERY_SECONDS = 0.02
_NANO = 1e9


class KeptWaiting:
    """Looks at some processes all the time, within a `with` block: at their main threads."""

    def __init__(self, pids: Iterable[int]) -> None:
        # Of each, moments of the monotonic clock and how long it had waited by then.
        self._seen: dict[int, list[tuple[float, float]]] = {pid: [] for pid in pids}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(_EVERY_SECONDS):
            for pid, seen in self._seen.items():
                with contextlib.suppress(OSError):  # it has ended
                    fields = Path(f"/proc/{pid}/schedstat").read_text().split()
                    seen.append((time.monotonic(), int(fields[1]) / _NANO))

    def seconds(self, begun_at: float, ended_at: float) -> float:
        """How long the one that waited longest did so between two moments."""
        return max((_between(seen, begun_at, ended_at) for seen in self._seen.values()), default=0)


def _between(seen: list[tuple[float, float]], begun_at: float, ended_at: float) -> float:
    before = max((waited for at, waited in seen if at <= begun_at), default=0.0)
    until = max((waited for at, waited in seen if at <= ended_at), default=before)
    return until - before
