"""Which connections an operator means."""

import msgspec

KINDS = ("http-stream", "sse", "response", "websocket-over-http", "websocket", "request")


class ConnectionFilter(msgspec.Struct, frozen=True):
    """Those for which all of this is so; None says nothing."""

    id: str | None = None
    kind: str | None = None
    route: str | None = None
    channel: str | None = None
    consumer: str | None = None

    @property
    def is_empty(self) -> bool:
        """True if it means all connections."""
        return self == ConnectionFilter()
