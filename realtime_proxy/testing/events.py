"""Bodies of WebSocket-over-HTTP, as a backend writes and reads them (`docs/grip.md`)."""

# ruff: noqa: S101  what a test stands on fails like the test itself

import re

CONTENT_TYPE = "application/websocket-events"
_EVENT = re.compile(rb"([A-Z]+)(?: ([0-9a-f]+))?\r\n")

EventText = str | tuple[str, bytes]


def write_events(*events: EventText) -> bytes:
    """A body: each event its type alone, or its type and content."""
    body = b""
    for event in events:
        if isinstance(event, str):
            body += event.encode() + b"\r\n"
        else:
            kind, content = event
            body += b"%b %x\r\n%b\r\n" % (kind.encode(), len(content), content)
    return body


def read_events(body: bytes) -> list[tuple[str, bytes]]:
    """The events of a body as types and contents. Fails if it is malformed."""
    events = []
    while body:
        line = _EVENT.match(body)
        assert line is not None, body[:200]
        kind, size = line[1].decode(), int(line[2] or b"0", 16)
        content, body = body[line.end() : line.end() + size], body[line.end() + size :]
        assert len(content) == size, "content is cut"
        if line[2] is not None:
            assert body[:2] == b"\r\n", "content goes on after its length"
            body = body[2:]
        events.append((kind, content))
    return events
