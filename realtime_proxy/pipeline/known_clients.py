"""Clients that are known by their credentials, so that handlers are not asked about them again."""

import itertools
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import blake2b
from typing import Self

import attrs

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.shared_headers import SharedHeaders
from realtime_proxy.pipeline.consumers import IDENTITY_HEADER_NAMES
from realtime_proxy.pipeline.exchange import Exchange, Identity
from realtime_proxy.pipeline.handler import BaseHandler
from realtime_proxy.wire.http1_rules import known

_WEBSOCKET = ("ws", "wss")


@attrs.frozen(eq=False)
class KnownClient:
    """What came of some credentials: who it is, by the handler `found_by`, and what backends get.

    It ends at `ends_at`, and before that as soon as one of `counts` says no.
    """

    identity: Identity
    credentials: Mapping[str, Identity]
    found_by: str
    told: SharedHeaders
    ends_at: float | None
    counts: tuple[Callable[[], bool], ...]

    @classmethod
    def of(cls, before: Exchange, after: Exchange, found_by: str) -> Self | None:
        """What handlers have made of an exchange; None if that is more than can be remembered."""
        identity, came = after.identity, before.request
        told = Headers(after.request.headers[len(came.headers) :])
        request = attrs.evolve(came, headers=Headers((*came.headers, *told)))
        credentials = after.credentials
        made = attrs.evolve(before, request=request, identity=identity, credentials=credentials)
        if identity is None or made != after:
            return None
        each = tuple(credentials.values()) or (identity,)
        if any(one.anonymous for one in each):  # who is unknown may be known by the next time
            return None
        checks = (check for one in each for check in (one.holds, one.is_current))
        counts = tuple(check for check in checks if check is not None)
        return cls(identity, credentials, found_by, known(told), identity.expires_at, counts)

    def fields_of(self, headers: Headers) -> SharedHeaders:
        """The fields of a request of this client, with those that backends are told."""
        return headers.remember_latest(_with_told, self)


def _with_told(headers: Headers, client: KnownClient) -> SharedHeaders:
    return SharedHeaders.of(headers).plus(client.told)


class KnownClients:
    """What the first `handlers` of a chain have said of clients, by a digest of their credentials.

    These are handlers that decide by a `sole_credential`. What they say is remembered if it is no
    more than who it is and fields that are added, for as long as all of the credentials count.
    """

    __slots__ = (
        "_arguments",
        "_headers",
        "_kept",
        "_most",
        "_names",
        "_own_fields",
        "_sizes",
        "handlers",
    )

    def __init__(self, handlers: Iterable[BaseHandler], own_fields: Collection[str]) -> None:
        """`own_fields`: those (lower case) that requests have by handlers alone.

        If a client may send one that handlers would take away, there is nobody to be known.
        """
        deciding = (*itertools.takewhile(lambda one: one.sole_credential is not None, handlers),)
        taken_away = {name.lower() for one in deciding for name in one.sets_headers}
        is_sure = (IDENTITY_HEADER_NAMES | taken_away).issubset(own_fields)
        self.handlers = deciding if is_sure else ()
        each = [one.sole_credential for one in self.handlers if one.sole_credential is not None]
        self._headers = tuple(dict.fromkeys(one.header.encode() for one in each if one.header))
        self._names = frozenset(self._headers)
        self._sizes = frozenset(map(len, self._headers))  # most names have another one
        self._arguments = tuple(name.encode() for one in each for name in one.arguments)
        self._own_fields = frozenset(name.encode() for name in own_fields)
        self._most = min((one.most for one in each), default=0)
        self._kept: dict[bytes, KnownClient] = {}
        if not self._headers or not self._most:
            self.handlers = ()

    def __len__(self) -> int:
        return len(self._kept)

    def shown(self, exchange: Exchange) -> bytes | None:
        """A digest of the credentials of a request; None where more than those decides."""
        request = exchange.request
        if (
            exchange.scheme in _WEBSOCKET
            or exchange.is_recheck
            or exchange.identity is not None
            or (b"?" in request.target and self._may_be_in_query(request.target))
        ):
            return None
        return request.headers.remember(self._digest)

    def _digest(self, headers: Headers) -> bytes | None:
        """A digest of the credentials among some fields; None unless each is there just once.

        Nobody should find credentials here. How long it takes to look for a digest says nothing
        about those that are kept, as nobody can choose one that begins like another.
        """
        sizes, names = self._sizes, self._names
        found: dict[bytes, bytes] = {}
        for field, value in headers:
            if len(field) in sizes and (name := field.lower()) in names:
                if name in found or b"\0" in value:  # what is joined must read in one way only
                    return None
                found[name] = value
        if len(found) != len(names):
            return None
        return blake2b(b"\0".join(map(found.__getitem__, self._headers))).digest()

    def _may_be_in_query(self, target: bytes) -> bool:
        """False if no argument can be one of those that count, however it is written."""
        if not self._arguments:
            return False
        return b"%" in target or b"+" in target or any(name in target for name in self._arguments)

    def admit(self, shown: bytes, exchange: Exchange) -> KnownClient | None:
        """Make of an exchange what handlers would, if its client is known and still counts."""
        client = self._kept.get(shown)
        if client is None:
            return None
        if client.ends_at is not None and client.ends_at <= time.time():
            del self._kept[shown]
            return None
        for counts in client.counts:
            if not counts():
                del self._kept[shown]
                return None
        exchange.identity, exchange.credentials = client.identity, client.credentials
        exchange.request.headers = client.fields_of(exchange.request.headers)
        return client

    def keep(self, shown: bytes, client: KnownClient) -> None:
        """Remember a client; the oldest one has to make room."""
        if not self._own_fields.issuperset(name.lower() for name, _ in client.told):
            return
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[shown] = client
