"""Who may use an API, as Kong knows them: consumers with credentials and groups."""

import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import attrs

from realtime_proxy.config.checks import one_of
from realtime_proxy.config.option import option, required
from realtime_proxy.config.structure import structure
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.model.headers import Headers
from realtime_proxy.pipeline.exchange import Exchange, Identity
from realtime_proxy.pipeline.jwt_key import ALGORITHMS
from realtime_proxy.pipeline.secret import Secret

CONSUMER_ID = b"X-Consumer-ID"
CUSTOM_ID = b"X-Consumer-Custom-ID"
USERNAME = b"X-Consumer-Username"
CREDENTIAL = b"X-Credential-Identifier"
ANONYMOUS = b"X-Anonymous-Consumer"
IDENTITY_HEADERS = frozenset(
    name.lower() for name in (CONSUMER_ID, CUSTOM_ID, USERNAME, CREDENTIAL, ANONYMOUS)
)
_SIZES = frozenset(map(len, IDENTITY_HEADERS))  # most names have another one
# As `sets_headers` of those who say who it is.
IDENTITY_HEADER_NAMES = frozenset(name.decode() for name in IDENTITY_HEADERS)


@attrs.frozen
class JwtCredential:
    """What a consumer's tokens are checked with: `[[….consumers.jwt]]`."""

    key: str = required("What the tokens have as `iss`.")
    secret: Secret | None = option(
        None, "For HS256, HS384 and HS512: `env:NAME`, `file:PATH`, `base64:TEXT` or text."
    )
    public_key: Secret | None = option(
        None, "For all others: PEM text of a public key or certificate, or `file:PATH`."
    )
    algorithm: str = option("HS256", "What the tokens are signed with.", one_of(*ALGORITHMS))


@attrs.frozen
class Consumer:
    """Someone with credentials: `[[handler.NAME.consumers]]`."""

    username: str = option("", "Sent on as `X-Consumer-Username`.")
    custom_id: str = option("", "The site's own id, sent on as `X-Consumer-Custom-ID`.")
    id: str = option("", "Sent on as `X-Consumer-ID`.")
    groups: tuple[str, ...] = option((), "Groups, for the handler `acl`.")
    keys: tuple[Secret, ...] = option((), "Keys: `env:NAME`, `file:PATH`, `base64:TEXT` or text.")
    jwt: tuple[JwtCredential, ...] = option((), "What its tokens are checked with.")
    certificates: tuple[str, ...] = option(
        (),
        "Its certificates, for `mutual_tls`: `fingerprint:…`, `subject:…`, `DNS:…`, `email:…`, "
        "`URI:…`, `IP:…` or `CN:…`.",
    )

    @property
    def name(self) -> str:
        """What to call the consumer in logs and limits."""
        return self.username or self.custom_id


@attrs.frozen
class KeyOwner:
    """A key's owner, and a name for the key that gives nothing of it away."""

    consumer: Consumer
    identifier: str


@attrs.frozen
class _File:
    """What a file of consumers has."""

    consumers: tuple[Consumer, ...] = option((), "Consumers.")


class Consumers:
    """Consumers by what requests show of them, and by name."""

    def __init__(self, consumers: Iterable[Consumer]) -> None:
        self.all = tuple(consumers)
        # By their digests: how long it takes to look for one says nothing about the keys.
        self.by_key: Mapping[bytes, KeyOwner] = dict(_keys(self.all))
        self._by_issuer = {jwt.key: (one, jwt) for one in self.all for jwt in one.jwt}

    def of_issuer(self, key: str) -> tuple[Consumer, JwtCredential] | None:
        """Whose tokens have this `iss`."""
        return self._by_issuer.get(key)

    def called(self, name: str) -> Consumer | None:
        """The consumer of a username or an id."""
        return next((one for one in self.all if name and name in (one.username, one.id)), None)


def digest_of(key: bytes) -> bytes:
    """What keys are known by."""
    return blake2b(key).digest()  # SHA-256 goes through OpenSSL, which takes thrice as long


