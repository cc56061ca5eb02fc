"""The key that a port of our own asks for."""

import hmac
import time
from pathlib import Path
from typing import Self

from realtime_proxy.config.secrets import is_pem, resolve_secret
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.grip.signature import SigningKey, Verifier
from realtime_proxy.model.headers import Headers


class BearerKey:
    """Lets in who has the key: as a bearer token (RFC 6750), or by a JWT signed with it.

    Of a PEM public key only the latter is possible.
    """

    def __init__(self, secret: bytes) -> None:
        """Raises ConfigError for a key that can't be used."""
        self._token = b"" if is_pem(secret) else secret
        self._verifier = Verifier(SigningKey.from_secret(secret))

    @classmethod
    def of(cls, text: str, key_path: str, base_dir: Path) -> Self | None:
        """The key that is configured at `key_path`; None if none is. Raises ConfigError."""
        if not text:
            return None
        try:
            return cls(resolve_secret(text, base_dir))
        except ConfigError as error:
            problems = [Problem(key_path, problem.message) for problem in error.problems]
            raise ConfigError(problems) from error

    def admits(self, headers: Headers) -> bool:
        """True if a request shows the key."""
        scheme, _, token = (headers.get(b"authorization") or b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return False
        token = token.strip(b" ")
        if self._token and hmac.compare_digest(token, self._token):
            return True
        return self._verifier.verify(token, time.time())
