"""From a client's header fields to those that a backend may see."""

from collections.abc import Container

from realtime_proxy.model.headers import Headers

# What `Connection` must not be able to take away: the message's end would be lost with it.
_KEPT = frozenset((b"content-length", b"host"))


# Trailer fields come after everything was decided, so none may carry a decision (RFC 9110 6.5.1).
_NEVER_TRAILERS = frozenset(
    (
        b"age",
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expires",
        b"host",
        b"location",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"set-cookie",
        b"trailer",
        b"transfer-encoding",
        b"vary",
        b"www-authenticate",
    )
)


def trailer_fields(trailers: Headers, dropped: Container[bytes]) -> Headers:
    """The trailer fields of a message that may be passed on: none that frame, route or identify."""
    return Headers(
        field
        for field in trailers
        if (name := field[0].lower()) not in _NEVER_TRAILERS
        and name not in dropped
        and not name.startswith((b"grip-", b"x-forwarded-"))
    )


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
