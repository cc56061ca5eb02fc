"""Another server decides who may pass: it is asked first, and its refusal is passed on.

It is asked as Traefik, Caddy and nginx ask theirs: by a request without a body that tells in
headers what the client wants. Only a 2xx lets pass. That is asked once for each connection, so that
streams, long-polls and WebSockets are treated alike; what it says of itself how long it counts
bounds them.
"""

import re
import time
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import quote, unquote_to_bytes

import attrs

from realtime_proxy.pipeline import (
    CONTINUE,
    IDENTITY_HEADER_NAMES,
    BaseHandler,
    ConfigError,
    Consumer,
    Decision,
    Exchange,
    HandlerContext,
    Headers,
    HttpCallError,
    Identity,
    KeptAnswers,
    Problem,
    Refuse,
    RequestHead,
    Response,
    ResponseHead,
    Secret,
    above_zero,
    at_least,
    identity_headers,
    is_page_request,
    is_preflight,
    kong_refusal,
    option,
    pass_as,
    required,
    server_authority,
    set_by_handlers_only,
)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_METHOD = re.compile(r"[A-Z][A-Z-]*|")
_SECONDS = re.compile(rb"[0-9]{1,10}(\.[0-9]+)?")
# What may stand in a URL's path and query as it is.
_OF_TARGETS = "%:/?@!$&'()*+,;=-._~[]"
# Of this hop, of a body that is not sent along, or about the client's own resource.
_NEVER_ASKED_WITH = frozenset(
    (
        b"connection",
        b"expect",
        b"forwarded",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"range",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-real-ip",
    )
)
# `X-Forwarded-*` and `X-Original-*` are said by this handler, `Grip-Sig` is for this proxy.
_NEVER_ASKED_WITH_ANY = (b"content-", b"grip-", b"if-", b"x-forwarded-", b"x-original-")
_NOT_TO_COPY = frozenset((*(name.decode() for name in _NEVER_ASKED_WITH), "content-length"))
_NOT_FOR_CLIENTS = frozenset((b"content-length",))
_MAX_KEPT_ANSWERS = 10_000


@attrs.frozen
class ForwardAuthConfig:
    """The settings of `forward_auth`."""

    url: str = required("Whom to ask: `http://HOST:PORT/PATH` or https.")
    method: str = option("GET", "Method of the question. Empty: that of the client's request.")
    append_target: bool = option(
        False, "Put the client's path and query behind `url`, as Envoy does."
    )
    request_headers: tuple[str, ...] = option(
        (), "Only these of the client's headers go along. Empty: nearly all."
    )
    copy_headers: tuple[str, ...] = option(
        (), "Headers of a yes that the backend gets. No client can send them itself."
    )
    response_headers: tuple[str, ...] = option(
        (), "Headers of a yes that the client gets with the backend's response: `Set-Cookie`."
    )
    consumer_header: str = option("", "Header of a yes that names the consumer.")
    groups_header: str = option("", "Header of a yes that lists the consumer's groups.")
    lifetime_header: str = option(
        "Cache-Control",
        "Header of a yes that says for how many seconds it counts; of `Cache-Control`, `max-age`.",
    )
    lifetime_seconds: float = option(
        0.0, "A yes counts no longer than this, whatever it says. 0: no limit.", at_least(0)
    )
    cache_seconds: float = option(
        0.0, "Don't ask the same question again so soon after a yes. 0: always ask.", at_least(0)
    )
    timeout_seconds: float = option(5.0, "Limit for an answer.", above_zero)
    max_body_bytes: int = option(1_000_000, "The largest refusal that is passed on.", at_least(0))
    unavailable_status: int = option(
        503, "Refuse with this status while there is no usable answer: 403, or 500 to 599."
    )
    ca: Secret | None = option(
        None, "What to check the server's certificate by: PEM text, or `file:PATH`."
    )
    run_on_preflight: bool = option(True, "false: let CORS preflight requests pass unasked.")


class UnusableAnswerError(Exception):
    """A yes that says something else than it should."""


@attrs.frozen
class Yes:
    """What the server says of those it lets pass. `expires_at`: seconds since the epoch."""

    headers: Headers
    for_client: Headers
    consumer: str
    groups: tuple[str, ...]
    expires_at: float | None
    may_be_kept: bool


