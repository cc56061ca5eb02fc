"""What a backend's answer to WebSocket events says in its head."""

from collections.abc import Sequence

from realtime_proxy.grip.websocket_events import is_events_type
from realtime_proxy.model.headers import Headers

MIN_POLL_SECONDS = 20
_MAX_DIGITS = 7
_MAX_DIGITS_OF_BYTES = 15
_NOTHING: tuple[tuple[bytes, bytes], ...] = ()


def read_answer(
    headers: Headers,
) -> tuple[bool, int | None, Sequence[tuple[bytes, bytes]]]:
    """What there is to know of an answer, by one look at each field.

    Whether it has events; how many bytes of content the backend accepts, None for all
    (websocket-over-http.md W-4.1); and the fields by which it sets something for later.
    """
    has_events, accepted, settings = False, None, _NOTHING
    for field in headers:
        name = field[0].lower()
        if name == b"content-type":
            has_events = has_events or is_events_type(field[1])
        elif name == b"content-bytes-accepted":
            accepted = field[1] if accepted is None else accepted
        elif name == b"keep-alive-interval" or name.startswith(b"set-meta-"):
            settings = (*settings, field)
    return has_events, _count(accepted), settings


def _count(value: bytes | None) -> int | None:
    if value is None or not value.isdigit() or len(value) > _MAX_DIGITS_OF_BYTES:
        return None
    return int(value)


def poll_seconds(value: bytes) -> int | None:
    """What a `Keep-Alive-Interval` sets; None if it ends the polling (W-3.6)."""
    seconds = int(value) if value.isdigit() and len(value) < _MAX_DIGITS else 0
    return max(seconds, MIN_POLL_SECONDS) if seconds else None
