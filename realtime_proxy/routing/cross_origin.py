"""What lets a page of another origin read a response: the CORS fields (Fetch standard, 3.3).

Everybody may do everything, as Pushpin's `auto_cross_origin` has it: the origin, the method and the
fields that a page asks for are the ones it is allowed. What a backend says itself stays.
"""

from typing import Self

import attrs

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response

_METHODS = b"OPTIONS, HEAD, GET, POST, PUT, DELETE"
# Pages may read these without being told so.
_EXPOSED_ANYWAY = frozenset(
    (
        b"cache-control",
        b"content-language",
        b"content-length",
        b"content-type",
        b"expires",
        b"last-modified",
        b"pragma",
    )
)
_FOR_PROXIES = frozenset((b"via", b"x-accel-buffering"))
_NEVER_EXPOSED = (b"access-control-", b"grip-")


@attrs.frozen
class CrossOrigin:
    """What a page asked to be allowed, which the response then allows. Empty: it did not say."""

    origin: bytes = b""
    method: bytes = b""
    fields: bytes = b""

    @classmethod
    def of(cls, request: Headers) -> Self:
        """What the fields of a request ask for."""
        return cls(
            request.get(b"origin") or b"",
            request.get(b"access-control-request-method") or b"",
            request.get(b"access-control-request-headers") or b"",
        )

    def allowed(self, response: Headers) -> Headers:
        """The fields of a response and those that it lacks to be read by the page."""
        given = {name.lower() for name, _ in response}
        offered = (
            (b"Access-Control-Allow-Methods", self.method or _METHODS),
            (b"Access-Control-Allow-Headers", self.fields),
            (b"Access-Control-Expose-Headers", _exposed(response)),
            (b"Access-Control-Allow-Credentials", b"true"),
            (b"Access-Control-Allow-Origin", self.origin or b"*"),
            (b"Access-Control-Max-Age", b"3600"),
        )
        added = [field for field in offered if field[1] and field[0].lower() not in given]
        if b"access-control-allow-origin" not in given and not _varies(response):
            added.append((b"Vary", b"Origin"))  # a cache must not show it to another origin
        return Headers([*response, *added])

    def held(self, response: Response) -> Response:
        """A response that was held, with the fields it lacks."""
        return attrs.evolve(response, headers=self.allowed(response.headers))


def _exposed(response: Headers) -> bytes:
    """The names of fields that pages may read only if they are told so, each once."""
    names: dict[bytes, bytes] = {}
    left_out = _EXPOSED_ANYWAY | _FOR_PROXIES
    for name, _ in response:
        lowered = name.lower()
        if lowered not in left_out and not lowered.startswith(_NEVER_EXPOSED):
            names.setdefault(lowered, name)
    return b", ".join(names.values())


def _varies(response: Headers) -> bool:
    return not {b"*", b"origin"}.isdisjoint(response.tokens(b"vary"))
