"""GRIP URLs: where to publish over HTTP, and with which credentials."""

import base64
import hashlib
import hmac
import json
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

import attrs

from realtime_proxy.errors import PublishError

# Libraries ask for 10 minutes to an hour. The token is used at once, so the least of that.
TOKEN_SECONDS = 600

_OURS = frozenset({"iss", "key", "verify-iss", "verify-key"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
# What may stand in a path (RFC 3986 3.3), `%` too: what is encoded already stays so.
_PATH = "/%:@!$&'()*+,;=~"


@attrs.frozen
class GripUrl:
    """An address to publish to. The credentials of its query are taken out of `target`."""

    scheme: str
    host: str
    port: int
    authority: str  # HOST[:PORT] as it was written
    target: str  # what to POST to
    issuer: str = ""
    key: bytes = b""

    def bearer_token(self, now: float) -> str | None:
        """The token that the URL's key gives: signed if it names an issuer, else the key itself."""
        if not self.key:
            return None
        if self.issuer:
            return signed_token({"iss": self.issuer, "exp": int(now) + TOKEN_SECONDS}, self.key)
        token = self.key.decode("latin-1")
        if not _is_plain(token):
            raise PublishError(
                "the key in the URL is no bearer token, and there is no iss beside it"
            )
        return token


def parse_grip_url(text: str) -> GripUrl:
    """Take a GRIP URL apart. Raises PublishError, which never shows the URL."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _invalid() from None
    # Credentials before the host have no meaning here, and would end up in the Host field.
    if not parts.hostname or "@" in parts.netloc or not _is_plain(parts.netloc):
        raise _invalid()
    # A base64 key may hold `+`, which a query string would otherwise read as a blank.
    query = parse_qsl(parts.query.replace("+", "%2B"), keep_blank_values=True)
    own = dict(query)
    return GripUrl(
        parts.scheme,
        parts.hostname,
        _DEFAULT_PORTS[parts.scheme] if port is None else port,
        parts.netloc,
        _target(parts, [(name, value) for name, value in query if name not in _OURS]),
        own.get("iss", ""),
        _key(own.get("key", "")),
    )


def _invalid() -> PublishError:
    return PublishError("invalid URL")


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _target(parts: SplitResult, query: list[tuple[str, str]]) -> str:
    target = quote(parts.path.rstrip("/"), safe=_PATH) + "/publish/"
    return f"{target}?{urlencode(query)}" if query else target


def _key(text: str) -> bytes:
    if not text.startswith("base64:"):
        return text.encode()
    # Both alphabets are met with, and padding is often left out where it would have to be quoted.
    digits = text.removeprefix("base64:").rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        raise PublishError("the key in the URL is not base64") from None


def signed_token(claims: dict[str, str | int], key: bytes) -> str:
    """A JSON Web Token signed with HS256.

    Made by hand: a JWT library takes longer to import than all the rest of a call.
    """
    unsigned = f"{_segment({'typ': 'JWT', 'alg': 'HS256'})}.{_segment(claims)}"
    signature = hmac.digest(key, unsigned.encode(), hashlib.sha256)
    return f"{unsigned}.{_base64url(signature)}"


def _segment(value: dict[str, str] | dict[str, str | int]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
