"""The events of a request, and what is left of them if a backend accepts only a part."""

from collections.abc import Sequence

import attrs

from realtime_proxy.errors import GripError
from realtime_proxy.grip.websocket_events import Event
from realtime_proxy.model.headers import Headers

_MAX_DIGITS_OF_BYTES = 15
_EVENT_BYTES = 100


@attrs.frozen
class Offer:
    """The events of a request, and whether they were all that waited then."""

    events: Sequence[Event]
    is_all: bool


def accepted_bytes(headers: Headers) -> int | None:
    """How much of the content the backend accepts; None for all (websocket-over-http.md W-4.1)."""
    value = headers.get(b"content-bytes-accepted")
    if value is None or not value.isdigit() or len(value) > _MAX_DIGITS_OF_BYTES:
        return None
    return int(value)


def not_accepted(events: Sequence[Event], count: int) -> list[Event]:
    """The events that are left when so many bytes of content are taken from the front.

    A close waits for all before it. Raises GripError for more than there is, or a part of a close.
    """
    kept: list[Event] = []
    left = count
    for event in events:
        content = event.content or b""
        if kept:
            kept.append(event)
        elif len(content) <= left:
            left -= len(content)
        elif event.type == b"CLOSE":
            raise GripError("a part of the content of CLOSE is not accepted")
        else:
            kept.append(Event(event.type, content[left:]))
            left = 0
    if left:
        raise GripError(f"{count} bytes are accepted, which is more than was offered")
    return kept


def event_bytes(event: Event) -> int:
    """What a waiting event counts for: its content, and what it takes itself.

    Else a flood of empty messages would have no bound.
    """
    return len(event.content or b"") + _EVENT_BYTES
