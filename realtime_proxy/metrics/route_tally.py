"""The counts of one route in one worker."""

from typing import TYPE_CHECKING

from realtime_proxy.metrics.traffic import Traffic

if TYPE_CHECKING:
    from realtime_proxy.metrics.tally import Tally


class RouteTally:
    """Looked up once for each client, and added to from then on.

    `connections` is how many there are, `most` the most there were since it was told, and `held`
    how many are held in each way.
    """

    __slots__ = ("_counts", "connections", "held", "most", "name", "tally")

    def __init__(self, tally: "Tally", name: str) -> None:
        """`name` is the id that the configuration gives the route, empty if it gives none."""
        self.tally = tally
        self.name = name
        self.connections = self.most = 0
        self.held: dict[str, int] = {}
        self._counts: Traffic | None = None

    def counts(self) -> Traffic:
        """The counts to add to now. They are taken now and then: not to be kept."""
        counts = self._counts
        if counts is None:
            counts = self._counts = Traffic()
            self.tally.route_changed(self)
        return counts

    def take(self) -> Traffic:
        """What was counted since the last time."""
        counts, self._counts = self._counts, None
        return counts or Traffic()

    def failed(self, kind: str) -> None:
        """A backend has not answered."""
        failures = self.counts().backend_failures
        failures[kind] = failures.get(kind, 0) + 1

    def closed(self, reason: str) -> None:
        """What a client came for is about to end."""
        closed = self.counts().closed
        closed[reason] = closed.get(reason, 0) + 1
