"""One request to the targets of a route: failover, repetition, time limits."""

from collections.abc import Callable

import attrs

from realtime_proxy.backend.connection import BackendConnection
from realtime_proxy.backend.origin import Origin
from realtime_proxy.backend.pool import Pool
from realtime_proxy.backend.response import NetworkResponse
from realtime_proxy.config.schema import Backend
from realtime_proxy.errors import BackendMisbehaved
from realtime_proxy.wire.http1_client import ResponseParser

# Methods that may be repeated without harm (RFC 9110 9.2.2).
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))


@attrs.define
class OutgoingRequest:
    """A request as bytes: its head and as much of the body as is here.

    `upload` is called once these are sent if more is to come; it then owns the write side, and
    says when all is sent by taking `owes_body` off the connection.
    `repeatable` says that it may be sent again if a kept connection turns out to be dead;
    `upgrades` that it asks for another protocol than HTTP.
    """

    method: bytes
    data: bytes
    repeatable: bool
    upload: Callable[[BackendConnection], None] | None = None
    upgrades: bool = False


class BackendCaller:
    """Sends requests to backends and waits for the heads of their responses."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @property
    def settings(self) -> Backend:
        """How backends are called, by the latest configuration."""
        return self._pool.settings

    async def call(self, origin: Origin, request: OutgoingRequest) -> NetworkResponse:
        """Send to one backend. Raises BackendUnreachable (nothing was sent) or BackendError."""
        connection = self._pool.take_idle(origin) or await self._pool.fresh(origin)
        while True:
            parser = self._parser_for(request)
            anything_came = False
            try:
                await self._send(connection, request)
                begun = None
                while begun is None:
                    received = await connection.receive()
                    if not received:
                        raise BackendMisbehaved("connection closed without a response")
                    anything_came = True
                    begun = parser.feed_head(received)
                return NetworkResponse(*begun, parser, connection, self._pool.give_back)
            except BackendMisbehaved as error:
                connection.close()
                if anything_came or not (connection.is_reused and request.repeatable):
                    raise BackendMisbehaved(
                        str(error), before_response=not anything_came
                    ) from error
            except BaseException:
                connection.close()
                raise
            connection = await self._pool.fresh(origin)

    def _parser_for(self, request: OutgoingRequest) -> ResponseParser:
        return ResponseParser(
            request.method,
            self._pool.settings.max_header_bytes,
            self._pool.known,
            upgrades=request.upgrades,
        )

    async def _send(self, connection: BackendConnection, request: OutgoingRequest) -> None:
        connection.owes_body = request.upload is not None
        connection.limit_silence(self._pool.settings.read_timeout_seconds)
        try:
            await connection.send(request.data)
        except BackendMisbehaved:
            connection.owes_body = True  # its answer may be here all the same
        if request.upload is not None:
            request.upload(connection)