def _keys(consumers: Iterable[Consumer]) -> Iterator[tuple[bytes, KeyOwner]]:
    """Each key's digest and whose it is. A key is called by its place in the consumer's list."""
    for consumer in consumers:
        for number, key in enumerate(consumer.keys, start=1):
            yield digest_of(key.value), KeyOwner(consumer, f"{consumer.name}/{number}")


def read_consumers(listed: tuple[Consumer, ...], file: Secret | None) -> Consumers:
    """Those of a handler's settings: `consumers`, and the text of `consumers_file`.

    Raises ConfigError with all that is wrong with them.
    """
    further: tuple[Consumer, ...] = ()
    if file is not None:
        further = _read_file(file.value)
    everyone = [(f"consumers[{i}]", one) for i, one in enumerate(listed)]
    everyone += [(f"consumers_file: consumers[{i}]", one) for i, one in enumerate(further)]
    problems = list(_problems(everyone))
    if problems:
        raise ConfigError(problems)
    return Consumers(one for _, one in everyone)


def _read_file(text: bytes) -> tuple[Consumer, ...]:
    try:
        document = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([Problem("consumers_file", f"is no TOML: {error}")]) from error
    try:
        return structure(document, _File, "", passing=True).consumers
    except ConfigError as error:
        raise ConfigError(
            [Problem(f"consumers_file: {p.key_path}", p.message) for p in error.problems]
        ) from error


def _problems(consumers: Collection[tuple[str, Consumer]]) -> Iterator[Problem]:
    owners: dict[Any, str] = {}
    for where, consumer in consumers:
        if not consumer.name:
            yield Problem(where, "must have a username or a custom_id")
        for field in ("username", "custom_id", "id"):
            if not getattr(consumer, field).isprintable():
                yield Problem(f"{where}.{field}", "must not have control characters")
        for i, group in enumerate(consumer.groups):
            if not group.isprintable() or "," in group:
                yield Problem(f"{where}.groups[{i}]", "must not have commas or control characters")
        for path, value in _unique(where, consumer):
            if value in owners:
                yield Problem(path, f"is the same as {owners[value]}")
            owners.setdefault(value, path)


def _unique(where: str, consumer: Consumer) -> Iterator[tuple[str, Any]]:
    """What only one consumer may have."""
    for field in ("username", "custom_id", "id"):
        if value := getattr(consumer, field):
            yield f"{where}.{field}", (field, value)
    for i, key in enumerate(consumer.keys):
        yield f"{where}.keys[{i}]", key
    for i, jwt in enumerate(consumer.jwt):
        yield f"{where}.jwt[{i}].key", ("jwt", jwt.key)


def identity_headers(consumer: Consumer, identity: Identity) -> Headers:
    """What backends are told of a consumer; made once for all of its requests."""
    said = (
        (CONSUMER_ID, consumer.id),
        (CUSTOM_ID, consumer.custom_id),
        (USERNAME, consumer.username),
        (CREDENTIAL, identity.credential),
        (ANONYMOUS, "true" if identity.anonymous else ""),
    )
    return Headers((name, value.encode()) for name, value in said if value)


def pass_as(exchange: Exchange, identity: Identity, headers: Headers) -> None:
    """Say who it is, to later handlers and in the headers every backend request repeats."""
    exchange.identity = identity
    request = exchange.request
    told = request.headers
    for name, _ in told:  # hardly any request has one of them
        if len(name) in _SIZES and name.lower() in IDENTITY_HEADERS:
            told = told.without(IDENTITY_HEADERS)
            break
    request.headers = Headers((*told, *headers))


def nobody(consumer: Consumer) -> tuple[Identity, Headers]:
    """The consumer that stands for everyone unknown: for `pass_as`."""
    identity = Identity(consumer.name, anonymous=True, groups=consumer.groups)
    return identity, identity_headers(consumer, identity)


def is_known(exchange: Exchange) -> bool:
    """True if an earlier handler knows who it is, so that an alternative one has nothing to do."""
    return exchange.identity is not None and not exchange.identity.anonymous
