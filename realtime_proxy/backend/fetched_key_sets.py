"""Key sets of issuers: fetched once for all who wait, kept while they are fetched anew."""

import ssl
from collections.abc import Callable

import attrs
import structlog
import trio

from realtime_proxy.grip.json_text import NotJsonError, decode_json
from realtime_proxy.pipeline.http_client import HttpCallError, HttpClient
from realtime_proxy.pipeline.jwt_key import BadKey
from realtime_proxy.pipeline.jwt_token import JwtToken
from realtime_proxy.pipeline.key_set import KeySet, KeySource, KeysUnavailable

log = structlog.get_logger()


@attrs.define(eq=False)
class _Known:
    """What is known of one source. `tried_at` is when it was last asked, well or not."""

    key_set: KeySet | None = None
    tried_at: float | None = None
    fetched_at: float | None = None
    problem: str = ""
    fetching: trio.Event | None = None
    tls: ssl.SSLContext | None = None


class FetchedKeySets:
    """What handlers know as `pipeline.KeySets`."""

    def __init__(self, http: HttpClient, clock: Callable[[], float] = trio.current_time) -> None:
        self._http = http
        self._clock = clock
        self._known: dict[KeySource, _Known] = {}

    def at_hand(self, source: KeySource) -> KeySet | None:
        """What is known of it without asking, however old."""
        known = self._known.get(source)
        return None if known is None else known.key_set

    async def for_token(self, source: KeySource, token: JwtToken) -> KeySet:
        """The key set to check a token by. Raises KeysUnavailable."""
        known = self._known.setdefault(source, _Known())
        while known.key_set is None or not known.key_set.knows(token):
            if known.fetching is not None:
                await known.fetching.wait()
            elif self._may_try(source, known):
                await self._fetch(source, known)
            else:
                break
        if known.key_set is None:
            raise KeysUnavailable(known.problem)
        return known.key_set

    async def keep_fresh(self, source: KeySource) -> None:
        """Fetch it again and again."""
        known = self._known.setdefault(source, _Known())
        while True:
            if self._is_due(source, known):
                await self._fetch(source, known)
            await trio.sleep(max(0.1, self._seconds_left(source, known)))

    def _may_try(self, source: KeySource, known: _Known) -> bool:
        return known.tried_at is None or self._clock() - known.tried_at >= source.retry_seconds

    def _is_due(self, source: KeySource, known: _Known) -> bool:
        return known.fetching is None and self._seconds_left(source, known) <= 0

    def _seconds_left(self, source: KeySource, known: _Known) -> float:
        """Until it is to be fetched anew: soon, if it could not be fetched the last time."""
        if known.tried_at is None:
            return 0.0
        has_failed = known.fetched_at is None or known.fetched_at < known.tried_at
        pause = source.retry_seconds if has_failed else source.refresh_seconds
        return known.tried_at + pause - self._clock()

    async def _fetch(self, source: KeySource, known: _Known) -> None:
        """Fetch it, and tell those who wait; a failure leaves what was known before."""
        before, known.tried_at = known.tried_at, self._clock()
        known.fetching = trio.Event()
        try:
            known.key_set = await self._fetched(source, known)
            known.fetched_at, known.problem = known.tried_at, ""
        except (HttpCallError, BadKey) as error:
            known.problem = str(error)
            log.warning("keys not fetched", url=source.url, problem=known.problem)
        except trio.Cancelled:
            known.tried_at = before  # whoever wanted it has left: that was no try
            raise
        finally:
            known.fetching.set()
            known.fetching = None

    async def _fetched(self, source: KeySource, known: _Known) -> KeySet:
        url = source.url
        if source.discovers:
            url = _address_of_keys(await self._body(url, source, known))
            if source.url.startswith("https:") and not url.startswith("https:"):
                raise BadKey("the address of the keys is not https, as that of the issuer is")
        return KeySet.parse(await self._body(url, source, known), source.algorithms)

    async def _body(self, url: str, source: KeySource, known: _Known) -> bytes:
        if source.ca and known.tls is None:
            known.tls = ssl.create_default_context(cadata=source.ca)
        response = await self._http.ask(
            "GET", url, timeout_seconds=source.timeout_seconds, tls=known.tls
        )
        if response.status != 200:
            raise HttpCallError(f"{url.partition('?')[0]}: status {response.status}")
        return response.body


def _address_of_keys(document: bytes) -> str:
    try:
        value = decode_json(document)
    except NotJsonError as error:
        raise BadKey("the OpenID configuration is no JSON") from error
    address = value.get("jwks_uri") if isinstance(value, dict) else None
    if not isinstance(address, str):
        raise BadKey("the OpenID configuration has no `jwks_uri`")
    return address
