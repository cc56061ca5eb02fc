"""JSON Web Tokens: whoever has one that a known issuer has signed may pass, all others may not.

Issuers are consumers with credentials, as in Kong, or identity providers with keys of their own.
A token that was found good is remembered until it ends, so that it costs next to nothing after the
first request. Its end is that of the connections it opens.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from functools import partial
from typing import ClassVar

import attrs
import trio

from realtime_proxy.pipeline import (
    CONTINUE,
    IDENTITY_HEADER_NAMES,
    Accepted,
    BaseHandler,
    BearerRefusals,
    ClaimHeaders,
    ClaimRules,
    ConfigError,
    Consumer,
    Decision,
    EventOutcome,
    Exchange,
    HandlerContext,
    Identity,
    Issuer,
    JwtCredentials,
    JwtVerifier,
    KeysUnavailable,
    Problem,
    Renew,
    Renewed,
    RequestHead,
    ResponseHead,
    Secret,
    TokenMemory,
    TokenPlaces,
    TokenRefused,
    VerifiedToken,
    WebSocketEvent,
    answer_renewal,
    at_least,
    claim_at,
    identity_headers,
    is_known,
    is_preflight,
    issuer_keys,
    keys_unavailable,
    nobody,
    one_of,
    option,
    pass_as,
    read_consumers,
    texts_of,
    token_of_message,
)

_SCHEME = b"bearer "
# Claims that differ from token to token of the same user with the same rights.
OF_THE_TOKEN = ("exp", "iat", "nbf", "jti", "auth_time", "nonce", "at_hash", "sid", "uti", "rh")


@attrs.frozen
class JwtAuthConfig:
    """The settings of `jwt_auth`."""

    issuers: tuple[Issuer, ...] = option((), "Identity providers.")
    consumers: tuple[Consumer, ...] = option((), "Consumers with `jwt` credentials.")
    consumers_file: Secret | None = option(
        None, "`file:PATH` of a TOML file with more of them. A change counts at once."
    )
    stored: bool = option(
        False, "Consumers of the store count, too, as they are at the time (`[consumers] store`)."
    )
    header_names: tuple[str, ...] = option(("authorization",), "Headers with `Bearer TOKEN`.")
    uri_param_names: tuple[str, ...] = option(("jwt",), "Query arguments with a token.")
    cookie_names: tuple[str, ...] = option((), "Cookies with a token.")
    subprotocol: str = option(
        "bearer", "A WebSocket subprotocol; the one offered behind it is a token. Empty: none."
    )
    forward_subprotocol: bool = option(False, "Let the backend see these two subprotocols.")
    hide_credentials: bool = option(
        False, "Take tokens out of headers, query and cookies before the backend is asked."
    )
    profile: str = option(
        "modern",
        "Refusals: `modern` as Kong 3, `classic` as Kong 0.9, `rfc6750` as RFC 6750 says.",
        one_of("modern", "classic", "rfc6750"),
    )
    realm: str = option("", "`realm` of `WWW-Authenticate`.")
    key_claim_name: str = option("iss", "The claim that names a consumer's credential.")
    secret_is_base64: bool = option(False, "The secrets of consumers are base64.")
    claims_to_verify: tuple[str, ...] = option(
        (),
        "`exp`, `nbf`: a token must have it. One it has is checked anyway.",
        one_of("exp", "nbf"),
    )
    maximum_expiration: float = option(
        0.0, "Refuse tokens that last longer, in seconds. 0: no limit.", at_least(0)
    )
    leeway_seconds: float = option(0.0, "How far clocks may be apart.", at_least(0))
    required_scopes: tuple[str, ...] = option((), "What `scope` (or `scp`) must have, all of it.")
    groups_claim: str = option("", "A claim that lists groups, for the handler `acl`.")
    claims_to_headers: Mapping[str, str] = option(
        {}, 'Headers for the backend: `{ X-Agency = "agency" }`. `a.b` is b of the claim a.'
    )
    anonymous: str = option(
        "", "Username or id of the consumer that stands for everyone without a valid token."
    )
    run_on_preflight: bool = option(
        True, "false: let CORS preflight requests pass without a token."
    )
    renewal_type: str = option(
        "",
        'With `renew`, the WebSocket message `{"type": "renew", "token": "…"}` renews the '
        "credential. Empty: no message does.",
    )
    renewal_path: str = option(
        "",
        "A `POST` there with a new token, and the `Connection-Id` of a stream in the header or the "
        "query, renews that stream's credential. Empty: there is no such path.",
    )
    renewal_may_change: tuple[str, ...] = option(
        OF_THE_TOKEN, "Claims in which a renewed token may differ; all others must be the same."
    )
    max_remembered_tokens: int = option(
        10_000, "So many good tokens are not checked again.", at_least(0)
    )


class Handler(BaseHandler):
    """Refuses requests without a good token; tells the backend and later handlers who it is."""

    Config: ClassVar[type] = JwtAuthConfig
    head_statuses = frozenset((101,))

    def __init__(self, config: JwtAuthConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        consumers = read_consumers(config.consumers, config.consumers_file)
        self._credentials = JwtCredentials(
            consumers.all, context, is_base64=config.secret_is_base64, stored=config.stored
        )
        self._rules = ClaimRules(
            config.claims_to_verify, config.maximum_expiration, config.leeway_seconds
        )
        self._verifier = JwtVerifier(
            context,
            self._credentials,
            issuer_keys(config.issuers),
            self._rules,
            config.key_claim_name,
            frozenset(config.required_scopes),
        )
        self._claim_headers = ClaimHeaders(config.claims_to_headers)
        anonymous = consumers.called(config.anonymous)
        problems = list(_problems(config, has_anonymous=anonymous is not None))
        if problems:
            raise ConfigError(problems)
        self._anonymous = None if anonymous is None else nobody(anonymous)
        names = (*config.header_names, *config.uri_param_names, *config.cookie_names)
        self.secret_names = frozenset(name.lower() for name in names)
        self.sets_headers = IDENTITY_HEADER_NAMES | self._claim_headers.names
        self._places = TokenPlaces(
            config.header_names, config.uri_param_names, config.cookie_names, config.subprotocol
        )
        if config.run_on_preflight and not config.hide_credentials and not config.renewal_path:
            self.sole_credential = self._places.sole_credential(config.max_remembered_tokens)
        self._memory = TokenMemory(config.max_remembered_tokens)
        self._renewal_type = config.renewal_type
        self._renewal_mark = json.dumps(config.renewal_type).encode()
        self._renewed_note = f"{context.name}: renewed"
        self._renewal_path = config.renewal_path.encode()
        self.unused_moments = frozenset(_unused_moments(config))
        self._refusals = BearerRefusals(config.profile, config.realm, config.required_scopes)

    async def run(self) -> None:
        """Have key sets at hand; close what was opened with credentials that are gone."""
        self._credentials.take_over()
        self.context.connections.revoke(lambda identity: identity.has_lapsed)
        async with trio.open_nursery() as nursery:
            for issuer in self._verifier.issuers.values():
                if issuer.source is not None:
                    nursery.start_soon(self.context.key_sets.keep_fresh, issuer.source)

    async def on_request(self, exchange: Exchange) -> Decision:
        """Find out whose token it is, or refuse."""
        request = exchange.request
        if not self.config.run_on_preflight and is_preflight(request):
            return CONTINUE
        if self._anonymous and is_known(exchange):
            return CONTINUE  # this one was only an alternative
        is_websocket = exchange.scheme in ("ws", "wss")
        text: bytes | None = exchange.notes.get(self._renewed_note) if exchange.is_recheck else None
        try:
            text = text or self._places.token(request, is_websocket=is_websocket)
            # Nearly all are known: those are asked about without a coroutine.
            accepted = self._memory.recall(text) or await self._checked(text)
        except KeysUnavailable as problem:
            return keys_unavailable(problem)
        except TokenRefused as error:
            if self._anonymous is None:
                return self._refusals.of(error)
            pass_as(exchange, *self._anonymous)
        else:
            if self._claim_headers.names:
                request.headers = request.headers.without(self._claim_headers.field_names)
            pass_as(exchange, accepted.identity, accepted.headers)
        if (
            is_websocket
            and not self.config.forward_subprotocol
            and self._places.take_subprotocol(request)
        ):
            exchange.notes = {**exchange.notes, self.context.name: True}
        if self.config.hide_credentials:
            self._places.take_out(request)
        if self._renewal_path and not exchange.is_recheck:
            if request.method == b"POST" and request.path == self._renewal_path:
                return await answer_renewal(exchange, self.context, text or b"")
            exchange.connection_id = exchange.connection_id or secrets.token_urlsafe(18)
        return CONTINUE

    def on_response_head(self, exchange: Exchange, response: ResponseHead) -> None:
        """Choose the subprotocol that came with a token, unless the backend has chosen another.

        Browsers close a WebSocket for which none of those is chosen that they offered.
        """
        if exchange.notes.get(self.context.name) is None:
            return
        if not response.headers.has(b"sec-websocket-protocol"):
            response.headers.append((b"Sec-WebSocket-Protocol", self._places.subprotocol))

    # -- renewals --------------------------------------------------------------------------

    def on_websocket_event(self, exchange: Exchange, event: WebSocketEvent) -> EventOutcome:
        """A message with a new token renews the credential; the backend does not see it."""
        if event.type != "TEXT" or self._renewal_mark not in event.content:
            return event
        token = token_of_message(event.content, self._renewal_type)
        if token is None:
            return event
        note = partial(self._note_renewal, exchange, token)
        return Renew(partial(self._identity_by, token), note)

    async def renewed(self, credential: bytes) -> Renewed | None:
        """Who it is by a new token."""
        identity = await self._identity_by(credential)
        return None if identity is None else Renewed(identity, {self._renewed_note: credential})

    async def _identity_by(self, token: bytes) -> Identity | None:
        try:
            accepted = self._memory.recall(token) or await self._checked(token)
        except (TokenRefused, KeysUnavailable) as problem:
            self.context.logger.info("renewal refused", why=str(problem))
            return None
        return accepted.identity

    def _note_renewal(self, exchange: Exchange, token: bytes, identity: Identity) -> str:
        exchange.notes = {**exchange.notes, self._renewed_note: token}
        told = {"type": "renewed", "expires_at": identity.expires_at}
        return json.dumps(told)

    def on_backend_request(self, exchange: Exchange, request: RequestHead) -> None:
        """Give backends the renewed token where they would get the first one."""
        token = exchange.notes.get(self._renewed_note)
        if (
            token is not None
            and (request.headers.get(b"authorization") or b"")[:7].lower() == _SCHEME
        ):
            request.headers = request.headers.replaced(b"Authorization", b"Bearer " + token)

    # -- what they are worth ---------------------------------------------------------------

    async def _checked(self, text: bytes) -> Accepted:
        """What a good token says, remembered from now on. Raises TokenRefused, KeysUnavailable."""
        token = await self._verifier.verified(text)
        identity = self._identity(token)
        headers = identity_headers(token.consumer, identity)
        headers += self._claim_headers.of(token.claims)
        accepted = Accepted(identity, headers)
        self._memory.keep(text, accepted)
        return accepted

    def _identity(self, token: VerifiedToken) -> Identity:
        config, claims = self.config, token.claims
        further = texts_of(claim_at(claims, config.groups_claim)) if config.groups_claim else ()
        lasting = sorted(name for name in claims if name not in config.renewal_may_change)
        return Identity(
            token.consumer.name,
            claims=claims,
            expires_at=self._rules.ends_at(claims),
            groups=(*token.consumer.groups, *further),
            credential=token.credential if token.credential.isprintable() else "",
            subject=str(claims.get("sub", "")),
            scope=tuple((name, claims[name]) for name in lasting),
            challenge=self._refusals.challenge("invalid_token"),
            holds=token.holds,
            is_current=token.is_current,
        )


def _unused_moments(config: JwtAuthConfig) -> Iterator[str]:
    if not config.renewal_type:
        yield from ("on_websocket_event", "on_backend_request")
    if not config.subprotocol or config.forward_subprotocol:
        yield "on_response_head"


def _problems(config: JwtAuthConfig, *, has_anonymous: bool) -> Iterator[Problem]:
    """What the types of the settings don't say."""
    if not (config.consumers or config.consumers_file or config.issuers or config.stored):
        yield Problem("issuers", "nobody could pass; give some, or consumers with jwt credentials")
    if config.renewal_path and not config.renewal_path.startswith("/"):
        yield Problem("renewal_path", "must begin with /")
    if '"' in config.realm or "\\" in config.realm or not config.realm.isprintable():
        yield Problem("realm", "must not have quotes, backslashes or control characters")
    if config.anonymous and not has_anonymous:
        yield Problem("anonymous", f"no consumer has the username or id {config.anonymous!r}")
