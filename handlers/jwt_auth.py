"""JSON Web Tokens: whoever has one that a known issuer has signed may pass, all others may not.

Issuers are consumers with credentials, as in Kong, or identity providers with keys of their own.
A token that was found good is remembered until it ends, so that it costs next to nothing after the
first request. Its end is that of the connections it opens.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import attrs
import trio

from realtime_proxy.pipeline import (
    ALGORITHMS,
    CONTINUE,
    IDENTITY_HEADER_NAMES,
    BadKey,
    BadToken,
    BaseHandler,
    BearerRefusals,
    ClaimRules,
    ConfigError,
    Consumer,
    Decision,
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
    NoToken,
    Problem,
    RequestHead,
    ResponseHead,
    Secret,
    SeveralTokens,
    TokenRefused,
    UnreadableToken,
    arguments,
    at_least,
    bearer_of_subprotocols,
    claim_at,
    cookies,
    headers_without_bearer,
    headers_without_cookies,
    is_known,
    is_preflight,
    issuer_keys,
    keys_unavailable,
    one_of,
    option,
    pass_as,
    read_consumers,
    scopes_of,
    secret_of_base64,
    target_without,
    texts_of,
)

NO_CREDENTIALS = "No credentials found for given '{}'"
# Claims that differ from token to token of the same user with the same rights.
OF_THE_TOKEN = ("exp", "iat", "nbf", "jti", "auth_time", "nonce", "at_hash", "sid", "uti", "rh")


@attrs.frozen
class JwtAuthConfig:
    """The settings of `jwt_auth`."""

    issuers: tuple[Issuer, ...] = option((), "Identity providers.")
    consumers: tuple[Consumer, ...] = option((), "Consumers with `jwt` credentials.")
    consumers_file: Secret | None = option(  # noqa: RUF009
        None, "`file:PATH` of a TOML file with more of them. A change counts at once."
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
    renewal_may_change: tuple[str, ...] = option(
        OF_THE_TOKEN, "Claims in which a renewed token may differ; all others must be the same."
    )
    max_remembered_tokens: int = option(
        10_000, "So many good tokens are not checked again.", at_least(0)
    )


@attrs.frozen
class Accepted:
    """What a good token says; `signed_by` is the key set it was checked by, if that may change."""

    consumer: Consumer
    identity: Identity
    headers: Headers
    signed_by: tuple[KeySource, KeySet] | None


class Handler(BaseHandler):
    """Refuses requests without a good token; tells the backend and later handlers who it is."""

    Config: ClassVar[type] = JwtAuthConfig

    def __init__(self, config: JwtAuthConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        consumers = read_consumers(config.consumers, config.consumers_file)
        self._credentials = dict(_credentials(consumers.all, is_base64=config.secret_is_base64))
        self._issuers = issuer_keys(config.issuers)
        self._rules = ClaimRules(
            config.claims_to_verify, config.maximum_expiration, config.leeway_seconds
        )
        self._anonymous = consumers.called(config.anonymous)
        problems = list(_problems(config, has_anonymous=self._anonymous is not None))
        if problems:
            raise ConfigError(problems)
        places = (*config.header_names, *config.uri_param_names, *config.cookie_names)
        self.secret_names = frozenset(name.lower() for name in places)
        further = {name.lower() for name in config.claims_to_headers}
        self.sets_headers = IDENTITY_HEADER_NAMES | further
        self._further = frozenset(name.encode() for name in further)
        self._arguments = frozenset(name.encode() for name in config.uri_param_names)
        self._cookies = frozenset(name.encode() for name in config.cookie_names)
        self._headers = tuple(name.lower().encode() for name in config.header_names)
        self._subprotocol = config.subprotocol.lower().encode()
        self._remembered: dict[bytes, Accepted] = {}
        self._refusals = BearerRefusals(config.profile, config.realm, config.required_scopes)

    async def run(self) -> None:
        """Have the key sets of issuers at hand."""
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
        try:
            accepted = await self._accepted(self._token(request))
        except KeysUnavailable as problem:
            return keys_unavailable(problem)
        except TokenRefused as error:
            if self._anonymous is None:
                return self._refusals.of(error)
            nobody = Identity(self._anonymous.name, anonymous=True, groups=self._anonymous.groups)
            pass_as(exchange, self._anonymous, nobody)
        else:
            request.headers = request.headers.without(self._further)
            pass_as(exchange, accepted.consumer, accepted.identity, accepted.headers)
        self._take_out(exchange)
        return CONTINUE

    def on_response_head(self, exchange: Exchange, response: ResponseHead) -> None:
        """Choose the subprotocol that came with a token, unless the backend has chosen another.

        Browsers close a WebSocket for which none of those is chosen that they offered.
        """
        if exchange.notes.get(self.context.name) is None or response.status != 101:
            return
        if not response.headers.has(b"sec-websocket-protocol"):
            response.headers.append((b"Sec-WebSocket-Protocol", self._subprotocol))

    # -- where tokens are ------------------------------------------------------------------

    def _token(self, request: RequestHead) -> bytes:
        """The one token of a request. Several are not guessed among."""
        found = list(dict.fromkeys(self._found(request)))
        if len(found) > 1:
            raise SeveralTokens("Multiple tokens provided")
        if not found:
            raise NoToken("Unauthorized")
        return found[0]

    def _found(self, request: RequestHead) -> Iterator[bytes]:
        if self._arguments and b"?" in request.target:
            yield from (v for n, v, _ in arguments(request.target) if n in self._arguments and v)
        if self._cookies:
            yield from (v for n, v, _ in cookies(request.headers) if n in self._cookies and v)
        for name in self._headers:
            for value in request.headers.get_all(name):
                scheme, _, token = value.strip().partition(b" ")
                if scheme.lower() == b"bearer" and token:
                    yield token.strip()
        if self._subprotocol:
            behind = bearer_of_subprotocols(request.headers, self._subprotocol)
            if behind:
                yield behind

    def _take_out(self, exchange: Exchange) -> None:
        """Take away what the backend should not see: a token among subprotocols, maybe others."""
        request, config = exchange.request, self.config
        if self._subprotocol and not config.forward_subprotocol:
            kept = headers_without_bearer(request.headers, self._subprotocol)
            if kept is not request.headers:
                exchange.notes = {**exchange.notes, self.context.name: True}
                request.headers = kept
        if config.hide_credentials:
            request.target = target_without(request.target, self._arguments)
            headers = headers_without_cookies(request.headers, self._cookies)
            request.headers = headers.without(self._headers)

    # -- what they are worth ---------------------------------------------------------------

    async def _accepted(self, text: bytes) -> Accepted:
        """What a good token says, remembered. Raises TokenRefused or KeysUnavailable."""
        digest = hashlib.sha256(text).digest()
        accepted = self._remembered.get(digest)
        if accepted is not None:
            if self._still_counts(accepted):
                return accepted
            del self._remembered[digest]
        accepted = await self._checked(text)
        if self.config.max_remembered_tokens:
            if len(self._remembered) >= self.config.max_remembered_tokens:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[digest] = accepted
        return accepted

    def _still_counts(self, accepted: Accepted) -> bool:
        ends_at = accepted.identity.expires_at
        if ends_at is not None and ends_at <= time.time():
            return False
        if accepted.signed_by is None:
            return True
        source, key_set = accepted.signed_by
        return self.context.key_sets.at_hand(source) is key_set

    async def _checked(self, text: bytes) -> Accepted:
        try:
            token = JwtToken.parse(text)
        except BadToken as error:
            raise UnreadableToken(f"Bad token; {error}") from error
        if token.algorithm not in ALGORITHMS:
            raise UnreadableToken("Bad token; invalid alg")
        name = self.config.key_claim_name
        key = token.claims.get(name)
        if isinstance(key, str) and key in self._credentials:
            return self._of_consumer(token, *self._credentials[key])
        issuer = self._issuers.get(str(token.claims.get("iss")))
        if issuer is not None:
            return await self._of_issuer(token, issuer)
        if not isinstance(key, str) or not key:
            raise UnreadableToken(f"No mandatory '{name}' in claims")
        raise TokenRefused(NO_CREDENTIALS.format(name))

    def _of_consumer(
        self, token: JwtToken, consumer: Consumer, credential: JwtCredential, key: JwtKey
    ) -> Accepted:
        if token.algorithm != credential.algorithm:
            raise TokenRefused("Invalid algorithm")
        if not key.is_signed(token.algorithm, token.message, token.signature):
            raise TokenRefused("Invalid signature")
        self._check_claims(token.claims, ("*",))
        identity = self._identity(token.claims, consumer.name, consumer.groups, credential.key)
        return Accepted(consumer, identity, self._claim_headers(token.claims), None)

    async def _of_issuer(self, token: JwtToken, issuer: IssuerKeys) -> Accepted:
        settings = issuer.settings
        if token.algorithm not in settings.algorithms:
            raise TokenRefused("Invalid algorithm")
        key_set, signed_by = issuer.key_set, None
        if issuer.source is not None:
            key_set = await self.context.key_sets.for_token(issuer.source, token)
            signed_by = issuer.source, key_set
        if key_set is None or not key_set.has_signed(token):
            raise TokenRefused("Invalid signature")
        self._check_claims(token.claims, settings.audience)
        name = token.claims.get(settings.consumer_claim)
        if not isinstance(name, str) or not name or not name.isprintable():
            raise UnreadableToken(f"No mandatory '{settings.consumer_claim}' in claims")
        identity = self._identity(token.claims, name, (), settings.issuer)
        consumer = Consumer(username=name)
        return Accepted(consumer, identity, self._claim_headers(token.claims), signed_by)

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

    def _claim_headers(self, claims: dict[str, Any]) -> Headers:
        """The headers that are made of claims. What can't stand in a header is left out."""
        headers = Headers()
        for name, path in self.config.claims_to_headers.items():
            value = claim_at(claims, path)
            text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            if value is not None and text.isprintable():
                headers.append((name.encode(), text.encode()))
        return headers


