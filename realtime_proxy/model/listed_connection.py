"""A client's connection as operators see it."""

import msgspec


class ListedConnection(msgspec.Struct, frozen=True):
    """What is known of a held connection, or of one whose request is worked on.

    `kind` is `http-stream`, `sse`, `response`, `websocket-over-http`, `websocket` (to a backend
    that speaks it), or `request`. Channels have their whole names. Times are seconds since the
    epoch. `bytes_sent` is what the client has acknowledged on its connection, TLS and earlier
    requests included; None if the kernel does not tell (unix sockets), or it is on many
    connections (SockJS over HTTP).
    """

    id: str
    worker: int
    kind: str
    route: str
    client_address: str
    consumer: str | None
    channels: list[str]
    uri: str
    opened_at: float
    age_seconds: float
    bytes_sent: int | None
    messages_sent: int
    backlog_bytes: int
    expires_at: float | None


class ConnectionPage(msgspec.Struct, frozen=True):
    """Some of a worker's connections; `next` is where to go on, None at the end."""

    connections: list[ListedConnection]
    next: int | None
