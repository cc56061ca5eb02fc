"""Absolute http and https URIs, and what references mean beside them (RFC 3986)."""

import ipaddress
import re
from typing import Self
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import attrs

_PORTS = {"http": 80, "https": 443}
# As requests for WebSockets are known to backends that speak HTTP.
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_NAME = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=]+")  # RFC 3986 3.2.2, nothing escaped
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What may stand in a URI as it is, `%` included (RFC 3986 2).
URI_CHARACTERS = "%:/?#[]@!$&'()*+,;=-._~"


@attrs.frozen
class Uri:
    """Where to send a request, and what for.

    `host` is in lower case and without brackets; `target` is path and query, as a request line
    has them, without dot segments in the path.
    """

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def of_request(cls, scheme: str, host: bytes, target: bytes) -> Self:
        """What a request asks for, by its `Host` and its target; `ws` counts as `http`.

        A target in absolute form counts by its path (RFC 9112 3.2.2), an empty host as localhost.
        Raises ValueError.
        """
        text = quote(target, safe=URI_CHARACTERS)
        if not text.startswith("/"):
            parts = urlsplit(text)
            text = urlunsplit(("", "", parts.path if parts.netloc else "", parts.query, ""))
        return cls.parse(f"{_SCHEMES[scheme]}://{host.decode('latin-1') or 'localhost'}{text}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The URI that a text is. Raises ValueError if it isn't one, or of another scheme.

        What may not stand in a request line is escaped, and a fragment left out. A user's name is
        refused: such URIs serve to deceive (RFC 9110 4.2.4).
        """
        parts = urlsplit(_escaped(text))
        port = parts.port
        if parts.scheme not in _PORTS or "@" in parts.netloc or port == 0:
            raise ValueError("not an http or https URI that a request can be sent to")
        target = _without_dots(parts.path) + (f"?{parts.query}" if parts.query else "")
        host = _checked_host(parts.hostname or "")
        return cls(parts.scheme, host, port or _PORTS[parts.scheme], target)

    def resolve(self, reference: str) -> Self:
        """The URI that a reference means here, relative or absolute. Raises ValueError."""
        return self.parse(urljoin(str(self), _escaped(reference)))

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: equal for URIs of the same origin (RFC 6454)."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Host and port as a `Host` field has them: without the scheme's own port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def without_query(self) -> str:
        """The URI as logs may have it: queries carry secrets."""
        return str(attrs.evolve(self, target=self.target.partition("?")[0]))

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def _escaped(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("a URI has no control characters")
    return quote(text.strip(" "), safe=URI_CHARACTERS)


def _without_dots(path: str) -> str:
    """A path without dot segments (RFC 3986 5.2.4)."""
    kept: list[str] = []
    *segments, last = path.removeprefix("/").split("/")
    for segment in (*segments, last):
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if last in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _checked_host(host: str) -> str:
    if ":" in host:
        ipaddress.IPv6Address(host)  # raises a ValueError of its own
    elif not _NAME.fullmatch(host):
        raise ValueError("the URI has no host, or one that is no host name")
    return host
