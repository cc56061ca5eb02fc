"""Sessions of browsers, by their cookies: a session server such as Ory Kratos knows whose they are.

It is asked as Oathkeeper's `cookie_session` asks it, but always for the address of the settings:
the client's method and path could lead to something else there that answers 200, too.
"""

import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

import attrs
import msgspec

from realtime_proxy.pipeline import (
    CONTINUE,
    IDENTITY_HEADER_NAMES,
    NOT_MINE,
    BaseHandler,
    ClaimHeaders,
    ConfigError,
    Consumer,
    Decision,
    ErrorForms,
    Exchange,
    HandlerContext,
    Headers,
    HttpCallError,
    Identity,
    KeptAnswers,
    Problem,
    Refuse,
    Response,
    Secret,
    above_zero,
    claim_at,
    cookies,
    headers_without_cookies,
    identity_headers,
    is_known,
    is_preflight,
    option,
    pass_as,
    required,
    server_authority,
)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECONDS = re.compile(rb"[0-9]{1,10}")
_CACHE_FOR = b"ory-session-cache-for"
_EVERYTHING = "@this"
_MAX_KEPT_SESSIONS = 10_000

INVALID = "Access credentials are invalid"
NOT_SUFFICIENT = "Access credentials are not sufficient to access this resource"
TOO_MANY = "Too many requests"


@attrs.frozen
class SessionCheckConfig:
    """The settings of `session_check`; where Oathkeeper has them, too, they are called as there."""

    check_session_url: str = required("Whom to ask, such as `http://HOST:4433/sessions/whoami`.")
    only: tuple[str, ...] = option(
        (), "Cookies that make a session; no other goes along. Empty: all cookies do."
    )
    subject_from: str = option("identity.id", "Where the answer has the user.")
    extra_from: str = option(
        _EVERYTHING, "Where it has what else is known, for `acl`. `@this`: all of it."
    )
    claims_to_headers: Mapping[str, str] = option(
        {}, 'Headers for the backend, of `extra_from`: `{ X-Email = "identity.traits.email" }`.'
    )
    forward_http_headers: tuple[str, ...] = option(
        (), "Headers of the client that go along, besides cookies."
    )
    additional_headers: Mapping[str, str] = option({}, "Headers that are sent along.")
    optional: bool = option(
        False, "true: requests without a cookie of a session are left to the handlers behind."
    )
    redirect_to: str = option(
        "", "Where pages are sent (302) instead of a 401: the login. Empty: nowhere."
    )
    return_to_query_param: str = option(
        "", "Query parameter of `redirect_to` that gets the page's own address. Empty: none."
    )
    redirect_status: int = option(302, "Status of these redirects: 301 or 302.")
    realm: str = option(
        "",
        "Answer a 401 by `WWW-Authenticate: Basic realm=…` in place of JSON, so that browsers ask "
        "for a name and a password. Empty: JSON.",
    )
    verbose: bool = option(True, "false: don't say in a refusal what was wrong.")
    unavailable_status: int = option(
        403, "Refuse with this status while there is no usable answer: 403, 500, 502, 503 or 504."
    )
    hide_credentials: bool = option(
        False, "Take the cookies of `only` away before the backend is asked."
    )
    timeout_seconds: float = option(5.0, "Limit for an answer.", above_zero)
    ca: Secret | None = option(
        None, "What to check the server's certificate by: PEM text, or `file:PATH`."
    )
    run_on_preflight: bool = option(True, "false: let CORS preflight requests pass.")


class UnusableAnswerError(Exception):
    """An answer that does not say whose session it is, or for how long."""


@attrs.frozen
class Session:
    """Whose a session is. `headers` are for the backend."""

    identity: Identity
    headers: Headers


