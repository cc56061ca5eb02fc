"""The open files of this process: a few are left for backends, so that clients can be served.

Every client is an open file. Once nearly all are in use no more clients are accepted: they wait in
the queue of the kernel, and those who are there still get connections to their backends.
"""

import errno
import os
import resource

import structlog
import trio

from realtime_proxy.metrics.counters import Counters

# What fails for these may succeed in a moment: the process or the machine is out of something.
OUT_OF_RESOURCES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
RETRY_SECONDS = 0.1
_MOST_RESERVED = 256

log = structlog.get_logger()


class Descriptors:
    """Knows when open files are scarce, and when they no longer are."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._is_scarce = False

    def opened(self, descriptor: int) -> None:
        """Look at the number of one that was just opened.

        The kernel gives the lowest that is free: if that is high, nearly all are in use.
        """
        if descriptor >= _first_reserved():
            self.ran_out("too many open files")

    def ran_out(self, problem: str) -> None:
        """Opening one has failed, or soon will: accept nobody for now."""
        if not self._is_scarce:
            self._is_scarce = True
            self._counters.limit_open_files += 1
            log.error("out of open files: new clients wait to be accepted", problem=problem)

    async def wait(self) -> None:
        """Wait until clients may be accepted."""
        while self._is_scarce:
            await trio.sleep(RETRY_SECONDS)
            if _lowest_free() < _first_reserved():
                self._is_scarce = False


def _first_reserved() -> float:
    """From this number on descriptors are for backends, logs and the like."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return float("inf")
    return limit - min(_MOST_RESERVED, limit // 8)


def _lowest_free() -> float:
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return float("inf")
    os.close(descriptor)
    return descriptor
