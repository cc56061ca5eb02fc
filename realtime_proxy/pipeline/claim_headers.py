"""Headers for backends that say what the claims of a client say."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.model.headers import Headers
from realtime_proxy.pipeline.backend_headers import backend_header
from realtime_proxy.pipeline.jwt_claims import claim_at


class ClaimHeaders:
    """The setting `claims_to_headers`: names of headers, and where their values are in claims."""

    def __init__(self, written: Mapping[str, str]) -> None:
        """Raises ConfigError."""
        problems = list(_problems(written))
        if problems:
            raise ConfigError(problems)
        self._paths = tuple((name.encode(), path) for name, path in written.items())
        self.names = frozenset(name.lower() for name in written)  # for `sets_headers`
        self.field_names = frozenset(name.encode() for name in self.names)

    def of(self, claims: dict[str, Any]) -> Headers:
        """What is there, and can stand in a header: text as it is, the rest as JSON."""
        headers = Headers()
        for name, path in self._paths:
            value = claim_at(claims, path)
            text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            if value is not None and text.isprintable():
                headers.append((name, text.encode()))
        return headers


def _problems(written: Mapping[str, str]) -> Iterator[Problem]:
    for name in written:
        try:
            backend_header(name)
        except ConfigError as error:
            yield from (Problem(f"claims_to_headers.{name}", p.message) for p in error.problems)
