"""Tokens in cookies, as the gateway of `gateway.conf.yaml` has them: who is signed in passes.

The user's id goes to the backend. Users may be suspended in Redis, where whoever signs them in
says so: they are refused, and what they have open is closed.
"""

import json
import math
import re
import secrets
import time
from collections.abc import AsyncIterable, Iterator
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from realtime_proxy.pipeline import (
    CONTINUE,
    AllowedPages,
    Answer,
    BadKey,
    BadToken,
    BaseHandler,
    ClaimRules,
    ConfigError,
    CorsSettings,
    Decision,
    Exchange,
    HandlerContext,
    Headers,
    Identity,
    JwtKey,
    JwtToken,
    Problem,
    Published,
    RedisConnection,
    RedisSettings,
    RedisUnavailable,
    Refuse,
    Renewed,
    RequestHead,
    Response,
    ResponseHead,
    Secret,
    answer_renewal,
    claim_at,
    cookies,
    is_preflight,
    one_of,
    option,
    required,
    texts_of,
)

if TYPE_CHECKING:
    from coredis import Redis

SUSPENDED_CHANNEL = "user-suspend"
DELETED_CHANNEL = "user-delete"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OF_THE_TOKEN = frozenset(("exp", "iat", "nbf", "jti"))
# Events of keys after which there is no such key.
_GONE = frozenset((b"del", b"expired", b"evicted", b"rename_from", b"move_from"))
# A connection that is being opened while its user loses access is told by these.
_MAX_REMEMBERED_LOSSES = 10_000
_ASKED_AT_ONCE = 200
PATHS = ("is_auth_path", "is_alive_path", "is_ready_path", "renewal_path")

# When users lost access (`time.monotonic`), by the name of the handler and the user.
_lost: dict[str, dict[str, float]] = {}


@attrs.frozen
class CookieJwtConfig:
    """The settings of `cookie_jwt`."""

    secret: Secret = required("What tokens are signed with: `env:JWT_SECRET_KEY`.")
    algorithm: str = option("HS256", "The only one that counts.", one_of("HS256", "HS384", "HS512"))
    cookie_name: str = option("token", "The cookie that has the token.")
    id_claim: str = option("id", "The claim that names the user.")
    header_name: str = option(
        "Auth_id", "Header with the user for the backend. No client can send it itself."
    )
    groups_claim: str = option("userGroup", "A claim that lists the user's groups, or names one.")
    allowed_groups: tuple[str, ...] = option((), "One of these it must have. Empty: no matter.")
    profile: str = option(
        "modern",
        "Refusals: `modern` answers 401 to all that is wrong with a token, `classic` as the simple "
        "gateway did.",
        one_of("modern", "classic"),
    )
    redis: RedisSettings = option(RedisSettings(), "Where suspended users are.")
    cors: CorsSettings = option(CorsSettings(), "Pages that may use the routes.")
    is_auth_path: str = option("/isAuth", "Answers who is let in: 200, or the refusal.")
    is_alive_path: str = option("/isAlive", "Answers 200 to everyone.")
    is_ready_path: str = option("/isReady", "Answers 200 while Redis answers, else 503.")
    renewal_path: str = option(
        "",
        "A `POST` there with a new cookie, and the `Connection-Id` of a held client in the header "
        "or the query, renews its credential. Empty: there is no such path.",
    )


@attrs.frozen
class Reason:
    """Why somebody is refused. `classic` is the status, and the text, of the simple gateway."""

    text: str
    status: int
    classic: tuple[int, str]


NO_COOKIE = Reason("No token cookie", 401, (401, "No token cookie"))
SEVERAL_COOKIES = Reason("Unable to get token cookie", 401, (400, "Unable to get token cookie"))
UNREADABLE = Reason("Unable to parse token", 401, (400, "Unable to parse token"))
# Its library had these two within the error of the first kind, and so it never said them.
BAD_SIGNATURE = Reason("Invalid token signature", 401, UNREADABLE.classic)
EXPIRED = Reason("Invalid or expired token", 401, UNREADABLE.classic)
SUSPENDED = Reason("User has been suspended", 401, (401, "User has been suspended"))
NOT_IN_GROUP = Reason(
    "User is not authorised to access this resource",
    403,
    (403, "User is not authorised to access this resource"),
)
UNCHECKED = Reason(
    "Failed to check user authorisation", 500, (500, "Failed to check user authorisation")
)


