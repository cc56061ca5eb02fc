"""JSON Web Tokens: whoever has one that a known issuer has signed may pass, all others may not.

Issuers are consumers with credentials, as in Kong, or identity providers with keys of their own.
A token that was found good is remembered until it ends, so that it costs next to nothing after the
first request. Its end is that of the connections it opens.

It is long since a third of it are its settings.
"""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

import attrs
import trio

from realtime_proxy.pipeline import (
    ALGORITHMS,
    CONTINUE,
    IDENTITY_HEADER_NAMES,
    Accepted,
    BadKey,
    BadToken,
    BaseHandler,
    BearerRefusals,
    ClaimRules,
    ConfigError,
    Consumer,
    Decision,
    EventOutcome,
    Exchange,
    HandlerContext,
    Headers,
    Identity,
    Issuer,
    IssuerKeys,
    JwtCredential,
    JwtKey,
    JwtToken,
    KeySet,
    KeySource,
    KeysUnavailable,
    NotInScope,
    Problem,
    Renew,
    RequestHead,
    ResponseHead,
    Secret,
    TokenMemory,
    TokenPlaces,
    TokenRefused,
    UnreadableToken,
    WebSocketEvent,
    answer_renewal,
    at_least,
    claim_at,
    consumer_keys,
    identity_headers,
    is_known,
    is_preflight,
    issuer_keys,
    key_of,
    keys_unavailable,
    nobody,
    one_of,
    option,
    pass_as,
    read_consumers,
    scopes_of,
    texts_of,
    token_of_message,
)

_SCHEME = b"bearer "
NO_CREDENTIALS = "No credentials found for given '{}'"
# Claims that differ from token to token of the same user with the same rights.
OF_THE_TOKEN = ("exp", "iat", "nbf", "jti", "auth_time", "nonce", "at_hash", "sid", "uti", "rh")

