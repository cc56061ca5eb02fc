"""Which pages may open WebSockets: a browser sends the page's origin, and the cookies of its user.

A page of any site may open a WebSocket to any other (there is no CORS for them), so it is the
server that has to look (RFC 6455 10.2).
"""

from collections.abc import Iterable

import attrs

from realtime_proxy.model.headers import Headers

_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}
_ANY_LABEL = b"*."


@attrs.frozen
class OriginRule:
    """The origins that are allowed, as they are written in `websocket_origins`."""

    _exact: frozenset[bytes]
    _below: tuple[tuple[bytes, bytes], ...]  # of `https://*.HOST:PORT`: `https://`, `.HOST:PORT`

    @classmethod
    def of(cls, origins: Iterable[str]) -> "OriginRule | None":
        """The rule for these; None if there are none, and so every origin is allowed."""
        known = [_normalized(origin.encode()) for origin in origins]
        if not known:
            return None
        below = [origin.split(_ANY_LABEL, 1) for origin in known if _ANY_LABEL in origin]
        exact = (origin for origin in known if _ANY_LABEL not in origin)
        return cls(frozenset(exact), tuple((scheme, b"." + rest) for scheme, rest in below))

    def allows(self, headers: Headers) -> bool:
        """True if a request comes from an allowed page, or from no page at all.

        Without `Origin` it is no browser, which could write there what it likes.
        """
        values = headers.get_all(b"origin")
        if not values:
            return True
        origin = _normalized(values[0])
        return len(values) == 1 and (origin in self._exact or self._is_below(origin))

    def _is_below(self, origin: bytes) -> bool:
        return any(
            origin.startswith(scheme) and origin.endswith(rest) and origin != scheme + rest
            for scheme, rest in self._below
        )


def _normalized(origin: bytes) -> bytes:
    """An origin in lower case, without the port that its scheme implies (RFC 6454 6.2)."""
    origin = origin.strip().lower()
    port = _DEFAULT_PORTS.get(origin.partition(b":")[0], b"\0")
    return origin.removesuffix(port)
