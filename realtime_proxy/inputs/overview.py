"""What operators ask about all clients: who answers it, for one process and for several."""

from collections.abc import Sequence
from typing import Protocol

from realtime_proxy.model.connection_filter import ConnectionFilter
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.listed_channel import ListedChannel
from realtime_proxy.model.listed_connection import ConnectionPage


class Inspector(Protocol):
    """Knows the connections of one process. Others run while it looks through many."""

    async def page(self, which: ConnectionFilter, after: int, limit: int) -> ConnectionPage:
        """Some of the connections meant, at most `limit`; `after` is -1, or the last `next`."""

    async def dismiss(self, which: ConnectionFilter, dismissal: Dismissal) -> int:
        """End the connections meant; how many there were."""


class Unanswered(Exception):
    """A worker does not answer; the text says which."""


class Overview(Protocol):
    """All clients of an instance."""

    @property
    def serving_workers(self) -> int:
        """How many processes serve clients at this moment."""

    def workers(self) -> Sequence[int]:
        """The numbers of these processes, in order."""

    async def page(
        self, worker: int, which: ConnectionFilter, after: int, limit: int
    ) -> ConnectionPage:
        """As that worker's Inspector says; nothing if it is gone. Raises Unanswered."""

    async def dismiss(self, which: ConnectionFilter, dismissal: Dismissal) -> int:
        """End the connections meant, of all workers; how many there were. Raises Unanswered."""

    def is_held(self, channel: str) -> bool:
        """True if anybody listens to a channel, or has only just left it."""

    def channel_names(self) -> list[str]:
        """All channels that are held."""

    async def channels(self, names: list[str]) -> list[ListedChannel]:
        """Who listens to these, in their order. Raises Unanswered."""
