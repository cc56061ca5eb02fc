"""What has passed on one route, as counts that are taken together and added up."""

import msgspec

from realtime_proxy.metrics.histogram import Histogram


class Traffic(msgspec.Struct):
    """Counts of one route. Those of header bytes are estimates: names and values, no separators.

    `closed` is by the reason, `backend_failures` by what kind of failure it was.
    """

    activity: int = 0
    requests: int = 0
    minutes: int = 0
    received: int = 0
    blocks_received: int = 0
    sent: int = 0
    response_sent: int = 0
    blocks_sent: int = 0
    client_header_bytes_received: int = 0
    client_header_bytes_sent: int = 0
    client_content_bytes_received: int = 0
    client_content_bytes_sent: int = 0
    client_messages_received: int = 0
    client_messages_sent: int = 0
    server_header_bytes_received: int = 0
    server_header_bytes_sent: int = 0
    server_content_bytes_received: int = 0
    server_content_bytes_sent: int = 0
    server_messages_received: int = 0
    server_messages_sent: int = 0
    closed: dict[str, int] = msgspec.field(default_factory=dict)
    backend_failures: dict[str, int] = msgspec.field(default_factory=dict)
    backend_seconds: Histogram = msgspec.field(default_factory=Histogram)

    def add(self, other: "Traffic") -> None:
        """Count what another one has counted."""
        for name in _NUMBERS:
            if count := getattr(other, name):
                setattr(self, name, getattr(self, name) + count)
        _add(self.closed, other.closed)
        _add(self.backend_failures, other.backend_failures)
        self.backend_seconds.add(other.backend_seconds)


def _add(counts: dict[str, int], others: dict[str, int]) -> None:
    for name, count in others.items():
        counts[name] = counts.get(name, 0) + count


_NUMBERS = Traffic.__struct_fields__[:-3]
