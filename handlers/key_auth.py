"""Key authentication as Kong does it: who has a known key is a consumer, everyone else is refused.

Keys are looked for in headers, the query, cookies and forms that are sent. Everything happens
before the backend is asked, so that HTTP, streams, long-polls and WebSockets are treated alike, and
what is set here goes along on every request of a WebSocket-over-HTTP connection.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import ClassVar

import attrs

from realtime_proxy.pipeline import (
    CONTINUE,
    IDENTITY_HEADER_NAMES,
    JSON,
    BaseHandler,
    ConfigError,
    Consumer,
    Consumers,
    Decision,
    Exchange,
    Form,
    HandlerContext,
    Headers,
    Identity,
    KeyOwner,
    Problem,
    Refuse,
    RequestHead,
    Response,
    Secret,
    SoleCredential,
    StoredConsumers,
    StoredKey,
    arguments,
    at_least,
    cookies,
    digest_of,
    headers_without_cookies,
    identity_headers,
    is_known,
    is_preflight,
    kong_refusal,
    nobody,
    one_of,
    option,
    pass_as,
    read_consumers,
    target_without,
)

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

NO_KEY = "No API key found in request"
WRONG_KEY = "Unauthorized"
DUPLICATE_KEY = "Duplicate API key found"
STORE_UNKNOWN = "The consumers can't be had"

# Byte for byte what Kong 0.3 answered, the line end included: clients compare it.
CLASSIC_BODY = b'{"message":"Invalid authentication credentials"}\n'

# The keys that count now, by the name of the handler: those who were let in by the instances of
# earlier configurations are held to them, too.
_live: dict[str, Mapping[bytes, KeyOwner]] = {}


@attrs.frozen
class KeyAuthConfig:
    """The settings of key authentication."""

    consumers: tuple[Consumer, ...] = option((), "Who may pass.")
    consumers_file: Secret | None = option(
        None, "`file:PATH` of a TOML file with more of them. A change counts at once."
    )
    stored: bool = option(
        False, "Consumers of the store count, too, as they are at the time (`[consumers] store`)."
    )
    key_names: tuple[str, ...] = option(("apikey",), "Header, argument and cookie names of a key.")
    key_in_header: bool = option(True, "Look for the key in headers.")
    key_in_query: bool = option(True, "Look for the key in the query.")
    key_in_cookie: bool = option(
        False,
        "Look for the key in cookies. Browsers send those from any site's page: pair it with a "
        "check of `Origin`.",
    )
    key_in_body: bool | None = option(
        None,
        "Look for the key in forms that are sent (urlencoded or multipart); never for WebSockets. "
        "Unset: with the classic profile alone.",
    )
    max_body_bytes: int = option(100_000, "A body with more bytes is not looked into.", at_least(0))
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


class KeyAuthError(Exception):
    """No consumer could be found for a request; the text is for the client."""


class StoreUnknownError(Exception):
    """Nobody can tell whose a key is."""


class Handler(BaseHandler):
    """Refuses requests without a known key; tells the backend and later handlers who it is."""

    Config: ClassVar[type] = KeyAuthConfig
    sets_headers = IDENTITY_HEADER_NAMES

    def __init__(self, config: KeyAuthConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        self._consumers = read_consumers(config.consumers, config.consumers_file)
        problems = list(_problems(config, self._consumers))
        if problems:
            raise ConfigError(problems)
        self.secret_names = frozenset(name.lower() for name in config.key_names)
        self._names = tuple(name.encode() for name in config.key_names)
        self._header_names = frozenset(name.lower() for name in self._names)
        self._header = self._names[0].lower()
        # Nearly all requests have their key there, and it is looked for there first.
        self._header_decides = config.key_in_header and config.profile == "modern"
        if self._header_decides and config.run_on_preflight and not config.hide_credentials:
            self.sole_credential = SoleCredential(config.key_names[0].lower())
        self._is_classic = config.profile == "classic"
        asked = config.key_in_body
        self._key_in_body = self._is_classic if asked is None else asked
        anonymous = self._consumers.called(config.anonymous)
        self._anonymous = None if anonymous is None else nobody(anonymous)
        self._challenge = f'Key realm="{config.realm}"' if config.realm else "Key"

        self._known = dict(self._known_keys())

    def _known_keys(self) -> Iterator[tuple[bytes, tuple[Identity, Headers]]]:
        """What is said of who has a key, by its digest: made once, as most requests have one."""
        for digest, owner in self._consumers.by_key.items():
            identity = Identity(
                owner.consumer.name,
                groups=owner.consumer.groups,
                credential=owner.identifier,
                challenge=self._challenge,
                holds=partial(_is_known_key, self.context.name, digest),
            )
            yield digest, (identity, identity_headers(owner.consumer, identity))

    async def run(self) -> None:
        """From now on these are the consumers; who is held by a key that is gone has to leave."""
        _live[self.context.name] = self._consumers.by_key
        self.context.connections.revoke(lambda identity: identity.has_lapsed)

    async def on_request(self, exchange: Exchange) -> Decision:
        """Find the consumer, or refuse."""
        request = exchange.request
        if not self.config.run_on_preflight and is_preflight(request):
            return CONTINUE
        if self._anonymous and is_known(exchange):
            return CONTINUE  # this one was only an alternative
        try:
            key = self._key_in_header(request)
            digest = digest_of(key) if key else await self._digest(exchange)
            known = self._known.get(digest) or self._of_store(digest)
        except StoreUnknownError as error:
            self._hide_keys(request)
            return kong_refusal(request, 503, str(error))
        except KeyAuthError as error:
            if self._anonymous is None:
                self._hide_keys(request)  # whatever the request is logged with
                return self._refusal(request, str(error))
            known = self._anonymous
        pass_as(exchange, *known)
        if self.config.hide_credentials:
            self._hide_keys(request)
            await self._hide_in_body(exchange)
        return CONTINUE

    def _of_store(self, digest: bytes) -> tuple[Identity, Headers]:
        """Whose key it is by the store. Raises KeyAuthError if it is nobody's."""
        stored = self.context.stored if self.config.stored else None
        found = None if stored is None else stored.of_key(digest)
        if stored is None or found is None:
            unknown = stored is not None and not stored.is_known
            raise StoreUnknownError(STORE_UNKNOWN) if unknown else KeyAuthError(WRONG_KEY)
        if found.ends_at is not None and found.ends_at <= time.time():
            raise KeyAuthError(WRONG_KEY)
        identity = Identity(
            found.consumer.name,
            expires_at=found.ends_at,
            groups=found.consumer.groups,
            credential=found.id,
            challenge=self._challenge,
            holds=partial(_is_stored_key, stored, digest),
            is_current=partial(_is_as_stored, stored, digest, found),
        )
        return identity, identity_headers(found.consumer, identity)

    # -- the key ---------------------------------------------------------------------------

    def _key_in_header(self, request: RequestHead) -> bytes:
        """A lone key in the header; empty where more has to be looked at."""
        keys = request.headers.get_all(self._header) if self._header_decides else ()
        return keys[0] if len(keys) == 1 else b""

    async def _digest(self, exchange: Exchange) -> bytes:
        """What the key of a request is known by. Raises KeyAuthError."""
        request = exchange.request
        in_query = self._in_query(request)
        if self._is_classic:
            key = _first(in_query) or await self._in_body(exchange)
            key = key or _first(self._in_head(request, []))
        else:
            key = _first(self._in_head(request, in_query)) or await self._in_body(exchange)
        if key is not None:
            return digest_of(key)
        # Who is asked about again has sent no body by now.
        noted: bytes | None = exchange.notes.get(self.context.name) if exchange.is_recheck else None
        if noted is None:
            raise KeyAuthError(NO_KEY)
        return noted

    def _in_query(self, request: RequestHead) -> list[list[bytes]]:
        """What the query has for each name."""
        if not self.config.key_in_query or b"?" not in request.target:
            return [[] for _ in self._names]
        found = list(arguments(request.target))
        return [[value for field, value, _ in found if field == name] for name in self._names]

    def _in_head(self, request: RequestHead, in_query: list[list[bytes]]) -> Iterator[list[bytes]]:
        """What each place has for each name: the header first, then the query, then cookies."""
        config = self.config
        for i, name in enumerate(self._names):
            if config.key_in_header:
                yield request.headers.get_all(name.lower())
            if in_query:
                yield in_query[i]
            if config.key_in_cookie:
                yield [value for cookie, value, _ in cookies(request.headers) if cookie == name]

    async def _in_body(self, exchange: Exchange) -> bytes | None:
        form = await self._form(exchange)
        if form is None:
            return None
        key = _first(form.values(name) for name in self._names)
        if key is not None:
            exchange.notes = {**exchange.notes, self.context.name: digest_of(key)}
        return key

    async def _form(self, exchange: Exchange) -> Form | None:
        """The form that a request has for a body, if keys are looked for there."""
        content, headers = exchange.content, exchange.request.headers
        if content is None or not self._key_in_body or not Form.is_in(headers):
            return None
        body = await content.read(self.config.max_body_bytes)
        return None if body is None else Form.of(headers, body)

    def _hide_keys(self, request: RequestHead) -> None:
        """Take keys away from every place of the head in which they were looked for."""
        config = self.config
        if config.key_in_query:
            request.target = target_without(request.target, self._names)
        if config.key_in_cookie:
            request.headers = headers_without_cookies(request.headers, self._names)
        if config.key_in_header:
            request.headers = request.headers.without(self._header_names)

    async def _hide_in_body(self, exchange: Exchange) -> None:
        form = await self._form(exchange)
        if form is not None and exchange.content is not None:
            kept = form.without(self._names)
            if kept != form.body:
                exchange.content.replace(kept)

    def _refusal(self, request: RequestHead, message: str) -> Refuse:
        if self.config.profile == "classic":
            headers = Headers([(b"Content-Type", JSON)])
            return Refuse(Response(403, headers, CLASSIC_BODY), why=message)
        return kong_refusal(request, 401, message, self._challenge)


