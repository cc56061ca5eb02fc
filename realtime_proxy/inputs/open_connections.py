"""The connections of a process as commands name them: WebSockets by their id, HTTP by number."""

from collections.abc import Collection, Iterable
from typing import Protocol


class WebSocket(Protocol):
    """A WebSocket that has an id."""

    def update(self) -> None:
        """Ask the backend for news."""


class HttpClient(Protocol):
    """A connection that requests come on."""

    @property
    def request_number(self) -> int | None:
        """The number of the HTTP request that is served or held; None if there is none."""


class OpenConnections:
    """Finds connections by what the outside calls them.

    A WebSocket is its `Connection-Id`. An HTTP request is `SENDER:NUMBER`, where the sender is this
    process; those are looked for only when they are asked about, as requests are many.
    """

    def __init__(self, sender: str, http_clients: Collection[HttpClient]) -> None:
        self.sender = sender
        self.websockets: dict[bytes, WebSocket] = {}
        self._http_clients = http_clients

    def refresh(self, name: bytes) -> bool:
        """Have a connection ask its backend, if it is one that can; False if it is unknown."""
        websocket = self.websockets.get(name)
        if websocket is None:
            return bool(self.connected([name]))
        websocket.update()
        return True

    def connected(self, names: Iterable[bytes]) -> list[bytes]:
        """Those of the names that are connections of this process, in their order."""
        http: Collection[bytes] | None = None
        found = []
        prefix = f"{self.sender}:".encode()
        for name in names:
            if name in self.websockets:
                found.append(name)
            elif name.startswith(prefix):
                if http is None:
                    http = self._http_names(prefix)
                if name in http:
                    found.append(name)
        return found

    def _http_names(self, prefix: bytes) -> frozenset[bytes]:
        numbers = (client.request_number for client in self._http_clients)
        return frozenset(prefix + b"%d" % number for number in numbers if number is not None)
