"""How many clients routes have at a time, where that is limited."""

from collections import Counter

from realtime_proxy.errors import OverloadError
from realtime_proxy.metrics.counters import Counters


class RoutePlaces:
    """Counts requests that are served, and connections that are held, by their route.

    Only routes with `max_connections` are known here. Routes with the same id count together.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._taken: Counter[str] = Counter()

    def take(self, route: str, most: int) -> None:
        """One more of a route. Raises OverloadError if there are so many already."""
        if self._taken[route] >= most:
            self._counters.limit_route_connections += 1
            raise OverloadError("Too many connections.", "route.max_connections")
        self._taken[route] += 1

    def leave(self, route: str) -> None:
        """One less."""
        self._taken[route] -= 1
        if not self._taken[route]:
            del self._taken[route]