def _first(places: Iterable[list[bytes]]) -> bytes | None:
    """The key of the first place that has one. Several in one place are not guessed among."""
    for values in places:
        if len(values) > 1:
            raise KeyAuthError(DUPLICATE_KEY)
        if values:
            if not values[0]:
                raise KeyAuthError(NO_KEY)
            return values[0]
    return None


def _is_known_key(handler: str, digest: bytes) -> bool:
    keys = _live.get(handler)
    return keys is None or digest in keys


def _is_stored_key(stored: StoredConsumers, digest: bytes) -> bool:
    return stored.of_key(digest) is not None


def _is_as_stored(stored: StoredConsumers, digest: bytes, found: StoredKey) -> bool:
    return stored.of_key(digest) is found


def _problems(config: KeyAuthConfig, consumers: Consumers) -> Iterator[Problem]:
    """What the types of the settings don't say."""
    in_head = config.key_in_header or config.key_in_query or config.key_in_cookie
    if not in_head and not config.key_in_body:
        yield Problem("key_in_header", "the key must be looked for somewhere")
    if not config.key_names:
        yield Problem("key_names", "must have at least one name")
    for i, name in enumerate(config.key_names):
        if not TOKEN.fullmatch(name):
            yield Problem(f"key_names[{i}]", f"{name!r} can't be the name of a header")
    if '"' in config.realm or "\\" in config.realm or not config.realm.isprintable():
        yield Problem("realm", "must not have quotes, backslashes or control characters")
    if config.anonymous and consumers.called(config.anonymous) is None:
        yield Problem("anonymous", f"no consumer has the username or id {config.anonymous!r}")
