"""What became of a request and of the connection it held open, for handlers that write it down."""

import attrs

from realtime_proxy.model.headers import Headers


@attrs.define(eq=False)
class ConnectionRecord:
    """Kept for routes with a handler that asks for it (`keeps_record`).

    Times are seconds since the epoch. Bytes are those of the wire without TLS, heads included.
    Messages are those of WebSockets, and items that a hold was given.
    """

    started_at: float
    asked_at: float | None = None  # the backend
    backend: str = ""  # the target that answered, as logs name it
    backend_status: int | None = None
    backend_seconds: float | None = None  # until its response head
    status: int | None = None  # told to the client; None: nothing yet
    response_headers: Headers = attrs.field(factory=Headers)
    opened_at: float | None = None  # for the first time
    holds: int = 0  # how often it was held: more than once if a long-poll was asked for again
    channels: tuple[str, ...] = ()  # by their whole names; at the end, those it last had
    messages_in: int = 0
    bytes_in: int = 0
    messages_out: int = 0
    bytes_out: int = 0
    close_code: int | None = None  # of a WebSocket: of the close frame that came or went first
