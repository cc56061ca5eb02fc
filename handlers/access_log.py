"""An access log that tells of a held connection when it opens, while it lasts, and when it ends.

Records go to the program's log at level `info`, in the format of that. What is not held has one
record when it is answered. Values that are secret are written as `***`.
"""

import time
from collections.abc import Iterator
from typing import Any, ClassVar

import attrs
import trio

from realtime_proxy.pipeline import (
    SECRET_HEADERS,
    SECRET_PARAMETERS,
    BaseHandler,
    ConnectionRecord,
    Exchange,
    HandlerContext,
    Redaction,
    at_least,
    option,
)

SWEEP_SECONDS = 1.0
# Of heartbeats that are due at once, so many are written before others have their turn.
SLICE = 50

# Who is held, by the name of the handler and the connection, with the time of the next heartbeat;
# in the order of these times. Connections outlive the instance they were opened with when the
# configuration is read again.
Held = dict[int, tuple[Exchange, float]]
_held: dict[str, Held] = {}


@attrs.frozen
class AccessLogConfig:
    """The settings of the access log."""

    requests: bool = option(True, "Log requests that are not held, too.")
    heartbeat_seconds: float = option(
        300.0, "How often to log each connection that is held. 0: never.", at_least(0)
    )
    headers: tuple[str, ...] = option(("user-agent",), "Request headers to log.")
    hidden_parameters: tuple[str, ...] = option(
        SECRET_PARAMETERS, "Query parameters whose values are logged as `***`."
    )
    hidden_headers: tuple[str, ...] = option(
        SECRET_HEADERS, "Headers whose values are logged as `***`."
    )


class Handler(BaseHandler):
    """Writes the records."""

    Config: ClassVar[type] = AccessLogConfig
    keeps_record: ClassVar[bool] = True

    def __init__(self, config: AccessLogConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        self._redaction = Redaction(
            config.hidden_parameters, config.hidden_headers, context.secret_names
        )
        self._headers = frozenset(name.lower() for name in config.headers)
        self._held = _held.setdefault(context.name, {})

    def on_open(self, exchange: Exchange) -> None:
        """The connection is held from now on."""
        if _is_held_again(exchange):
            return
        self._write("connection opened", exchange)
        if self.config.heartbeat_seconds:
            self._held[id(exchange)] = exchange, trio.current_time() + self.config.heartbeat_seconds

    def on_close(self, exchange: Exchange, reason: str) -> None:
        """The exchange has ended."""
        self._held.pop(id(exchange), None)
        if _is_held(exchange):
            self._write("connection closed", exchange, reason=reason)
        elif self.config.requests:
            self._write("request answered", exchange, reason=reason)

    async def run(self) -> None:
        """Write heartbeats."""
        while True:
            await trio.sleep(SWEEP_SECONDS)
            for count, exchange in enumerate(self._due(trio.current_time()), start=1):
                self._write("connection held", exchange)
                if not count % SLICE:
                    await trio.lowlevel.checkpoint()

    def _due(self, now: float) -> Iterator[Exchange]:
        while self._held:
            key, (exchange, due_at) = next(iter(self._held.items()))
            if due_at > now:
                return
            del self._held[key]
            if not self.config.heartbeat_seconds:
                continue
            self._held[key] = exchange, now + self.config.heartbeat_seconds
            yield exchange

    # -- records ---------------------------------------------------------------------------

    def _write(self, event: str, exchange: Exchange, **further: Any) -> None:
        record = exchange.record
        fields = dict(self._of_request(exchange)) | further
        if record is not None:
            fields |= _of_connection(exchange, record)
        self.context.logger.info(event, **fields)

    def _of_request(self, exchange: Exchange) -> Iterator[tuple[str, Any]]:
        request = exchange.request
        host = request.headers.get(b"host") or b""
        url = b"%b://%b%b" % (exchange.scheme.encode(), host, request.target)
        yield "route", exchange.route_id
        if exchange.identity is not None:
            yield "consumer", exchange.identity.consumer
        yield "client", exchange.client_address
        yield "method", request.method.decode("latin-1")
        yield "uri", self._redaction.url(url)
        if _is_held(exchange):
            yield "held", exchange.held or "response"  # that was asked for again, and answered
        shown = self._redaction.fields(request.headers)
        if headers := {name: shown[name] for name in sorted(self._headers & shown.keys())}:
            yield "headers", headers


def _is_held(exchange: Exchange) -> bool:
    """False for a WebSocket that the backend refused, too."""
    return exchange.record is not None and exchange.record.opened_at is not None


def _is_held_again(exchange: Exchange) -> bool:
    """True for a long-poll that goes on after its backend was asked again."""
    return exchange.record is not None and exchange.record.holds > 1


def _of_connection(exchange: Exchange, record: ConnectionRecord) -> Iterator[tuple[str, Any]]:
    """What is known by now."""
    if record.status is not None:
        yield "status", record.status
    if record.backend:
        yield "backend", record.backend
    if _is_held(exchange):
        yield "channels", list(record.channels)
    yield "duration_seconds", round(time.time() - record.started_at, 3)
    yield from (("messages_out", record.messages_out), ("bytes_out", record.bytes_out))
    if exchange.held == "websocket" and _is_held(exchange):
        yield from (("messages_in", record.messages_in), ("bytes_in", record.bytes_in))
    if record.close_code is not None:
        yield "close_code", record.close_code
