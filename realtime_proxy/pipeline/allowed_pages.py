"""Pages of other origins that may use a route: CORS, as Fetch has it, for handlers.

Each answer names the one origin that has asked. A list, or `*` with credentials, is what browsers
refuse.
"""

import re
from collections.abc import Iterator, Sequence

import attrs

from realtime_proxy.config.checks import at_least
from realtime_proxy.config.option import option
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.model.headers import Headers

_ORIGIN = re.compile(r"https?://[^\s/?#@,*]+")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
ALLOW_ORIGIN = b"Access-Control-Allow-Origin"
_BY_ORIGIN = (b"Vary", b"Origin")


@attrs.frozen
class CorsSettings:
    """Which pages, and what they may: `[handler.NAME.cors]`."""

    allowed_origins: tuple[str, ...] = option(
        (), 'Such as `https://app.example.com`, or `"*"` for all. Empty: no CORS at all.'
    )
    allowed_methods: tuple[str, ...] = option(
        ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"), "Methods that they may use."
    )
    allowed_headers: tuple[str, ...] = option((), "Headers that they may send.")
    allow_credentials: bool = option(False, "They may send their users' cookies along.")
    max_age_seconds: int = option(0, "So long browsers need not ask again.", at_least(0))

    def check(self) -> None:
        """Raise ConfigError with all that makes no sense: for a handler's `__init__`."""
        problems = list(self._problems())
        if problems:
            raise ConfigError(problems)

    def _problems(self) -> Iterator[Problem]:
        for i, origin in enumerate(self.allowed_origins):
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                yield Problem(f"cors.allowed_origins[{i}]", 'must be `https://HOST`, or `"*"`')
        if self.allow_credentials and "*" in self.allowed_origins:
            yield Problem("cors.allow_credentials", "can't be for all origins: name them")
        yield from _no_tokens("cors.allowed_methods", self.allowed_methods)
        yield from _no_tokens("cors.allowed_headers", self.allowed_headers)


def _no_tokens(key: str, names: Sequence[str]) -> Iterator[Problem]:
    for i, name in enumerate(names):
        if not _TOKEN.fullmatch(name):
            yield Problem(f"{key}[{i}]", f"{name!r} can't be the name of one")


class AllowedPages:
    """What answers tell browsers about them; nothing if there are none. False then."""

    def __init__(self, settings: CorsSettings) -> None:
        origins = settings.allowed_origins
        self._everyone = Headers([(ALLOW_ORIGIN, b"*")]) if "*" in origins else None
        self._origins = frozenset(origin.lower().encode() for origin in origins)
        credentials = (b"Access-Control-Allow-Credentials", b"true")
        self._with_origin = (credentials,) if settings.allow_credentials else ()
        further = (
            (b"Access-Control-Allow-Methods", ", ".join(settings.allowed_methods)),
            (b"Access-Control-Allow-Headers", ", ".join(settings.allowed_headers)),
            (b"Access-Control-Max-Age", str(settings.max_age_seconds or "")),
        )
        self._permissions = [(name, value.encode()) for name, value in further if value]

    def __bool__(self) -> bool:
        return bool(self._origins)

    def fields(self, request: Headers) -> Headers:
        """What lets the page that has sent a request read the answer."""
        if self._everyone is not None:
            return Headers(self._everyone)
        if not self._origins:
            return Headers()
        origins = request.get_all(b"origin")
        if len(origins) != 1 or origins[0].lower() not in self._origins:
            return Headers([_BY_ORIGIN])
        return Headers([(ALLOW_ORIGIN, origins[0]), *self._with_origin, _BY_ORIGIN])

    def preflight_fields(self, request: Headers) -> Headers:
        """What lets it send what it asks for."""
        headers = self.fields(request)
        if headers.has(ALLOW_ORIGIN.lower()):
            headers.extend(self._permissions)
        return headers
