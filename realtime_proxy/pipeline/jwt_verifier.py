"""Whose a token is: of a consumer, or of an identity provider's users; or why it does not count."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs

from realtime_proxy.pipeline.bearer_refusal import NotInScope, TokenRefused, UnreadableToken
from realtime_proxy.pipeline.consumers import Consumer, JwtCredential
from realtime_proxy.pipeline.handler import HandlerContext
from realtime_proxy.pipeline.jwt_claims import ClaimRules, scopes_of
from realtime_proxy.pipeline.jwt_credentials import JwtCredentials
from realtime_proxy.pipeline.jwt_issuer import IssuerKeys
from realtime_proxy.pipeline.jwt_key import ALGORITHMS, JwtKey
from realtime_proxy.pipeline.jwt_token import BadToken, JwtToken
from realtime_proxy.pipeline.key_set import KeySet, KeySource, KeysUnavailable


@attrs.frozen
class VerifiedToken:
    """A good token: its consumer, what it says, and the name of what it was checked with.

    `holds` is False once that is gone (None: it stays), `is_current` once the token has to be
    checked again.
    """

    consumer: Consumer
    claims: dict[str, Any]
    credential: str
    holds: Callable[[], bool] | None = None
    is_current: Callable[[], bool] | None = None


@attrs.frozen
class JwtVerifier:
    """Checks tokens against the credentials of consumers and the keys of issuers.

    A token names its credential by the claim `key_claim_name`. It must be for all of `scopes`.
    """

    context: HandlerContext
    credentials: JwtCredentials
    issuers: Mapping[str, IssuerKeys]
    rules: ClaimRules
    key_claim_name: str = "iss"
    scopes: frozenset[str] = frozenset()

    async def verified(self, text: bytes) -> VerifiedToken:
        """What a good token says. Raises TokenRefused or KeysUnavailable."""
        token, name = _parsed(text), self.key_claim_name
        key = token.claims.get(name)
        if isinstance(key, str) and (found := self.credentials.called(key)) is not None:
            return self._of_consumer(token, *found)
        issuer = self.issuers.get(str(token.claims.get("iss")))
        if issuer is not None:
            return await self._of_issuer(token, issuer)
        if not isinstance(key, str) or not key:
            raise UnreadableToken(f"No mandatory '{name}' in claims")
        if not self.credentials.are_known:
            raise KeysUnavailable("the store of consumers is not known yet")
        raise TokenRefused(f"No credentials found for given '{name}'")

    def _of_consumer(
        self, token: JwtToken, consumer: Consumer, credential: JwtCredential, key: JwtKey
    ) -> VerifiedToken:
        if token.algorithm != credential.algorithm:
            raise TokenRefused("Invalid algorithm")
        if not key.is_signed(token.algorithm, token.message, token.signature):
            raise TokenRefused("Invalid signature")
        self._check_claims(token.claims, ("*",))
        holds = partial(self.credentials.still_have, credential)
        is_current = self.credentials.is_current_of(consumer, credential)
        return VerifiedToken(consumer, token.claims, credential.key, holds, is_current)

    async def _of_issuer(self, token: JwtToken, issuer: IssuerKeys) -> VerifiedToken:
        settings = issuer.settings
        if token.algorithm not in settings.algorithms:
            raise TokenRefused("Invalid algorithm")
        key_set, is_current = issuer.key_set, None
        if issuer.source is not None:
            key_set = await self.context.key_sets.for_token(issuer.source, token)
            is_current = partial(self._is_at_hand, issuer.source, key_set)
        if key_set is None or not key_set.has_signed(token):
            raise TokenRefused("Invalid signature")
        self._check_claims(token.claims, settings.audience)
        name = token.claims.get(settings.consumer_claim)
        if not isinstance(name, str) or not name or not name.isprintable():
            raise UnreadableToken(f"No mandatory '{settings.consumer_claim}' in claims")
        consumer = Consumer(username=name)
        return VerifiedToken(consumer, token.claims, settings.issuer, is_current=is_current)

    def _is_at_hand(self, source: KeySource, key_set: KeySet) -> bool:
        return self.context.key_sets.at_hand(source) is key_set

    def _check_claims(self, claims: dict[str, Any], audience: tuple[str, ...]) -> None:
        errors = self.rules.errors(claims, audience, time.time())
        if errors:
            raise TokenRefused(
                ", ".join(f"{name}: {text}" for name, text in errors.items()), errors
            )
        if self.scopes.difference(scopes_of(claims)):
            raise NotInScope("Insufficient scope")


def _parsed(text: bytes) -> JwtToken:
    try:
        token = JwtToken.parse(text)
    except BadToken as error:
        raise UnreadableToken(f"Bad token; {error}") from error
    if token.algorithm not in ALGORITHMS:
        raise UnreadableToken("Bad token; invalid alg")
    return token
