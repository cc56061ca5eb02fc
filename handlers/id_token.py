"""Tokens of our own for backends: who the client is, signed, with the keys for everybody to check.

It stands behind a handler that finds out who that is. Each request to the backend has a token that
counts for a while, those for WebSocket messages and links too, however long ago the client came.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import attrs

from realtime_proxy.pipeline import (
    CONTINUE,
    Answer,
    BadKey,
    BaseHandler,
    ConfigError,
    Decision,
    Exchange,
    HandlerContext,
    Headers,
    IdentityTemplate,
    JwtSigner,
    Problem,
    RequestHead,
    Response,
    Secret,
    TokenMint,
    above_zero,
    backend_header,
    one_of,
    option,
    required,
    set_by_handlers_only,
    signers_of,
)

_BEARER = "authorization"
_OF_THE_HANDLER = frozenset(("iss", "sub", "aud", "exp", "iat", "nbf", "jti"))
# So long others may keep the keys; a new one should be there as long before it signs.
_KEYS_COUNT_SECONDS = 300
# The type of RFC 7517 8.5 is not known to all who read key sets; this one they all send.
_KEY_SET_FIELDS = (
    (b"Content-Type", b"application/json"),
    (b"Cache-Control", b"public, max-age=%d" % _KEYS_COUNT_SECONDS),
)

# What signs now, by the name of the handler: connections keep the instances that they began with,
# but a key that was taken away must sign for none of them.
_live: dict[str, TokenMint] = {}


@attrs.frozen
class TokenKey:
    """A key: `[[handler.NAME.keys]]`."""

    key: Secret = required(
        "PEM text of a private key, or `file:PATH`. Of a public one or a certificate: it is only "
        "published."
    )
    kid: str = option("", "Its name, in tokens and the key set. Empty: its thumbprint (RFC 7638).")
    algorithm: str = option(
        "",
        "What it signs with. Empty: `RS256`, `EdDSA`, or that of its curve. HS256, HS384, HS512: "
        "`key` is a secret, and is not published.",
        one_of(
            *("", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
            *("ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"),
        ),
    )


@attrs.frozen
class IdTokenConfig:
    """The settings of `id_token`."""

    issuer: str = required("`iss` of the tokens: `https://api.example.com/`.")
    keys: tuple[TokenKey, ...] = option((), "Keys; the first private one signs.")
    jwks: Secret | None = option(None, "The same as a key set: JSON, or `file:PATH`.")
    ttl_seconds: float = option(60.0, "How long a token counts.", above_zero)
    subject: str = option("{consumer}", "`sub`: a template, as those of `identity_headers`.")
    audience: tuple[str, ...] = option((), "`aud`. Empty: tokens have none.")
    claims: Mapping[str, str] = option(
        {}, 'Further claims and templates: `{ email = "{claims.identity.traits.email}" }`.'
    )
    header_name: str = option(
        "Authorization",
        "The header that has it: `Authorization` behind `Bearer`, any other alone.",
        backend_header,
    )
    jwks_path: str = option(
        "/.well-known/jwks.json", "Path at which the public keys are. Empty: they are nowhere."
    )


class Handler(BaseHandler):
    """Gives backends a token of ours, and never one of the client's in its place."""

    Config: ClassVar[type] = IdTokenConfig

    def __init__(self, config: IdTokenConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        problems: list[Problem] = []
        self._templates = dict(_templates(config, problems))
        if not config.issuer:
            problems.append(Problem("issuer", "is empty"))
        if config.jwks_path and not config.jwks_path.startswith("/"):
            problems.append(Problem("jwks_path", "must begin with /"))
        if problems:
            raise ConfigError(problems)
        self._own_mint = _mint(config)
        self._jwks_path = config.jwks_path.encode()
        name = config.header_name.lower()
        self.sets_headers = set_by_handlers_only((name,))
        self.secret_names = frozenset((name,))
        self._header = config.header_name.encode()
        self._header_names = frozenset((name.encode(),))
        self._scheme = b"Bearer " if name == _BEARER else b""
        self._constant: dict[str, Any] = {"iss": config.issuer}
        if config.audience:
            one, *more = config.audience
            self._constant["aud"] = [one, *more] if more else one

    @property
    def _mint(self) -> TokenMint:
        return _live.get(self.context.name, self._own_mint)

    async def run(self) -> None:
        """From now on these keys sign, for those who are connected, too."""
        _live[self.context.name] = self._own_mint

    async def on_request(self, exchange: Exchange) -> Decision:
        """Answer who wants the keys; take away what the client has in place of a token."""
        request = exchange.request
        is_http = exchange.scheme in ("http", "https")
        if is_http and request.path == self._jwks_path and request.method in (b"GET", b"HEAD"):
            return Answer(Response(200, Headers(_KEY_SET_FIELDS), self._mint.key_set))
        request.headers = request.headers.without(self._header_names)
        return CONTINUE

    def on_backend_request(self, exchange: Exchange, request: RequestHead) -> None:
        """Say who it is, if that is known."""
        headers = request.headers.without(self._header_names)
        token = self._token(exchange)
        if token is not None:
            headers.append((self._header, self._scheme + token))
        request.headers = headers

    def _token(self, exchange: Exchange) -> bytes | None:
        identity = exchange.identity
        subject = self._templates["sub"].text(exchange) if identity is not None else None
        if identity is None or subject is None:
            return None
        claims: dict[str, Any] = {**self._constant, "sub": subject}
        for name, template in self._templates.items():
            if name not in claims and (value := template.value(exchange)) is not None:
                claims[name] = value
        return self._mint.token(claims, self.config.ttl_seconds, identity.expires_at, time.time())


def _templates(
    config: IdTokenConfig, problems: list[Problem]
) -> Iterator[tuple[str, IdentityTemplate]]:
    """All, by their claims."""
    written = [("sub", "subject", config.subject)]
    for name, text in config.claims.items():
        if name in _OF_THE_HANDLER:
            message = "is said by the handler; see `issuer`, `subject`, `audience`, `ttl_seconds`"
            problems.append(Problem(f"claims.{name}", message))
        else:
            written.append((name, f"claims.{name}", text))
    for name, where, text in written:
        try:
            yield name, IdentityTemplate.parse(text)
        except ConfigError as error:
            problems += [Problem(where, problem.message) for problem in error.problems]


def _mint(config: IdTokenConfig) -> TokenMint:
    """Raises ConfigError."""
    if bool(config.keys) == (config.jwks is not None):
        raise ConfigError([Problem("keys", "give these or `jwks`")])
    try:
        signers = signers_of(config.jwks.value) if config.jwks else tuple(_signers(config.keys))
        return TokenMint(signers)
    except BadKey as error:
        raise ConfigError([Problem("jwks" if config.jwks else "keys", str(error))]) from error


def _signers(keys: tuple[TokenKey, ...]) -> Iterator[JwtSigner]:
    for i, one in enumerate(keys):
        try:
            if one.algorithm.startswith("HS"):
                yield JwtSigner.from_secret(one.key.value, one.kid, one.algorithm)
            else:
                yield JwtSigner.from_pem(one.key.value, one.kid, one.algorithm)
        except BadKey as error:
            raise ConfigError([Problem(f"keys[{i}].key", str(error))]) from error
