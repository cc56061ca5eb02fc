"""What is left of the events of a request if a backend accepts only a part of them."""

from collections.abc import Sequence

from realtime_proxy.errors import GripError
from realtime_proxy.grip.websocket_events import Event, decode_events, encode_event


def left_of(offer: bytes, count: int) -> tuple[list[bytes], int]:
    """What is to be offered again, event by event, and how much content that has.

    `count` bytes of the content were accepted. Raises GripError as `not_accepted` does.
    """
    kept = not_accepted(decode_events(offer), count)
    size = sum(len(event.content or b"") for event in kept)
    return [encode_event(event.type, event.content) for event in kept], size


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
