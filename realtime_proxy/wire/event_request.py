"""Requests with WebSocket events, written around the head that all of one WebSocket have.

That is encoded and checked once and kept as bytes; what varies from one request to the next is put
behind it, so that nothing is decoded for an event (websocket-over-http.md W-2.2).
"""

_EVENTS = (
    b"%b"
    b"Accept: application/websocket-events\r\n"
    b"Connection-Id: %b\r\n"
    b"Content-Type: application/websocket-events\r\n"
    b"Content-Length: %d\r\n"
    b"%b\r\n"
)
_HOST = b"Host: "


def host_of_head(kept: bytes) -> bytes:
    """The value of Host in an encoded head, which has it first; empty if there is none."""
    _, first, _ = kept.split(b"\r\n", 2)
    return first[len(_HOST) :] if first.startswith(_HOST) else b""


def with_host(kept: bytes, host: bytes) -> bytes:
    """An encoded head that has its Host first, with another one in its place."""
    line, first, rest = kept.split(b"\r\n", 2)
    if not first.startswith(_HOST):
        rest = b"%b\r\n%b" % (first, rest)
    return b"%b\r\nHost: %b\r\n%b" % (line, host, rest)


def encode_event_head(kept: bytes, connection_id: bytes, length: int, varying: bytes) -> bytes:
    """The head of a request with so many bytes of events.

    `kept` is what `encode_request_head` has made of the fields that all such requests have,
    `varying` are lines of further ones.
    """
    return _EVENTS % (kept[:-2], connection_id, length, varying)


def head_content_bytes(head: bytes) -> int:
    """The size of an encoded request head as statistics estimate it: without separators.

    As `RequestHead.content_bytes` of what it was made from.
    """
    # Blank, blank and `HTTP/1.1` of its line; `: ` of each field, which are two lines fewer than
    # there are; and all line ends.
    lines = head.count(b"\n")
    return len(head) - 10 - 2 * (lines - 2) - 2 * lines
