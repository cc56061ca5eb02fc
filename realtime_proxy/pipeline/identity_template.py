"""Text with places for what is known of a client: `{consumer}`, `{claims.agency}`."""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import attrs

from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.pipeline.exchange import Exchange, Identity
from realtime_proxy.pipeline.jwt_claims import claim_at

_PIECE = re.compile(r"(?P<brace>\{\{|\}\})|\{(?P<place>[^{}]*)\}|(?P<stray>[{}])|[^{}]+")

Place = Callable[[Exchange], Any]

# A list of texts is a tuple, so that it is told from one that a claim is.
_OF_IDENTITY: dict[str, Callable[[Identity], Any]] = {
    "consumer": lambda identity: identity.consumer,
    "subject": lambda identity: identity.subject or identity.consumer,
    "credential": lambda identity: identity.credential,
    "groups": lambda identity: identity.groups,
    "expires_at": lambda identity: identity.expires_at and int(identity.expires_at),
}
_OF_REQUEST: dict[str, Place] = {
    "method": lambda exchange: _text(exchange.request.method),
    "path": lambda exchange: _text(exchange.request.path),
    "route": lambda exchange: exchange.route_id,
    "scheme": lambda exchange: exchange.scheme,
    "client_address": lambda exchange: exchange.client_address,
}
_NAMES = (*_OF_IDENTITY, "claims.NAME", *_OF_REQUEST, "headers.NAME")
_ACCEPTED = ", ".join(f"`{{{name}}}`" for name in _NAMES)


@attrs.frozen
class IdentityTemplate:
    """A template that has been read. Braces that stand for themselves are written twice."""

    _parts: tuple[str | Place, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ConfigError for what can't be filled in, and for single braces."""
        return cls(tuple(_part(match) for match in _PIECE.finditer(text)))

    def value(self, exchange: Exchange) -> Any:
        """What it says of a client; None if something is not known, or empty.

        A template that is one place gives a claim as it is, of whatever type, and a list of groups.
        All others give text.
        """
        if len(self._parts) == 1 and not isinstance(self._parts[0], str):
            value = self._parts[0](exchange)
            value = list(value) if isinstance(value, tuple) else value
            return value if value or value in (0, False) else None
        return self.text(exchange)

    def text(self, exchange: Exchange) -> str | None:
        """The same as text. Groups have commas between them; claims that are no text are JSON."""
        texts = []
        for part in self._parts:
            text = part if isinstance(part, str) else _written(part(exchange))
            if not text:
                return None
            texts.append(text)
        return "".join(texts) or None


def _part(match: re.Match[str]) -> str | Place:
    if match["stray"]:
        raise _problem("a brace that stands for itself is written twice: `{{`, `}}`")
    if match["brace"]:
        return match["brace"][0]
    return match[0] if match["place"] is None else _place(match["place"])


def _place(name: str) -> Place:
    kind, _, rest = name.partition(".")
    if name in _OF_IDENTITY:
        return partial(_of_identity, _OF_IDENTITY[name])
    if name in _OF_REQUEST:
        return _OF_REQUEST[name]
    if kind == "claims" and rest:
        return partial(_of_identity, lambda identity: claim_at(identity.claims, rest))
    if kind == "headers" and rest:
        return partial(_header, rest.lower().encode())
    raise _problem(f"`{{{name}}}` can't be filled in; accepted: {_ACCEPTED}")


def _problem(message: str) -> ConfigError:
    return ConfigError([Problem("", message)])


def _of_identity(get: Callable[[Identity], Any], exchange: Exchange) -> Any:
    return None if exchange.identity is None else get(exchange.identity)


def _header(name: bytes, exchange: Exchange) -> str | None:
    return _text(b", ".join(exchange.request.headers.get_all(name)))


def _text(value: bytes) -> str | None:
    """None for what is no UTF-8: another spelling of it would be another value."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _written(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, tuple):  # one with a comma would be read as two
        return ", ".join(text for text in value if "," not in text)
    return json.dumps(value, separators=(",", ":"))