class Handler(BaseHandler):
    """Asks who decides, and refuses unless that says yes."""

    Config: ClassVar[type] = ForwardAuthConfig

    def __init__(self, config: ForwardAuthConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        problems = list(_problems(config))
        if problems:
            raise ConfigError(problems)
        copied = frozenset(name.lower() for name in config.copy_headers)
        # Credentials are told to the server that decides, and what it says replaces them.
        self.sets_headers = set_by_handlers_only(copied)
        if config.consumer_header:
            self.sets_headers |= IDENTITY_HEADER_NAMES
        self._copied = frozenset(name.encode() for name in copied)
        self._for_client = frozenset(name.lower().encode() for name in config.response_headers)
        if not self._for_client:
            self.unused_moments = frozenset(("on_response_head",))
        self._chosen = frozenset(name.lower().encode() for name in config.request_headers)
        self._consumer_header = config.consumer_header.lower().encode()
        self._groups_header = config.groups_header.lower().encode()
        self._lifetime_header = config.lifetime_header.lower().encode()
        self._tls = server_authority(config.ca)
        self._shown_url = config.url.partition("?")[0]  # queries may carry secrets
        self._kept: KeptAnswers[Yes] = KeptAnswers(_MAX_KEPT_ANSWERS)

    async def on_request(self, exchange: Exchange) -> Decision:
        """Ask, and pass what the backend is to know."""
        request = exchange.request
        if not self.config.run_on_preflight and is_preflight(request):
            return CONTINUE
        if self.config.append_target and not _can_be_appended(request.target):
            return kong_refusal(request, 400, "Bad path")
        try:
            answer = await self._answer(exchange)
        except (HttpCallError, UnusableAnswerError) as problem:
            return self._unavailable(request, str(problem))
        if isinstance(answer, Response):
            return self._refusal(exchange, answer)
        self._pass(exchange, answer)
        return CONTINUE

    def on_response_head(self, exchange: Exchange, response: ResponseHead) -> None:
        """Give the client what the server has for it: cookies beside those of the backend."""
        told: Headers | None = exchange.notes.get(self.context.name)
        if told:
            replaced = {name.lower() for name, _ in told}.difference((b"set-cookie",))
            response.headers = response.headers.without(replaced)
            response.headers.extend(told)

    # -- asking ----------------------------------------------------------------------------

    async def _answer(self, exchange: Exchange) -> Yes | Response:
        """What the server says: a yes, or how it refuses. Raises HttpCallError."""
        method = self.config.method or exchange.request.method.decode()
        url = self._url(exchange.request.target)
        headers = self._question(exchange)
        question = repr((method, url, headers)).encode() if self.config.cache_seconds else b""
        # Who is asked about again wants to know what is true by now.
        if question and not exchange.is_recheck:
            known = self._kept.get(question, time.time())
            if known is not None:
                return known
        response = await self.context.http.ask(
            method,
            url,
            headers,
            timeout_seconds=self.config.timeout_seconds,
            max_body_bytes=self.config.max_body_bytes,
            tls=self._tls,
        )
        if response.status == 101:
            raise UnusableAnswerError("it wants to switch protocols")
        if not 200 <= response.status < 300:
            self._kept.forget(question)
            return response
        yes = self._read(response.headers, time.time())
        if question:
            self._keep(question, yes)
        return yes

    def _url(self, target: bytes) -> str:
        url: str = self.config.url
        if not self.config.append_target:
            return url
        return url.rstrip("/") + quote(target, safe=_OF_TARGETS)

    def _question(self, exchange: Exchange) -> Headers:
        """The client's headers that go along, and what it wants."""
        request = exchange.request
        headers = Headers(field for field in request.headers if self._goes_along(field[0].lower()))
        scheme = b"https" if exchange.scheme in ("https", "wss") else b"http"
        host = request.headers.get(b"host") or b""
        headers.extend(
            (
                (b"X-Forwarded-Method", request.method),
                (b"X-Forwarded-Proto", scheme),
                (b"X-Forwarded-Host", host),
                (b"X-Forwarded-Uri", request.target),
                (b"X-Original-Method", request.method),
                (b"X-Original-URI", request.target),
                (b"X-Original-URL", scheme + b"://" + host + request.target),
            )
        )
        if exchange.client_address:
            address = exchange.client_address.encode()
            headers.extend(((b"X-Forwarded-For", address), (b"X-Real-IP", address)))
        return headers

    def _goes_along(self, name: bytes) -> bool:
        if name in _NEVER_ASKED_WITH or name.startswith(_NEVER_ASKED_WITH_ANY):
            return False
        if self._chosen:
            return name in self._chosen
        return not name.startswith(b"sec-websocket-")

    # -- a yes -----------------------------------------------------------------------------

    def _read(self, headers: Headers, now: float) -> Yes:
        """What a yes says. Raises UnusableAnswerError."""
        groups = self._texts(headers, self._groups_header)
        consumers = self._texts(headers, self._consumer_header)
        if len(consumers) > 1:
            raise UnusableAnswerError("it names several consumers")
        names = (name for value in groups for name in value.split(","))
        cache_control = headers.tokens(b"cache-control")
        return Yes(
            headers.only(self._copied),
            for_client := headers.only(self._for_client),
            "".join(consumers),
            tuple(group for name in names if (group := name.strip())),
            self._ends_at(headers, now),
            # What is for one response is not for those that come later.
            may_be_kept=not for_client and not {b"no-store", b"no-cache"} & {*cache_control},
        )

    def _texts(self, headers: Headers, name: bytes) -> list[str]:
        """The values of a header, as text."""
        try:
            texts = [value.decode().strip() for value in headers.get_all(name)] if name else []
        except UnicodeDecodeError as error:
            raise UnusableAnswerError(f"its {name.decode()} is no UTF-8") from error
        if not all(text.isprintable() for text in texts):
            raise UnusableAnswerError(f"its {name.decode()} has control characters")
        return texts

    def _ends_at(self, headers: Headers, now: float) -> float | None:
        told = self._lifetime_told(headers)
        limits = [seconds for seconds in (told, self.config.lifetime_seconds) if seconds]
        return now + min(limits) if limits else None

    def _lifetime_told(self, headers: Headers) -> float | None:
        """For how long it counts. `max-age=0` is about caches, and says nothing of that."""
        name = self._lifetime_header
        if name == b"cache-control":
            values = [token[8:] for token in headers.tokens(name) if token.startswith(b"max-age=")]
        else:
            values = headers.get_all(name) if name else []
        if not values:
            return None
        if len(values) > 1 or not _SECONDS.fullmatch(value := values[0].strip(b' "')):
            raise UnusableAnswerError(f"its {name.decode()} says no seconds")
        seconds = float(value)
        if not seconds and name != b"cache-control":
            raise UnusableAnswerError("it counts no more")
        return seconds

    def _keep(self, question: bytes, yes: Yes) -> None:
        if not yes.may_be_kept:
            self._kept.forget(question)
            return
        until = time.time() + self.config.cache_seconds
        self._kept.keep(question, yes, min(until, yes.expires_at or until))

    def _pass(self, exchange: Exchange, yes: Yes) -> None:
        request, identity = exchange.request, _identity(exchange.identity, yes)
        if yes.consumer and identity is not None:
            consumer = Consumer(username=yes.consumer)
            pass_as(exchange, identity, identity_headers(consumer, identity))
        exchange.identity = identity
        if yes.for_client:
            exchange.notes = {**exchange.notes, self.context.name: yes.for_client}
        headers = request.headers.without(self._copied)
        headers.extend(yes.headers)
        request.headers = headers

    # -- refusals --------------------------------------------------------------------------

    def _refusal(self, exchange: Exchange, response: Response) -> Refuse:
        """Its own words; but who is sent elsewhere must be a page."""
        is_elsewhere = 300 <= response.status < 400
        if is_elsewhere and not (is_page_request(exchange) and response.headers.has(b"location")):
            return kong_refusal(exchange.request, 401, "Unauthorized")
        headers = response.headers.without(response.headers.hop_by_hop() | _NOT_FOR_CLIENTS)
        passed = attrs.evolve(response, headers=headers.without_prefix(b"grip-"))
        return Refuse(passed, why=f"{self._shown_url} has answered {response.status}")

    def _unavailable(self, request: RequestHead, problem: str) -> Refuse:
        self.context.logger.warning("no decision", url=self._shown_url, problem=problem)
        status = self.config.unavailable_status
        return kong_refusal(request, status, "Authorization can't be checked")


def _identity(known: Identity | None, yes: Yes) -> Identity | None:
    """Who it is, by this and by what an earlier handler has found out; its end is of this alone."""
    if not yes.consumer and not yes.groups and yes.expires_at is None:
        return known
    known = known or Identity("", anonymous=True)
    return attrs.evolve(
        known,
        consumer=yes.consumer or known.consumer,
        groups=yes.groups or known.groups,
        expires_at=yes.expires_at,
        holds=None,
        is_current=None,
        anonymous=known.anonymous and not yes.consumer,
    )


def _can_be_appended(target: bytes) -> bool:
    """False for what could lead to another place of the server than the one that decides."""
    path = unquote_to_bytes(target.partition(b"?")[0]).replace(b"\\", b"/")
    # Some servers leave parameters (`..;a`) out before they look at a segment.
    segments = {segment.partition(b";")[0] for segment in path.split(b"/")}
    return path[:1] == b"/" and segments.isdisjoint((b".", b".."))


def _problems(config: ForwardAuthConfig) -> Iterator[Problem]:
    """What the types of the settings don't say."""
    if not re.fullmatch(r"https?://[^\s/?#@]+(/\S*)?", config.url):
        yield Problem("url", "must be `http://HOST:PORT/PATH` or https, without a user")
    elif config.append_target and set("?#") & set(config.url):
        yield Problem("url", "must not have a query, since `append_target` puts one behind it")
    if not _METHOD.fullmatch(config.method):
        yield Problem("method", "must be empty or a method, such as `GET`")
    if config.unavailable_status != 403 and not 500 <= config.unavailable_status < 600:
        yield Problem("unavailable_status", "must be 403, or from 500 to 599")
    for key in ("request_headers", "copy_headers", "response_headers"):
        for i, name in enumerate(getattr(config, key)):
            if not _TOKEN.fullmatch(name):
                yield Problem(f"{key}[{i}]", f"{name!r} can't be the name of a header")
    for key in ("copy_headers", "response_headers"):
        for i, name in enumerate(getattr(config, key)):
            lowered = name.lower()
            if lowered in _NOT_TO_COPY or lowered.startswith(("grip-", "sec-websocket-")):
                yield Problem(f"{key}[{i}]", f"{name} is the proxy's own")
