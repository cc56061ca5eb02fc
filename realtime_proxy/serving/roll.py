"""What operators want to know of each connection, in tables by its descriptor.

Of the few SockJS sessions over HTTP, which are on no connection, it is kept by numbers of theirs.

Nothing of it is on the connections themselves, and nothing is there without an admin port.
"""

import time
from array import array
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from realtime_proxy.serving.client_exchange import ClientExchange

# Of the latest URIs, connections with the same one share the text.
_SHARED_URIS = 1_000
_MAX_URI_BYTES = 300  # of a held one: clients choose how long it is
_ROOM = 1_024
# The numbers of sessions begin here, above all descriptors.
FIRST_SESSION = 1 << 32


@attrs.frozen
class Arrival:
    """What a client came for, and when; `uri` has its secrets still."""

    opened_at: float  # seconds since the epoch
    uri: bytes
    client_address: str
    messages_sent: int  # by itself: what went to whole groups is not counted here


class Roll:
    """The requests and holds of a worker."""

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self._opened_at = array("d")
        self._messages_sent = array("L")
        # The exchange while it runs; URI and client address, with a blank between, while it is held
        self._came: list[ClientExchange | bytes | None] = []
        self._sessions: dict[int, Arrival] = {}

    def connected(self, number: int) -> None:
        """A connection is new."""
        if number >= len(self._came):
            more = number + _ROOM - len(self._came)
            self._opened_at.extend([0.0] * more)
            self._messages_sent.extend([0] * more)
            self._came.extend([None] * more)
        self._came[number] = None

    def began(self, number: int, exchange: "ClientExchange") -> None:
        """A request is served from now on."""
        self._opened_at[number] = self._wall_clock()
        self._messages_sent[number] = 0
        self._came[number] = exchange

    def held(self, number: int, exchange: "ClientExchange") -> None:
        """What was asked for is held, and the exchange need not be kept any longer."""
        if number >= 0 and self._came[number] is exchange:
            uri, client = exchange.came_for()
            self._came[number] = _shared(b"%b %b" % (uri[:_MAX_URI_BYTES], client))

    def over(self, number: int) -> None:
        """What was asked for is done."""
        if number >= 0:  # else it is closed, and nobody will ask
            self._came[number] = None

    def sent(self, number: int, messages: int) -> None:
        """So many messages have gone to a client that no group counts for it."""
        if number >= FIRST_SESSION:
            if (arrival := self._sessions.get(number)) is not None:
                messages += arrival.messages_sent
                self._sessions[number] = attrs.evolve(arrival, messages_sent=messages)
        elif number >= 0:
            self._messages_sent[number] += messages

    def session_began(self, number: int, exchange: "ClientExchange") -> None:
        """A session has begun, with this request."""
        uri, client = exchange.came_for()
        address = client.decode("latin-1")
        self._sessions[number] = Arrival(self._wall_clock(), uri[:_MAX_URI_BYTES], address, 0)

    def session_over(self, number: int) -> None:
        """A session has ended."""
        self._sessions.pop(number, None)

    def running(self, number: int) -> "ClientExchange | None":
        """The exchange that is served on a connection; None if there is none, or it is held."""
        came = self._came[number]
        return None if isinstance(came, bytes) else came

    def arrival(self, number: int) -> Arrival | None:
        """What a client came for; None if it is between two requests."""
        if number >= FIRST_SESSION:
            return self._sessions.get(number)
        came = self._came[number]
        if came is None:
            return None
        if isinstance(came, bytes):
            uri, _, client = came.rpartition(b" ")
        else:
            uri, client = came.came_for()
        return Arrival(
            self._opened_at[number], uri, client.decode("latin-1"), self._messages_sent[number]
        )


@lru_cache(_SHARED_URIS)
def _shared(text: bytes) -> bytes:
    """The text, as the same object if it was there lately."""
    return text
