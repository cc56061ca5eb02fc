"""The SockJS sessions over HTTP that a worker has, by the ids that their clients have chosen."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from realtime_proxy.serving.roll import FIRST_SESSION

if TYPE_CHECKING:
    from realtime_proxy.serving.sockjs_http_client import SockJsHttpClient

Key = tuple[str, bytes]  # the id of the route, and that of the session
# The consumer, whom of its users, and what it may have of scoped items; None: not known.
User = tuple[str, str, tuple[str, ...]] | None


class SockJsSessions:
    """Finds a client by its session. There is room for `max_sessions`.

    Sessions need no connection to be there, so that the limit of these is none for them.
    """

    def __init__(self) -> None:
        self.max_sessions = 0
        self._clients: dict[Key, SockJsHttpClient] = {}  # in the order of their numbers
        self._next_number = FIRST_SESSION

    def __iter__(self) -> "Iterator[SockJsHttpClient]":
        return iter(self._clients.values())

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def is_full(self) -> bool:
        """True if there is no room for another."""
        return len(self._clients) >= self.max_sessions

    @property
    def has_held(self) -> bool:
        """True if there is one that has not ended: who comes back to the others is only told so."""
        return any(client.is_held for client in self._clients.values())

    def find(self, key: Key, user: User) -> "SockJsHttpClient | None":
        """The client of a session; None for those who are not who has begun it."""
        client = self._clients.get(key)
        return client if client is not None and client.user == user else None

    def is_taken(self, key: Key) -> bool:
        """True if the id is somebody's."""
        return key in self._clients

    def add(self, key: Key, client: "SockJsHttpClient") -> None:
        """Have a new session, and give it its number."""
        client.number = self._next_number
        self._next_number += 1
        self._clients[key] = client

    def forget(self, key: Key) -> None:
        """A session is over."""
        self._clients.pop(key, None)
