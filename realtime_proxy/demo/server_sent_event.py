"""Messages as `EventSource` understands them (the `text/event-stream` format)."""

import re

# The three line ends that the format knows. `splitlines` would know a few more.
_LINE_END = re.compile(rb"\r\n|\r|\n")


def server_sent_event(message: bytes) -> bytes:
    """One event that carries the message, each of its lines in a `data:` field of its own."""
    lines = b"".join(b"data: %b\n" % line for line in _LINE_END.split(message))
    return lines + b"\n"
