"""Identity providers whose tokens are taken, and the keys that these are checked with."""

import attrs

from realtime_proxy.config.checks import above_zero, one_of
from realtime_proxy.config.option import option, required
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.pipeline.jwt_key import ALGORITHMS, BadKey, JwtKey
from realtime_proxy.pipeline.key_set import KeySet, KeySource
from realtime_proxy.pipeline.secret import Secret


@attrs.frozen
class Issuer:
    """An identity provider whose tokens are taken: `[[handler.NAME.issuers]]`."""

    issuer: str = required("What the tokens have as `iss`, to the letter.")
    audience: tuple[str, ...] = required("One of these must be in `aud`; `*`: whatever is.")
    algorithms: tuple[str, ...] = option(
        ("RS256",), "What the tokens may be signed with.", one_of(*ALGORITHMS)
    )
    secret: Secret | None = option(None, "Key of HS256, HS384 or HS512.")
    public_key: Secret | None = option(
        None, "PEM text of a public key or certificate, or `file:PATH`."
    )
    jwks: Secret | None = option(None, "A key set as JSON, or `file:PATH`.")
    jwks_url: str = option(
        "", "Where its key set is. Without this and other keys: where its OpenID configuration says"
    )
    jwks_refresh_seconds: float = option(600.0, "Fetch the key set so often.", above_zero)
    jwks_retry_seconds: float = option(
        10.0, "For a token of an unknown key fetch it at most so often.", above_zero
    )
    jwks_timeout_seconds: float = option(5.0, "Limit to fetch it.", above_zero)
    jwks_ca: Secret | None = option(None, "What to check its server by: PEM text, or `file:PATH`.")
    consumer_claim: str = option("sub", "The claim that names the user.")


class IssuerKeys:
    """What its tokens are checked with: keys of the settings, or where it publishes them."""

    def __init__(self, settings: Issuer, index: int) -> None:
        self.settings = settings
        self.key_set: KeySet | None = None
        self.source: KeySource | None = None
        given = [name for name in ("secret", "public_key", "jwks") if getattr(settings, name)]
        where = f"issuers[{index}]"
        if len(given) > 1 or (given and settings.jwks_url):
            raise ConfigError([Problem(where, "give one of secret, public_key, jwks, jwks_url")])
        if not settings.audience:
            problem = Problem(f"{where}.audience", 'must have at least one; `["*"]` takes all')
            raise ConfigError([problem])
        if not given:
            self.source = _source(settings)
            if not self.source.url.startswith(("https://", "http://")):
                raise ConfigError([Problem(f"{where}.jwks_url", "must be an http or https URL")])
            return
        [name] = given
        try:
            self.key_set = _static_keys(name, getattr(settings, name).value, settings.algorithms)
        except BadKey as error:
            raise ConfigError([Problem(f"{where}.{name}", str(error))]) from error


def _static_keys(kind: str, value: bytes, algorithms: tuple[str, ...]) -> KeySet:
    if kind == "jwks":
        return KeySet.parse(value, algorithms)
    make = JwtKey.from_secret if kind == "secret" else JwtKey.from_pem
    return KeySet((make(value, algorithms),))


def _source(settings: Issuer) -> KeySource:
    configuration = settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
    return KeySource(
        settings.jwks_url or configuration,
        settings.algorithms,
        discovers=not settings.jwks_url,
        refresh_seconds=settings.jwks_refresh_seconds,
        retry_seconds=settings.jwks_retry_seconds,
        timeout_seconds=settings.jwks_timeout_seconds,
        ca=settings.jwks_ca.value.decode(errors="replace") if settings.jwks_ca else "",
    )


def issuer_keys(issuers: tuple[Issuer, ...]) -> dict[str, IssuerKeys]:
    """The keys of each, by `iss`. Raises ConfigError, with key paths below `issuers`."""
    found: dict[str, IssuerKeys] = {}
    for i, issuer in enumerate(issuers):
        if issuer.issuer in found:
            raise ConfigError([Problem(f"issuers[{i}].issuer", "is the same as that of another")])
        found[issuer.issuer] = IssuerKeys(issuer, i)
    return found
