"""Key authentication as Kong does it: who has a known key is a consumer, everyone else is refused.

Keys are looked for in headers, the query and cookies. Everything happens before the backend is
asked, so that HTTP, streams, long-polls and WebSockets are treated alike, and what is set here
goes along on every request of a WebSocket-over-HTTP connection.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar
from urllib.parse import unquote_to_bytes

import attrs

from realtime_proxy.pipeline import (
    CONTINUE,
    BaseHandler,
    ConfigError,
    Decision,
    Exchange,
    HandlerContext,
    Headers,
    Identity,
    Problem,
    Refuse,
    RequestHead,
    Response,
    Secret,
    one_of,
    option,
    required,
)

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

CONSUMER_ID = b"X-Consumer-ID"
CUSTOM_ID = b"X-Consumer-Custom-ID"
USERNAME = b"X-Consumer-Username"
CREDENTIAL = b"X-Credential-Identifier"
ANONYMOUS = b"X-Anonymous-Consumer"
IDENTITY_HEADERS = frozenset(
    name.lower() for name in (CONSUMER_ID, CUSTOM_ID, USERNAME, CREDENTIAL, ANONYMOUS)
)

NO_KEY = "No API key found in request"
WRONG_KEY = "Unauthorized"
DUPLICATE_KEY = "Duplicate API key found"

JSON = b"application/json; charset=utf-8"
PLAIN_TEXT = b"text/plain; charset=utf-8"
# Byte for byte what Kong 0.3 answered, the line end included: clients compare it.
CLASSIC_BODY = b'{"message":"Invalid authentication credentials"}\n'


@attrs.frozen
class Consumer:
    """Someone with keys: `[[handler.NAME.consumers]]`."""

    username: str = option("", "Sent on as `X-Consumer-Username`.")
    custom_id: str = option("", "The site's own id, sent on as `X-Consumer-Custom-ID`.")
    id: str = option("", "Sent on as `X-Consumer-ID`.")
    keys: tuple[Secret, ...] = option((), "Keys: `env:NAME`, `file:PATH`, `base64:TEXT` or text.")

    @property
    def name(self) -> str:
        """What to call the consumer in logs and limits."""
        return self.username or self.custom_id


@attrs.frozen
class KeyAuthConfig:
    """The settings of key authentication."""

    consumers: tuple[Consumer, ...] = required("Who may pass.")
    key_names: tuple[str, ...] = option(("apikey",), "Header, argument and cookie names of a key.")
    key_in_header: bool = option(True, "Look for the key in headers.")
    key_in_query: bool = option(True, "Look for the key in the query.")
    key_in_cookie: bool = option(
        False,
        "Look for the key in cookies. Browsers send those from any site's page: pair it with a "
        "check of `Origin`.",
    )
    hide_credentials: bool = option(False, "Take the key away before the backend is asked.")
    profile: str = option(
        "modern",
        "Refusals: `modern` answers 401 as Kong 3 does, `classic` 403 as Kong 0.3 did.",
        one_of("modern", "classic"),
    )
    realm: str = option("", "`realm` of `WWW-Authenticate` (modern).")
    anonymous: str = option(
        "", "Username or id of the consumer that stands for everyone without a valid key."
    )
    run_on_preflight: bool = option(True, "false: let CORS preflight requests pass without a key.")


@attrs.frozen
class Credential:
    """A key's owner, and a name for the key that gives nothing of it away."""

    consumer: Consumer
    identifier: str


class KeyAuthError(Exception):
    """No consumer could be found for a request; the text is for the client."""


