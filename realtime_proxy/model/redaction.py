"""What is taken out of requests before they are logged: tokens and keys of clients."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from urllib.parse import quote, unquote_plus

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.uri import URI_CHARACTERS

HIDDEN = "***"
# Query parameters and header fields that hold secrets nearly everywhere, in lower case; those of
# JSON-P hold the fields and the body of a request.
SECRET_PARAMETERS = (
    "_body",
    "_headers",
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "auth-key",
    "auth_token",
    "authorization",
    "client_secret",
    "code",
    "id_token",
    "jwt",
    "key",
    "password",
    "refresh_token",
    "secret",
    "session",
    "sig",
    "signature",
    "ticket",
    "token",
)
SECRET_HEADERS = (
    "apikey",
    "auth-key",
    "authorization",
    "cookie",
    "grip-sig",
    "proxy-authorization",
    "sec-websocket-protocol",
    "set-cookie",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
)
# Fields that are URLs themselves: of pages that have tokens in theirs, and of where to go with one.
_URLS = frozenset(("content-location", "location", "referer"))


class Redaction:
    """Writes URLs and header fields with `***` in place of what is secret, as text on one line."""

    __slots__ = ("_also", "_headers", "_parameters")

    def __init__(
        self,
        parameters: Iterable[str] = SECRET_PARAMETERS,
        headers: Iterable[str] = SECRET_HEADERS,
        also: AbstractSet[str] = frozenset(),
    ) -> None:
        """Names of query parameters and header fields, in any case.

        `also` has names of both, in lower case; what is added to it later counts as well.
        """
        self._also = also
        self._parameters = frozenset(name.lower() for name in parameters)
        self._headers = frozenset(name.lower() for name in headers)

    def url(self, url: bytes) -> str:
        """A URL, or a request's target: escaped, and without the values of secret parameters."""
        text = quote(url, safe=URI_CHARACTERS)
        path, mark, query = text.partition("?")
        return f"{path}?{self.query(query)}" if mark else path

    def query(self, query: str) -> str:
        """A query without the values of secret parameters."""
        return "&".join(map(self._pair, query.split("&")))

    def _pair(self, pair: str) -> str:
        name, equals, _ = pair.partition("=")
        plain = unquote_plus(name).lower()
        if equals and (plain in self._parameters or plain in self._also):
            return f"{name}={HIDDEN}"
        return pair

    def fields(self, headers: Headers) -> dict[str, str]:
        """Header fields by names in lower case, repeated ones joined, secret ones hidden."""
        shown: dict[str, str] = {}
        for raw_name, raw_value in headers:
            name = raw_name.decode("latin-1").lower()
            value = self._field(name, raw_value)
            shown[name] = f"{shown[name]}, {value}" if name in shown else value
        return shown

    def _field(self, name: str, value: bytes) -> str:
        if name in self._headers or name in self._also:
            return HIDDEN
        return self.url(value) if name in _URLS else value.decode("latin-1")
