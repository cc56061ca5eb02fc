"""Access by what is known of the client: its consumer, its groups, the claims of its token.

It stands behind a handler that finds out who the client is. What is denied is refused, whatever
else is allowed; where something is allowed, nobody else may pass.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import attrs

from realtime_proxy.pipeline import (
    CONTINUE,
    BaseHandler,
    ConfigError,
    Decision,
    Exchange,
    HandlerContext,
    Identity,
    Problem,
    SoleCredential,
    claim_at,
    kong_refusal,
    option,
)

GROUPS = b"X-Consumer-Groups"
NOBODY = "Unauthorized"
NOT_ALLOWED = "You cannot consume this service"

_EXPRESSION = re.compile(r"(\S+)\s+(equals|in|contains)\s+(\S.*)")
_WORDS = re.compile(r"\s*,\s*")

Rule = Callable[[Identity], bool]


@attrs.frozen
class AclConfig:
    """The settings of `acl`."""

    allow: tuple[str, ...] = option((), "Groups that may pass.")
    deny: tuple[str, ...] = option((), "Groups that may not.")
    allow_consumers: tuple[str, ...] = option((), "Consumers that may pass, by name.")
    deny_consumers: tuple[str, ...] = option((), "Consumers that may not.")
    allow_claims: tuple[str, ...] = option(
        (),
        "Who may pass by a claim: `CLAIM equals TEXT`, `CLAIM in TEXT, TEXT`, or `CLAIM contains "
        "TEXT`.",
    )
    deny_claims: tuple[str, ...] = option((), "Who may not by a claim.")
    hide_groups_header: bool = option(False, "Don't tell the backend `X-Consumer-Groups`.")


class Handler(BaseHandler):
    """Refuses those who are not allowed (403), and those of whom nothing is known (401)."""

    Config: ClassVar[type] = AclConfig
    sets_headers = frozenset((GROUPS.lower().decode(),))
    sole_credential = SoleCredential()

    def __init__(self, config: AclConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        problems: list[Problem] = []
        self._allowing = _rules(config, "allow", problems)
        self._denying = _rules(config, "deny", problems)
        if not self._allowing and not self._denying and not problems:
            problems.append(Problem("allow", "say who may pass, or in `deny` who may not"))
        if problems:
            raise ConfigError(problems)

    async def on_request(self, exchange: Exchange) -> Decision:
        """Let pass who may."""
        identity, request = exchange.identity, exchange.request
        if identity is None:
            return kong_refusal(request, 401, NOBODY)
        if _any(self._denying, identity) or not (
            not self._allowing or _any(self._allowing, identity)
        ):
            return kong_refusal(request, 403, NOT_ALLOWED)
        headers = request.headers.without((GROUPS.lower(),))
        groups = ", ".join(group for group in identity.groups if group.isprintable())
        if groups and not self.config.hide_groups_header:
            headers.append((GROUPS, groups.encode()))
        request.headers = headers
        return CONTINUE


def _any(rules: Iterable[Rule], identity: Identity) -> bool:
    return any(rule(identity) for rule in rules)


def _rules(config: AclConfig, verb: str, problems: list[Problem]) -> tuple[Rule, ...]:
    """What allows, or denies."""
    groups = frozenset(getattr(config, verb))
    consumers = frozenset(getattr(config, f"{verb}_consumers"))
    rules: list[Rule] = []
    if groups:
        rules.append(lambda identity: not groups.isdisjoint(identity.groups))
    if consumers:
        rules.append(lambda identity: identity.consumer in consumers)
    for i, text in enumerate(getattr(config, f"{verb}_claims")):
        rule = claim_rule(text)
        if rule is None:
            accepted = "accepted: `CLAIM equals TEXT`, `CLAIM in TEXT, TEXT`, `CLAIM contains TEXT`"
            problems.append(Problem(f"{verb}_claims[{i}]", f"{text!r} says nothing; {accepted}"))
        else:
            rules.append(rule)
    return tuple(rules)


def claim_rule(text: str) -> Rule | None:
    """What an expression says of a client's claims; None if it is none."""
    match = _EXPRESSION.fullmatch(text.strip())
    if match is None:
        return None
    path, operator, written = match.groups()
    wanted = frozenset(_WORDS.split(written) if operator == "in" else (written,))
    if operator == "contains":
        return lambda identity: not wanted.isdisjoint(_parts(claim_at(identity.claims, path)))
    return lambda identity: _text(claim_at(identity.claims, path)) in wanted


def _parts(value: Any) -> Iterator[str]:
    """The elements of a list; of a text its words, as those of `scope`."""
    elements = value.split() if isinstance(value, str) else value
    if isinstance(elements, list):
        yield from (text for one in elements if (text := _text(one)) is not None)


def _text(value: Any) -> str | None:
    """A single value as it is written in an expression; None for what is none."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else None