# What consumers' tokens are checked with now, by the name of the handler: those who were let in by
# the instances of earlier configurations are held to it, too.
_live: dict[str, dict[str, tuple[Consumer, JwtCredential, JwtKey]]] = {}


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

    def __init__(self, config: JwtAuthConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        consumers = read_consumers(config.consumers, config.consumers_file)
        self._credentials = consumer_keys(consumers.all, is_base64=config.secret_is_base64)
        self._issuers = issuer_keys(config.issuers)
        self._rules = ClaimRules(
            config.claims_to_verify, config.maximum_expiration, config.leeway_seconds
        )
        anonymous = consumers.called(config.anonymous)
        problems = list(_problems(config, has_anonymous=anonymous is not None))
        if problems:
            raise ConfigError(problems)
        self._anonymous = None if anonymous is None else nobody(anonymous)
        names = (*config.header_names, *config.uri_param_names, *config.cookie_names)
        self.secret_names = frozenset(name.lower() for name in names)
        further = {name.lower() for name in config.claims_to_headers}
        self.sets_headers = IDENTITY_HEADER_NAMES | further
        self._further = frozenset(name.encode() for name in further)
        self._places = TokenPlaces(
            config.header_names, config.uri_param_names, config.cookie_names, config.subprotocol
        )
        self._memory = TokenMemory(config.max_remembered_tokens)
        self._renewal_type = config.renewal_type
        self._renewal_mark = json.dumps(config.renewal_type).encode()
        self._renewed_note = f"{context.name}: renewed"
        self._renewal_path = config.renewal_path.encode()
        if not config.renewal_type:
            self.unused_moments = frozenset(("on_websocket_event", "on_backend_request"))
        self._refusals = BearerRefusals(config.profile, config.realm, config.required_scopes)

    async def run(self) -> None:
        """Have key sets at hand; close what was opened with credentials that are gone."""
        _live[self.context.name] = self._credentials
        self.context.connections.revoke(lambda identity: identity.has_lapsed)
        async with trio.open_nursery() as nursery:
            for issuer in self._issuers.values():
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
            accepted = await self._accepted(text)
        except KeysUnavailable as problem:
            return keys_unavailable(problem)
        except TokenRefused as error:
            if self._anonymous is None:
                return self._refusals.of(error)
            pass_as(exchange, *self._anonymous)
        else:
            if self._further:
                request.headers = request.headers.without(self._further)
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
                notes = {self._renewed_note: text}
                return answer_renewal(exchange, self.context.connections, notes)
            exchange.connection_id = exchange.connection_id or secrets.token_urlsafe(18)
        return CONTINUE

    def on_response_head(self, exchange: Exchange, response: ResponseHead) -> None:
        """Choose the subprotocol that came with a token, unless the backend has chosen another.

        Browsers close a WebSocket for which none of those is chosen that they offered.
        """
        if exchange.notes.get(self.context.name) is None or response.status != 101:
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
        return Renew(partial(self._renewed, token), partial(self._note_renewal, exchange, token))

    async def _renewed(self, token: bytes) -> Identity | None:
        try:
            return (await self._accepted(token)).identity
        except (TokenRefused, KeysUnavailable) as problem:
            self.context.logger.info("renewal refused", why=str(problem))
            return None

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

    async def _accepted(self, text: bytes) -> Accepted:
        """What a good token says, remembered. Raises TokenRefused or KeysUnavailable."""
        accepted = self._memory.recall(text)
        if accepted is None:
            accepted = await self._checked(text)
            self._memory.keep(text, accepted)
        return accepted

    async def _checked(self, text: bytes) -> Accepted:
        try:
            token = JwtToken.parse(text)
        except BadToken as error:
            raise UnreadableToken(f"Bad token; {error}") from error
        if token.algorithm not in ALGORITHMS:
            raise UnreadableToken("Bad token; invalid alg")
        name = self.config.key_claim_name
        key = token.claims.get(name)
        if isinstance(key, str) and (found := self._credential(key)) is not None:
            return self._of_consumer(token, *found)
        issuer = self._issuers.get(str(token.claims.get("iss")))
        if issuer is not None:
            return await self._of_issuer(token, issuer)
        if not isinstance(key, str) or not key:
            raise UnreadableToken(f"No mandatory '{name}' in claims")
        raise TokenRefused(NO_CREDENTIALS.format(name))

    def _credential(self, key: str) -> tuple[Consumer, JwtCredential, JwtKey] | None:
        """What tokens of this name are checked with: of the settings, or of the store."""
        known = self._credentials.get(key)
        if known is not None or not self.config.stored:
            return known
        stored = self.context.stored.of_issuer(key)
        if stored is None:
            return None
        try:
            made = key_of(stored[1], is_base64=self.config.secret_is_base64)
        except BadKey as error:
            raise TokenRefused("Invalid key/secret") from error
        return *stored, made

    def _still_known(self, credential: JwtCredential) -> bool:
        live = _live.get(self.context.name, self._credentials)
        known = live.get(credential.key) or self.context.stored.of_issuer(credential.key)
        return known is not None and known[1] == credential

    def _of_consumer(
        self, token: JwtToken, consumer: Consumer, credential: JwtCredential, key: JwtKey
    ) -> Accepted:
        if token.algorithm != credential.algorithm:
            raise TokenRefused("Invalid algorithm")
        if not key.is_signed(token.algorithm, token.message, token.signature):
            raise TokenRefused("Invalid signature")
        self._check_claims(token.claims, ("*",))
        identity = attrs.evolve(
            self._identity(token.claims, consumer.name, consumer.groups, credential.key),
            holds=partial(self._still_known, credential),
        )
        return Accepted(identity, self._headers(consumer, identity))

    async def _of_issuer(self, token: JwtToken, issuer: IssuerKeys) -> Accepted:
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
        identity = self._identity(token.claims, name, (), settings.issuer)
        headers = self._headers(Consumer(username=name), identity)
        return Accepted(identity, headers, is_current)

    def _is_at_hand(self, source: KeySource, key_set: KeySet) -> bool:
        return self.context.key_sets.at_hand(source) is key_set

    def _check_claims(self, claims: dict[str, Any], audience: tuple[str, ...]) -> None:
        errors = self._rules.errors(claims, audience, time.time())
        if errors:
            raise TokenRefused(
                ", ".join(f"{name}: {text}" for name, text in errors.items()), errors
            )
        missing = set(self.config.required_scopes).difference(scopes_of(claims))
        if missing:
            raise NotInScope("Insufficient scope")

    def _identity(
        self, claims: dict[str, Any], consumer: str, groups: tuple[str, ...], credential: str
    ) -> Identity:
        config = self.config
        further = texts_of(claim_at(claims, config.groups_claim)) if config.groups_claim else ()
        lasting = sorted(name for name in claims if name not in config.renewal_may_change)
        return Identity(
            consumer,
            claims=claims,
            expires_at=self._rules.ends_at(claims),
            groups=(*groups, *further),
            credential=credential if credential.isprintable() else "",
            subject=str(claims.get("sub", "")),
            scope=tuple((name, claims[name]) for name in lasting),
            challenge=self._refusals.challenge("invalid_token"),
        )

    def _headers(self, consumer: Consumer, identity: Identity) -> Headers:
        """What backends are told, of claims too. What can't stand in a header is left out."""
        headers = identity_headers(consumer, identity)
        for name, path in self.config.claims_to_headers.items():
            value = claim_at(identity.claims, path)
            text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            if value is not None and text.isprintable():
                headers.append((name.encode(), text.encode()))
        return headers


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
    for name in config.claims_to_headers:
        if not name.replace("-", "").isalnum() or not name.isascii():
            yield Problem(f"claims_to_headers.{name}", "can't be the name of a header")