class Handler(BaseHandler):
    """Refuses who has no session; pages may be sent to the login instead."""

    Config: ClassVar[type] = SessionCheckConfig

    def __init__(self, config: SessionCheckConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        problems = list(_problems(config))
        if problems:
            raise ConfigError(problems)
        self._claim_headers = ClaimHeaders(config.claims_to_headers)
        self.sets_headers = IDENTITY_HEADER_NAMES | self._claim_headers.names
        self._only = frozenset(name.encode() for name in config.only)
        self._forwarded = frozenset(name.lower().encode() for name in config.forward_http_headers)
        self._additional = [(n.encode(), v.encode()) for n, v in config.additional_headers.items()]
        self._tls = server_authority(config.ca)
        self._forms = ErrorForms(
            config.redirect_to,
            config.redirect_status,
            config.return_to_query_param,
            config.realm,
            config.verbose,
        )
        self._kept: KeptAnswers[Session] = KeptAnswers(_MAX_KEPT_SESSIONS)

    async def on_request(self, exchange: Exchange) -> Decision:
        """Find out whose session it is, or refuse."""
        request = exchange.request
        if not self.config.run_on_preflight and is_preflight(request):
            return CONTINUE
        if self.config.optional and is_known(exchange):
            return NOT_MINE
        written = self._cookies(request.headers)
        if not written:
            return (
                NOT_MINE
                if self.config.optional
                else self._forms.unauthorized(exchange, INVALID, "no session")
            )
        try:
            answer = await self._answer(exchange, written)
        except (HttpCallError, UnusableAnswerError) as problem:
            return self._unavailable(exchange, str(problem))
        if isinstance(answer, Response):
            return self._refusal(exchange, answer)
        request.headers = request.headers.without(self._claim_headers.field_names)
        pass_as(exchange, answer.identity, answer.headers)
        if self.config.hide_credentials:
            request.headers = headers_without_cookies(request.headers, self._only)
        return CONTINUE

    # -- asking ----------------------------------------------------------------------------

    def _cookies(self, headers: Headers) -> bytes:
        """The cookies that make the session, as they go along."""
        return b"; ".join(
            written.strip()
            for name, _, written in cookies(headers)
            if name and (name in self._only or not self._only)
        )

    async def _answer(self, exchange: Exchange, written: bytes) -> Session | Response:
        """The session, or how it is refused. Raises HttpCallError, UnusableAnswerError."""
        forwarded = exchange.request.headers.only(self._forwarded - {b"cookie"})
        headers = Headers([(b"Cookie", written), (b"Accept", b"application/json")])
        headers.extend((*forwarded, *self._additional))
        question = repr(headers).encode()
        # Who is asked about again wants to know what is true by now.
        known = None if exchange.is_recheck else self._kept.get(question, time.time())
        if known is not None:
            return known
        response = await self.context.http.ask(
            "GET",
            self.config.check_session_url,
            headers,
            timeout_seconds=self.config.timeout_seconds,
            tls=self._tls,
        )
        if response.status == 200:
            session = self._read(response)
            if session is not None:
                self._keep(question, session, response.headers)
                return session
        self._kept.forget(question)
        return response

    def _read(self, response: Response) -> Session | None:
        """The session of an answer; None if that is over. Raises UnusableAnswerError."""
        try:
            document = msgspec.json.decode(response.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UnusableAnswerError("its answer is no JSON") from error
        subject = _at(document, self.config.subject_from)
        if not isinstance(subject, str) or not subject or not subject.isprintable():
            raise UnusableAnswerError(f"its answer has no text at {self.config.subject_from}")
        ends_at = _ends_at(document)
        if document.get("active") is False or (ends_at is not None and ends_at <= time.time()):
            return None
        extra = _at(document, self.config.extra_from)
        claims = extra if isinstance(extra, dict) else {}
        identity = Identity(
            subject,
            claims=claims,
            expires_at=ends_at,
            subject=subject,
            challenge=self._forms.challenge,
        )
        headers = identity_headers(Consumer(username=subject), identity)
        headers += self._claim_headers.of(claims)
        return Session(identity, headers)

    def _keep(self, question: bytes, session: Session, headers: Headers) -> None:
        """Keep it for as long as the server says."""
        seconds = headers.get(_CACHE_FOR) or b""
        if _SECONDS.fullmatch(seconds):
            until = time.time() + int(seconds)
            self._kept.keep(question, session, min(until, session.identity.expires_at or until))

    # -- refusals --------------------------------------------------------------------------

    def _refusal(self, exchange: Exchange, response: Response) -> Refuse:
        """What becomes of a status other than 200, and of a session that is over."""
        status = response.status
        if status == 429:
            kept = [field for field in response.headers if _is_about_limits(field[0].lower())]
            return self._forms.json(429, TOO_MANY, "the session server is asked too much", kept)
        if exchange.is_recheck and status >= 500:
            return self._unavailable(exchange, f"answered {status}")
        return self._forms.unauthorized(
            exchange, INVALID, f"the session server has answered {status}"
        )

    def _unavailable(self, exchange: Exchange, problem: str) -> Refuse:
        url = self.config.check_session_url.partition("?")[0]
        self.context.logger.warning("no session known", url=url, problem=problem)
        # Who is held may stay for once.
        status = 503 if exchange.is_recheck else self.config.unavailable_status
        return self._forms.json(status, NOT_SUFFICIENT, f"no session known: {problem}")


def _at(document: Any, path: str) -> Any:
    if not isinstance(document, dict):
        raise UnusableAnswerError("its answer is no JSON object")
    return document if path == _EVERYTHING else claim_at(document, path)


def _ends_at(document: dict[str, Any]) -> float | None:
    """When the session ends, seconds since the epoch. Raises UnusableAnswerError."""
    written = document.get("expires_at")
    if written is None:
        return None
    try:
        moment = datetime.fromisoformat(written)
    except (TypeError, ValueError) as error:
        raise UnusableAnswerError("its expires_at is no time") from error
    if moment.tzinfo is None:
        raise UnusableAnswerError("its expires_at has no time zone")
    return moment.timestamp()


def _is_about_limits(name: bytes) -> bool:
    return name == b"retry-after" or name.startswith((b"x-ratelimit-", b"ratelimit"))


def _problems(config: SessionCheckConfig) -> Iterator[Problem]:
    """What the types of the settings don't say."""
    if not re.fullmatch(r"https?://[^\s/?#@]+(/\S*)?", config.check_session_url):
        yield Problem("check_session_url", "must be `http://HOST:PORT/PATH` or https")
    if config.redirect_to and not re.fullmatch(r"(https?://|/)[\x21-\x7e]*", config.redirect_to):
        yield Problem("redirect_to", "must be a URL, or a path that begins with /")
    if config.return_to_query_param and not config.redirect_to:
        yield Problem("return_to_query_param", "needs a `redirect_to`")
    if config.redirect_status not in (301, 302):
        yield Problem("redirect_status", "must be 301 or 302")
    if not config.realm.isprintable() or set(config.realm) & set('"\\'):
        yield Problem("realm", "must not have quotes, backslashes or control characters")
    if config.hide_credentials and not config.only:
        yield Problem("hide_credentials", "needs `only`, which says what to hide")
    if config.unavailable_status not in (403, 500, 502, 503, 504):
        yield Problem("unavailable_status", "must be 403, 500, 502, 503 or 504")
    for name in config.additional_headers:
        if not _TOKEN.fullmatch(name):
            yield Problem(f"additional_headers.{name}", "can't be the name of a header")
    for name, value in config.additional_headers.items():
        if not value.isprintable():
            yield Problem(f"additional_headers.{name}", "must not have control characters")
