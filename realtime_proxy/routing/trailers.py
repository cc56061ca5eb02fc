"""The fields behind a chunked body."""

from collections.abc import Container

from realtime_proxy.model.headers import CANONICAL, Headers
from realtime_proxy.routing.forwarding import MARK

# Trailer fields come after everything was decided, so none may carry a decision (RFC 9110 6.5.1).
_NEVER_TRAILERS = frozenset(
    (
        b"age",
        b"authorization",
        b"cache-control",
        b"cdn-loop",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expires",
        b"forwarded",
        b"host",
        b"location",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"pushpin-route",
        b"set-cookie",
        b"trailer",
        b"transfer-encoding",
        b"vary",
        b"via",
        b"www-authenticate",
    )
)


def trailer_fields(trailers: Headers, dropped: Container[bytes]) -> Headers:
    """The trailer fields of a message that may be passed on: none that frame, route or identify.

    `dropped` has further names, by CANONICAL.
    """
    return Headers(
        field
        for field in trailers
        if (name := field[0].translate(CANONICAL)) not in _NEVER_TRAILERS
        and name not in dropped
        and not name.startswith((b"grip-", b"x-forwarded-", MARK))
    )