class Handler(BaseHandler):
    """Refuses requests without a known key; tells the backend and later handlers who it is."""

    Config: ClassVar[type] = KeyAuthConfig
    sets_headers = frozenset(name.decode() for name in IDENTITY_HEADERS)

    def __init__(self, config: KeyAuthConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        problems = list(_problems(config))
        if problems:
            raise ConfigError(problems)
        self.secret_names = frozenset(name.lower() for name in config.key_names)
        self._names = tuple(name.encode() for name in config.key_names)
        self._credentials = dict(_credentials(config.consumers))
        self._anonymous = _consumer_called(config.anonymous, config.consumers)

    async def on_request(self, exchange: Exchange) -> Decision:
        """Find the consumer, or refuse."""
        request = exchange.request
        if not self.config.run_on_preflight and _is_preflight(request):
            return CONTINUE
        if self._anonymous and exchange.identity and not exchange.identity.anonymous:
            return CONTINUE  # an earlier handler knows who it is; this one was only an alternative
        try:
            credential = self._credential(request)
        except KeyAuthError as error:
            if self._anonymous is None:
                self._hide_keys(request)  # whatever the request is logged with
                return self._refusal(request, str(error))
            self._pass_as(exchange, self._anonymous, None)
        else:
            self._pass_as(exchange, credential.consumer, credential.identifier)
        if self.config.hide_credentials:
            self._hide_keys(request)
        return CONTINUE

    def _credential(self, request: RequestHead) -> Credential:
        key = self._key(request)
        # Looked up by digest: how long it takes says nothing about the keys.
        credential = self._credentials.get(hashlib.sha256(key).digest())
        if credential is None:
            raise KeyAuthError(WRONG_KEY)
        return credential

    def _key(self, request: RequestHead) -> bytes:
        """The key of the first place that has one. Several in one place are not guessed among."""
        for values in self._places(request):
            if len(values) > 1:
                raise KeyAuthError(DUPLICATE_KEY)
            if values:
                if not values[0]:
                    break
                return values[0]
        raise KeyAuthError(NO_KEY)

    def _places(self, request: RequestHead) -> Iterator[list[bytes]]:
        """What each place has, in the profile's order: Kong 0.3 tried the query first."""
        config = self.config
        arguments = list(_arguments(request.target)) if config.key_in_query else []
        if config.profile == "classic":
            yield from ([v for n, v, _ in arguments if n == name] for name in self._names)
            arguments = []
        for name in self._names:
            if config.key_in_header:
                yield request.headers.get_all(name.lower())
            yield [value for argument, value, _ in arguments if argument == name]
            if config.key_in_cookie:
                yield [value for cookie, value, _ in _cookies(request.headers) if cookie == name]

    def _pass_as(self, exchange: Exchange, consumer: Consumer, credential: str | None) -> None:
        """Say who it is, to later handlers and in the headers every backend request repeats."""
        exchange.identity = Identity(consumer.name, anonymous=credential is None)
        headers = exchange.request.headers.without(IDENTITY_HEADERS)
        said = (
            (CONSUMER_ID, consumer.id),
            (CUSTOM_ID, consumer.custom_id),
            (USERNAME, consumer.username),
            (CREDENTIAL, credential),
            (ANONYMOUS, "true" if credential is None else None),
        )
        headers.extend((name, value.encode()) for name, value in said if value)
        exchange.request.headers = headers

    def _hide_keys(self, request: RequestHead) -> None:
        """Take keys away from every place in which they were looked for."""
        config = self.config
        if config.key_in_query:
            request.target = _target_without(request.target, self._names)
        if config.key_in_cookie:
            request.headers = _headers_without_cookies(request.headers, self._names)
        if config.key_in_header:
            request.headers = request.headers.without({name.lower() for name in self._names})

    def _refusal(self, request: RequestHead, message: str) -> Refuse:
        if self.config.profile == "classic":
            headers = Headers([(b"Content-Type", JSON)])
            return Refuse(Response(403, headers, CLASSIC_BODY), why=message)
        realm = self.config.realm
        challenge = f'Key realm="{realm}"' if realm else "Key"
        # The client can quote the id, and the log has it too.
        request_id = secrets.token_hex(16)
        content_type, body = _render(message, request_id, request.headers)
        headers = Headers(
            [(b"Content-Type", content_type), (b"WWW-Authenticate", challenge.encode())]
        )
        return Refuse(Response(401, headers, body), why=f"{message} (request_id {request_id})")


def _is_preflight(request: RequestHead) -> bool:
    # Only what a browser sends to ask: OPTIONS alone would open more than is meant.
    return request.method == b"OPTIONS" and request.headers.has(b"access-control-request-method")


def _arguments(target: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, value and text as written of each argument of the query."""
    query = target.partition(b"?")[2]
    for written in query.split(b"&") if query else ():
        name, _, value = written.replace(b"+", b" ").partition(b"=")
        yield unquote_to_bytes(name), unquote_to_bytes(value), written


def _target_without(target: bytes, names: tuple[bytes, ...]) -> bytes:
    """The target without the named arguments; the others keep their order and spelling."""
    arguments = list(_arguments(target))
    kept = [text for name, _, text in arguments if name not in names]
    if len(kept) == len(arguments):
        return target
    path = target.partition(b"?")[0]
    return path + b"?" + b"&".join(kept) if kept else path


def _cookies(headers: Headers) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, value and text as written of each cookie."""
    for line in headers.get_all(b"cookie"):
        for written in line.split(b";"):
            name, _, value = written.strip().partition(b"=")
            yield name.strip(), value.strip().removeprefix(b'"').removesuffix(b'"'), written


def _headers_without_cookies(headers: Headers, names: tuple[bytes, ...]) -> Headers:
    """Headers without the named cookies; untouched if there are none of them."""
    cookies = list(_cookies(headers))
    kept = [text.strip() for name, _, text in cookies if name not in names]
    if len(kept) == len(cookies):
        return headers
    return headers.replaced(b"Cookie", b"; ".join(kept)) if kept else headers.without({b"cookie"})


def _render(message: str, request_id: str, headers: Headers) -> tuple[bytes, bytes]:
    """Content type and body of a refusal, as the client accepts: JSON unless text is preferred."""
    if _quality(headers, b"text/plain") > _quality(headers, b"application/json"):
        return PLAIN_TEXT, f"{message}\nrequest_id: {request_id}\n".encode()
    body = f'{{\n  "message":"{message}",\n  "request_id":"{request_id}"\n}}'
    return JSON, body.encode()


def _quality(headers: Headers, media_type: bytes) -> float:
    """How much a media type is wanted (RFC 9110 12.5.1): the most specific range decides."""
    ranges: dict[bytes, float] = {}
    for element in headers.tokens(b"accept"):
        name, *parameters = (part.strip() for part in element.split(b";"))
        weight = next((p[2:] for p in parameters if p.startswith(b"q=")), b"1")
        ranges[name] = float(weight) if re.fullmatch(rb"[01](\.[0-9]{0,3})?", weight) else 0.0
    for name in (media_type, media_type.partition(b"/")[0] + b"/*", b"*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0


def _credentials(consumers: Iterable[Consumer]) -> Iterator[tuple[bytes, Credential]]:
    """Each key's digest and whose it is. A key is called by its place in the consumer's list."""
    for consumer in consumers:
        for number, key in enumerate(consumer.keys, start=1):
            identifier = f"{consumer.name}/{number}"
            yield hashlib.sha256(key.value).digest(), Credential(consumer, identifier)


def _consumer_called(name: str, consumers: Iterable[Consumer]) -> Consumer | None:
    return next((c for c in consumers if name and name in (c.username, c.id)), None)


def _problems(config: KeyAuthConfig) -> Iterator[Problem]:
    """What the types of the settings don't say."""
    if not (config.key_in_header or config.key_in_query or config.key_in_cookie):
        yield Problem("key_in_header", "the key must be looked for somewhere")
    if not config.key_names:
        yield Problem("key_names", "must have at least one name")
    for i, name in enumerate(config.key_names):
        if not TOKEN.fullmatch(name):
            yield Problem(f"key_names[{i}]", f"{name!r} can't be the name of a header")
    if '"' in config.realm or "\\" in config.realm or not config.realm.isprintable():
        yield Problem("realm", "must not have quotes, backslashes or control characters")
    if config.anonymous and _consumer_called(config.anonymous, config.consumers) is None:
        yield Problem("anonymous", f"no consumer has the username or id {config.anonymous!r}")
    yield from _consumer_problems(config.consumers)


def _consumer_problems(consumers: Iterable[Consumer]) -> Iterator[Problem]:
    owners: dict[Any, str] = {}
    for i, consumer in enumerate(consumers):
        where = f"consumers[{i}]"
        if not consumer.name:
            yield Problem(where, "must have a username or a custom_id")
        for field in ("username", "custom_id", "id"):
            if not getattr(consumer, field).isprintable():
                yield Problem(f"{where}.{field}", "must not have control characters")
        names = [(f, getattr(consumer, f)) for f in ("username", "custom_id", "id")]
        unique: list[tuple[str, Any]] = [
            (f"{where}.{f}", (f, value)) for f, value in names if value
        ]
        unique += [(f"{where}.keys[{j}]", key) for j, key in enumerate(consumer.keys)]
        for path, value in unique:
            if value in owners:
                yield Problem(path, f"is the same as {owners[value]}")
            owners.setdefault(value, path)