class NotAuthorised(Exception):
    """The client is refused."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class Handler(BaseHandler):
    """Refuses who has no good token in the cookie, and who is suspended."""

    Config: ClassVar[type] = CookieJwtConfig

    def __init__(self, config: CookieJwtConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        problems = list(_problems(config))
        if problems:
            raise ConfigError(problems)
        self._key = JwtKey.from_secret(config.secret.value, (config.algorithm,))
        self._rules = ClaimRules()
        self._cookie = config.cookie_name.encode()
        self._header = config.header_name.encode()
        self._renewed_note = f"{context.name}: renewed"
        self.sets_headers = frozenset((config.header_name.lower(),))
        self.secret_names = frozenset((config.cookie_name.lower(),))
        self._groups = frozenset(config.allowed_groups)
        self._is_classic = config.profile == "classic"
        self._challenge = "" if self._is_classic else f'Cookie cookie-name="{config.cookie_name}"'
        self._pages = AllowedPages(config.cors)
        if not self._pages:
            self.unused_moments = frozenset(("on_response_head",))
        self._own_paths = {getattr(config, name).encode(): name for name in PATHS}
        self._own_paths.pop(b"", None)

    @cached_property
    def _redis(self) -> RedisConnection:
        return self.context.redis(self.config.redis)

    # -- requests --------------------------------------------------------------------------

    async def on_request(self, exchange: Exchange) -> Decision:
        """Find out whose cookie it is, or refuse."""
        request = exchange.request
        own = "" if exchange.is_recheck else self._own_paths.get(request.path, "")
        if self._pages and is_preflight(request):
            return Answer(Response(204, self._pages.preflight_fields(request.headers)))
        if own == "is_alive_path":
            return self._answer(request, 200)
        if own == "is_ready_path":
            return self._answer(request, 200 if self._redis.is_there else 503)
        try:
            user = await self._pass(exchange)
        except NotAuthorised as refused:
            return self._refusal(request, refused.reason)
        if own == "is_auth_path":
            return self._answer(request, 200, (self._header, user))
        if own == "renewal_path" and request.method == b"POST":
            return await answer_renewal(exchange, self.context, self._token(exchange))
        if self.config.renewal_path and not exchange.is_recheck:
            exchange.connection_id = exchange.connection_id or secrets.token_urlsafe(18)
        return CONTINUE

    def on_response_head(self, exchange: Exchange, response: ResponseHead) -> None:
        """Let pages of allowed origins read it, unless the backend has said who may."""
        if not response.headers.has(b"access-control-allow-origin"):
            response.headers.extend(self._pages.fields(exchange.request.headers))

    async def _pass(self, exchange: Exchange) -> bytes:
        """Say who it is, to the backend too. Raises NotAuthorised."""
        request = exchange.request
        identity = exchange.identity = await self._identity_by(self._token(exchange))
        written = identity.consumer.encode()
        request.headers = request.headers.without((self._header.lower(),))
        request.headers.append((self._header, written))
        return written

    async def renewed(self, credential: bytes) -> Renewed | None:
        """Who it is by a new cookie."""
        try:
            identity = await self._identity_by(credential)
        except NotAuthorised as refused:
            self.context.logger.info("renewal refused", why=str(refused))
            return None
        return Renewed(identity, {self._renewed_note: credential})

    async def _identity_by(self, text: bytes) -> Identity:
        """Who it is by a cookie. Raises NotAuthorised."""
        claims = self._claims(text)
        user = claims.get(self.config.id_claim)
        if not isinstance(user, str) or not user or not user.isprintable():
            raise NotAuthorised(UNREADABLE)
        groups = texts_of(claim_at(claims, self.config.groups_claim))
        if self._groups and self._groups.isdisjoint(groups):
            raise NotAuthorised(NOT_IN_GROUP)
        began_at = time.monotonic()
        if await self._is_suspended(user):
            raise NotAuthorised(SUSPENDED)
        return self._identity(user, groups, claims, began_at)

    async def _is_suspended(self, user: str) -> bool:
        try:
            return bool(await self._redis.ask(lambda client: client.exists([user])))
        except RedisUnavailable as problem:
            self.context.logger.warning("users can't be checked", problem=str(problem))
            raise NotAuthorised(UNCHECKED) from None

    def _token(self, exchange: Exchange) -> bytes:
        renewed: bytes | None = exchange.notes.get(self._renewed_note)
        if renewed is not None:  # its request has the first one still
            return renewed
        headers = exchange.request.headers
        found = {value for name, value, _ in cookies(headers) if name == self._cookie}
        if not found:
            raise NotAuthorised(NO_COOKIE)
        if len(found) > 1:  # which of them counts would be a guess
            raise NotAuthorised(SEVERAL_COOKIES)
        return found.pop()

    def _claims(self, text: bytes) -> dict[str, Any]:
        try:
            token = JwtToken.parse(text)
        except BadToken:
            raise NotAuthorised(UNREADABLE) from None
        if not self._key.is_signed(token.algorithm, token.message, token.signature):
            raise NotAuthorised(BAD_SIGNATURE)
        if self._rules.errors(token.claims, ("*",), time.time()):
            raise NotAuthorised(EXPIRED)
        return token.claims

    def _identity(
        self, user: str, groups: tuple[str, ...], claims: dict[str, Any], began_at: float
    ) -> Identity:
        lasting = sorted(name for name in claims if name not in _OF_THE_TOKEN)
        return Identity(
            user,
            claims=claims,
            expires_at=self._rules.ends_at(claims),
            groups=groups,
            credential=self.context.name,
            scope=tuple((name, claims[name]) for name in lasting),
            challenge=self._challenge,
            holds=partial(_has_access, self.context.name, user, began_at),
        )

    def _answer(self, request: RequestHead, status: int, *fields: tuple[bytes, bytes]) -> Answer:
        headers = Headers((*fields, (b"Cache-Control", b"no-store")))
        headers.extend(self._pages.fields(request.headers))
        return Answer(Response(status, headers))

    def _refusal(self, request: RequestHead, reason: Reason) -> Refuse:
        status, text = reason.classic if self._is_classic else (reason.status, reason.text)
        kind = b"text/plain; charset=utf-8" if self._is_classic else b"application/json"
        headers = Headers([(b"Content-Type", kind)])
        if status == 401 and self._challenge:
            headers.append((b"WWW-Authenticate", self._challenge.encode()))
        headers.extend(self._pages.fields(request.headers))
        body = json.dumps({"message": text}, separators=(",", ":")).encode()
        return Refuse(Response(status, headers, body), why=reason.text)

    # -- who loses access ------------------------------------------------------------------

    async def run(self) -> None:
        """Hear of suspended and deleted users."""
        _lost.setdefault(self.context.name, {})
        keys = f"__keyspace@{self.config.redis.db}__:*"
        await self._redis.attend(self._listen, (SUSPENDED_CHANNEL, DELETED_CHANNEL), (keys,))

    async def _listen(self, client: "Redis[bytes]", feed: AsyncIterable[Published]) -> None:
        await self._advise(client)
        await self._close_lost(client)
        async for published in feed:
            user = _who_loses(published)
            if user is not None:
                self._lose(user)

    def _lose(self, user: str) -> None:
        lost = _lost[self.context.name]
        lost.pop(user, None)
        if len(lost) >= _MAX_REMEMBERED_LOSSES:
            del lost[next(iter(lost))]
        lost[user] = time.monotonic()
        closed = self.context.connections.revoke(
            lambda identity: identity.credential == self.context.name and identity.consumer == user
        )
        if closed:
            self.context.logger.info("user has lost access", user=user, connections=closed)

    async def _close_lost(self, client: "Redis[bytes]") -> None:
        """Look for all who are held: nobody has told what happened while Redis was away."""
        held: dict[str, None] = {}

        def note(identity: Identity) -> bool:
            if identity.credential == self.context.name:
                held[identity.consumer] = None
            return False

        self.context.connections.revoke(note)
        users = list(held)
        for begin in range(0, len(users), _ASKED_AT_ONCE):
            batch = users[begin : begin + _ASKED_AT_ONCE]
            if not await client.exists(batch):
                continue
            for user in batch:
                if await client.exists([user]):
                    self._lose(user)

    async def _advise(self, client: "Redis[bytes]") -> None:
        """Say so if Redis does not tell of keys: only the channels end connections then."""
        from coredis.exceptions import ResponseError

        try:
            settings = await client.config_get(["notify-keyspace-events"])
        except ResponseError:  # not everybody may ask
            return
        flags = next(iter(settings.values()), b"").decode()
        if "K" not in flags or not set("A$").intersection(flags):
            self.context.logger.warning(
                "Redis does not tell of keys: who is suspended keeps what is open",
                accepted="notify-keyspace-events K$, or the channel user-suspend",
            )


def _has_access(handler: str, user: str, began_at: float) -> bool:
    """False if the user has lost it since then."""
    return _lost.get(handler, {}).get(user, -math.inf) <= began_at


def _who_loses(published: Published) -> str | None:
    """Who loses access by what was published, or by what happened to a key; None: nobody."""
    if published.channel.decode(errors="replace") in (SUSPENDED_CHANNEL, DELETED_CHANNEL):
        user = published.content
    elif published.content in _GONE:
        return None
    else:
        user = published.channel.partition(b":")[2]
    return user.decode(errors="replace")


def _problems(config: CookieJwtConfig) -> Iterator[Problem]:
    """What the types of the settings don't say."""
    for check in (config.redis.check, config.cors.check):
        try:
            check()
        except ConfigError as error:
            yield from error.problems
    try:
        JwtKey.from_secret(config.secret.value, (config.algorithm,))
    except BadKey as error:
        yield Problem("secret", str(error))
    for name in ("cookie_name", "header_name"):
        if not _TOKEN.fullmatch(getattr(config, name)):
            yield Problem(name, f"{getattr(config, name)!r} can't be the name of one")
    for name in PATHS:
        if getattr(config, name) and not getattr(config, name).startswith("/"):
            yield Problem(name, "must begin with /")
