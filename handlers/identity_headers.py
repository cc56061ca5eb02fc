"""Headers for the backend, written by templates over what is known of the client.

It stands behind a handler that finds out who that is. A header of which something is not known is
not there, and never is it what the client has written itself.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import attrs

from realtime_proxy.pipeline import (
    BaseHandler,
    ConfigError,
    Exchange,
    HandlerContext,
    IdentityTemplate,
    Problem,
    RequestHead,
    backend_header,
    required,
    set_by_handlers_only,
)


@attrs.frozen
class IdentityHeadersConfig:
    """The settings of `identity_headers`."""

    headers: Mapping[str, str] = required(
        'Names and templates: `{ X-User = "{subject}", X-Agency = "{claims.agency}" }`.',
        backend_header,
    )


class Handler(BaseHandler):
    """Tells backends who the client is, in headers of the site's own."""

    Config: ClassVar[type] = IdentityHeadersConfig

    def __init__(self, config: IdentityHeadersConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        problems: list[Problem] = []
        self._templates = tuple(_templates(config.headers, problems))
        if not config.headers:
            problems.append(Problem("headers", "must have at least one"))
        if problems:
            raise ConfigError(problems)
        self.sets_headers = set_by_handlers_only(config.headers)
        self._names = frozenset(name.lower().encode() for name in config.headers)

    def on_backend_request(self, exchange: Exchange, request: RequestHead) -> None:
        """Say what is known by now, and only that."""
        headers = request.headers.without(self._names)
        for name, template in self._templates:
            text = template.text(exchange)
            if text is not None and text.isprintable():  # no line end makes a header of its own
                headers.append((name, text.encode()))
        request.headers = headers


def _templates(
    written: Mapping[str, str], problems: list[Problem]
) -> Iterator[tuple[bytes, IdentityTemplate]]:
    for name, text in written.items():
        try:
            yield name.encode(), IdentityTemplate.parse(text)
        except ConfigError as error:
            problems += [Problem(f"headers.{name}", problem.message) for problem in error.problems]
