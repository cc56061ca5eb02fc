"""What a worker does for its handlers: it calls others, and knows who is held."""

from collections.abc import Callable
from typing import Protocol

import attrs

from realtime_proxy.metrics.counters import Counters
from realtime_proxy.pipeline.decision import Renewal
from realtime_proxy.pipeline.exchange import Identity
from realtime_proxy.pipeline.http_client import HttpClient
from realtime_proxy.pipeline.key_set import KeySets
from realtime_proxy.pipeline.redis_connection import RedisConnection, RedisSettings
from realtime_proxy.pipeline.stored_consumers import StoredConsumers


class LiveConnections(Protocol):
    """The clients that are held, by who they are."""

    def revoke(self, loses: Callable[[Identity], bool]) -> int:
        """Close the connections of those whose credential counts no more; how many there were.

        Those of this worker.
        """

    async def renew(self, connection_id: str, handler: str, credential: bytes) -> Renewal:
        """Give a held connection, by its `exchange.connection_id`, a renewed credential.

        It may be held by another worker. The worker that has it asks the handler of that name whose
        the credential is (`BaseHandler.renewed`).
        """


def _no_redis(_settings: RedisSettings) -> RedisConnection:
    raise RuntimeError("there is no Redis here")


@attrs.frozen
class HandlerServices:
    """These are there while a worker serves; not where a configuration is only checked."""

    http: HttpClient
    connections: LiveConnections
    key_sets: KeySets
    stored: StoredConsumers = attrs.field(factory=StoredConsumers)
    counters: Counters = attrs.field(factory=Counters)
    redis: Callable[[RedisSettings], RedisConnection] = _no_redis
