"""The bodies that requests keep, to be asked again with or to be answered from: all of them."""

from realtime_proxy.errors import OverloadError
from realtime_proxy.metrics.counters import Counters


class RetainedBodies:
    """How many bytes are kept, and whether there may be more. `max_bytes` of 0: any number."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.max_bytes = 0
        self.total_bytes = 0

    def take(self, size: int) -> bool:
        """Keep so many bytes more; False if these are too many."""
        if size and self.max_bytes and self.total_bytes + size > self.max_bytes:
            self._counters.limit_retained_body_bytes += 1
            return False
        self.total_bytes += size
        return True

    def give_back(self, size: int) -> None:
        """Keep them no longer."""
        self.total_bytes -= size


def no_room_for_bodies() -> OverloadError:
    """Why a request can't be held."""
    return OverloadError("Too many requests are held.", "server.max_retained_body_bytes")
