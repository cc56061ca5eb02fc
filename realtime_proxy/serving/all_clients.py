"""Every client of a worker: those on a connection, and sessions that need none to be there."""

from collections.abc import Collection, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from realtime_proxy.serving.sockjs_sessions import SockJsSessions

if TYPE_CHECKING:
    from realtime_proxy.serving.http_connection import HttpConnection
    from realtime_proxy.serving.sockjs_http_client import SockJsHttpClient


class AllClients:
    """Goes through the open connections and the SockJS sessions of a worker."""

    def __init__(self, connections: Collection["HttpConnection"], sessions: SockJsSessions) -> None:
        self._connections = connections
        self._sessions = sessions

    @property
    def are_there(self) -> bool:
        """True while there is a client, who need not be connected at this moment."""
        return bool(self._connections) or self._sessions.has_held

    def __iter__(self) -> "Iterator[HttpConnection | SockJsHttpClient]":
        return chain(self._connections, self._sessions)
