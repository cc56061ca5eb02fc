"""Server-sent events, as far as the proxy writes some of its own (HTML Living Standard 9.2)."""

from realtime_proxy.model.headers import Headers

_TYPE = b"text/event-stream"


def is_event_stream(headers: Headers) -> bool:
    """True if these fields announce a body of server-sent events."""
    content_type = headers.get(b"content-type") or b""
    return content_type.partition(b";")[0].strip().lower() == _TYPE


def retry_field(milliseconds: int) -> bytes:
    """Have the client come back so long after the end of this stream, and of later ones."""
    return b"retry: %d\n\n" % milliseconds
