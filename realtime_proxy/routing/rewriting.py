"""From a client's header fields to those that a backend may see."""

from collections.abc import Container

from realtime_proxy.model.headers import Headers

# What `Connection` must not be able to take away: the message's end would be lost with it.
_KEPT = frozenset((b"content-length", b"host"))


def inbound_headers(headers: Headers, dropped: Container[bytes], *, trusted: bool) -> Headers:
    """The fields of a request without those of the hop and those only the proxy may set.

    `Grip-*` stays only from a trusted client. This comes before any handler acts, so that a
    client's `Connection` can't name, and so remove, what a handler has set.
    """
    named = headers.tokens(b"connection")
    hop = [token for token in named if token not in _KEPT] if named else named
    kept = Headers()
    for field in headers:
        name = field[0].lower()
        if name in dropped or name in hop or (not trusted and name.startswith(b"grip-")):
            continue
        kept.append(field)
    return kept
