"""What of a scoped route's items one client may have, by its claims (`docs/scoped-delivery.md`)."""

from collections.abc import Iterator
from typing import Any, Self

import attrs
from msgspec.structs import replace

from realtime_proxy.channels.scope import Scope
from realtime_proxy.errors import GripError
from realtime_proxy.grip.instruct import Instruct
from realtime_proxy.model.channel_template import claims_of, filled
from realtime_proxy.pipeline.jwt_claims import claim_at


class ClientScope:
    """The values that a client's claim has, and the channels that are named by one of them.

    The values stay what they are for as long as the client is held.
    """

    __slots__ = ("_named", "claim", "values")

    def __init__(self, claim: str, values: tuple[str, ...]) -> None:
        self.claim = claim
        self.values = values
        self._named: dict[str, str] | None = None  # values, by whole names

    @classmethod
    def of(cls, claim: str, claims: dict[str, Any]) -> Self | None:
        """What claims say; None if they say nothing that could be a scope."""
        values = _values(claim, claims)
        return cls(claim, values) if values else None

    def is_of(self, claims: dict[str, Any]) -> bool:
        """True if these claims say the same."""
        return _values(self.claim, claims) == self.values

    def on(self, channel: str) -> Scope:
        """What the client may have of a channel, by its whole name."""
        value = None if self._named is None else self._named.get(channel)
        if value is None:
            return Scope(self.claim, self.values)
        return Scope(self.claim, (value,), is_named=True)

    def names(self, template: str, prefix: str = "") -> tuple[str, ...]:
        """The channels that a name stands for: one for each value, if it has a place for them.

        `prefix` is what the route puts before them. Raises GripError for a place that is another
        claim's.
        """
        claims = claims_of(template)
        if not claims:
            return (template,)
        if others := claims - {self.claim}:
            raise GripError(
                f"channel '{template}' names the claim '{min(others)}'; on this route only "
                f"'{self.claim}' is filled in"
            )
        names = {filled(template, value): value for value in self.values}
        self._named = self._named or {}
        self._named.update((prefix + name, value) for name, value in names.items())
        return tuple(names)

    def followed(self, instruct: Instruct, prefix: str) -> Instruct:
        """Instructions with the channels that their names stand for. Raises GripError."""
        channels = {
            name: attrs.evolve(channel, name=name)
            for channel in instruct.channels
            for name in self.names(channel.name, prefix)
        }
        return replace(instruct, channels=tuple(channels.values()))


def _values(claim: str, claims: dict[str, Any]) -> tuple[str, ...]:
    """What a claim says: texts, whole numbers, or a list of such; each once, and sorted."""
    written = claim_at(claims, claim)
    return tuple(sorted(set(_texts(written if isinstance(written, list) else [written]))))


def _texts(values: list[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, int) and not isinstance(value, bool):
            yield str(value)
        elif isinstance(value, str) and value and value.isprintable():
            yield value