def _credentials(
    consumers: Iterable[Consumer], *, is_base64: bool
) -> Iterator[tuple[str, tuple[Consumer, JwtCredential, JwtKey]]]:
    """What each consumer's tokens are checked with, by what these call it."""
    for consumer in consumers:
        for i, credential in enumerate(consumer.jwt):
            try:
                key = _key_of(credential, is_base64=is_base64)
            except BadKey as error:
                where = f"consumers: {consumer.name}: jwt[{i}]"
                raise ConfigError([Problem(where, str(error))]) from error
            yield credential.key, (consumer, credential, key)


def _key_of(credential: JwtCredential, *, is_base64: bool) -> JwtKey:
    names = (credential.algorithm,)
    if credential.algorithm.startswith("HS"):
        if credential.secret is None:
            raise BadKey(f"{credential.algorithm} needs a secret")
        secret = credential.secret.value
        return JwtKey.from_secret(secret_of_base64(secret) if is_base64 else secret, names)
    if credential.public_key is None:
        raise BadKey(f"{credential.algorithm} needs a public_key")
    return JwtKey.from_pem(credential.public_key.value, names)


def _problems(config: JwtAuthConfig, *, has_anonymous: bool) -> Iterator[Problem]:
    """What the types of the settings don't say."""
    if not (config.consumers or config.consumers_file or config.issuers):
        yield Problem("issuers", "nobody could pass; give some, or consumers with jwt credentials")
    if '"' in config.realm or "\\" in config.realm or not config.realm.isprintable():
        yield Problem("realm", "must not have quotes, backslashes or control characters")
    if config.anonymous and not has_anonymous:
        yield Problem("anonymous", f"no consumer has the username or id {config.anonymous!r}")
    for name in config.claims_to_headers:
        if not name.replace("-", "").isalnum() or not name.isascii():
            yield Problem(f"claims_to_headers.{name}", "can't be the name of a header")
