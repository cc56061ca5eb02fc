"""What consumers' tokens are checked with: of the settings, and of the store as it is by then."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.pipeline.bearer_refusal import TokenRefused
from realtime_proxy.pipeline.consumers import Consumer, JwtCredential
from realtime_proxy.pipeline.handler import HandlerContext
from realtime_proxy.pipeline.jwt_key import BadKey, JwtKey, secret_of_base64

Found = tuple[Consumer, JwtCredential, JwtKey]

# Those that count now, by the name of the handler: who was let in by the instances of earlier
# configurations is held to them, too.
_live: dict[str, dict[str, Found]] = {}


class JwtCredentials:
    """Credentials by what tokens call them."""

    def __init__(
        self,
        consumers: Iterable[Consumer],
        context: HandlerContext,
        *,
        is_base64: bool = False,
        stored: bool = False,
    ) -> None:
        """`stored`: those of the store count, too. `is_base64` is how secrets are written.

        Raises ConfigError.
        """
        self._context = context
        self._is_base64 = is_base64
        self._stored = stored
        self._of_settings = dict(_of_settings(consumers, is_base64=is_base64))

    def take_over(self) -> None:
        """From now on these are the ones that count."""
        _live[self._context.name] = self._of_settings

    def called(self, key: str) -> Found | None:
        """Whose they are and what they are checked with. Raises TokenRefused if nothing can be."""
        known = self._of_settings.get(key)
        if known is not None or not self._stored:
            return known
        stored = self._context.stored.of_issuer(key)
        if stored is None:
            return None
        try:
            return *stored, key_of(stored[1], is_base64=self._is_base64)
        except BadKey as error:
            raise TokenRefused("Invalid key/secret") from error

    @property
    def are_known(self) -> bool:
        """False while nobody can tell what the store has."""
        return not self._stored or self._context.stored.is_known

    def still_have(self, credential: JwtCredential) -> bool:
        """False once it is gone, or has become another."""
        live = _live.get(self._context.name, self._of_settings)
        known = live.get(credential.key) or self._context.stored.of_issuer(credential.key)
        return known is not None and (known[1] is credential or known[1] == credential)

    def is_current_of(
        self, consumer: Consumer, credential: JwtCredential
    ) -> Callable[[], bool] | None:
        """What is False once the consumer or its credential has changed.

        None for those of the settings, which stay as they are.
        """
        if credential.key in self._of_settings:
            return None
        return partial(self._is_as_stored, consumer, credential)

    def _is_as_stored(self, consumer: Consumer, credential: JwtCredential) -> bool:
        stored = self._context.stored.of_issuer(credential.key)
        return stored is not None and stored[0] is consumer and stored[1] is credential


def _of_settings(consumers: Iterable[Consumer], *, is_base64: bool) -> Iterator[tuple[str, Found]]:
    for consumer in consumers:
        for i, credential in enumerate(consumer.jwt):
            try:
                key = key_of(credential, is_base64=is_base64)
            except BadKey as error:
                where = f"consumers: {consumer.name}: jwt[{i}]"
                raise ConfigError([Problem(where, str(error))]) from error
            yield credential.key, (consumer, credential, key)


def key_of(credential: JwtCredential, *, is_base64: bool) -> JwtKey:
    """What a consumer's tokens are checked with. Raises BadKey."""
    names = (credential.algorithm,)
    if credential.algorithm.startswith("HS"):
        if credential.secret is None:
            raise BadKey(f"{credential.algorithm} needs a secret")
        secret = credential.secret.value
        return JwtKey.from_secret(secret_of_base64(secret) if is_base64 else secret, names)
    if credential.public_key is None:
        raise BadKey(f"{credential.algorithm} needs a public_key")
    return JwtKey.from_pem(credential.public_key.value, names)
