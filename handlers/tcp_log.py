"""Log records as Kong's tcp-log sends them, to a collector that reads lines of JSON over TCP.

Besides the record at the end of a request there is one when a connection is held (`event` is
`open`), one for each message of a WebSocket client (`message`), and one at the end (`close`).
A background task sends them: no request waits for the collector.
"""

import contextlib
import json
import random
import ssl
import time
from collections import deque
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import attrs
import trio

from realtime_proxy.pipeline import (
    SECRET_HEADERS,
    SECRET_PARAMETERS,
    BaseHandler,
    ConfigError,
    ConnectionRecord,
    EventOutcome,
    Exchange,
    HandlerContext,
    Problem,
    Redaction,
    Secret,
    WebSocketEvent,
    above_zero,
    at_least,
    one_of,
    option,
    required,
)

MAX_RETRY_SECONDS = 30.0
MAX_BATCH_BYTES = 65_536
# So much time the collector has, when we stop, to take what waits for it.
LAST_SECONDS = 2.0
# After so long without a word, what has been dropped meanwhile is logged again.
TELL_SECONDS = 60.0
_LINE_ENDS = {"modern": b"\n", "classic": b"\r\n"}


@attrs.frozen
class TcpLogConfig:
    """The settings of the TCP log."""

    host: str = required("Host name or address of the collector.")
    port: int = required("Its port.", at_least(1))
    timeout_seconds: float = option(10.0, "Limit to connect, and to send.", above_zero)
    tls: bool = option(False, "Speak TLS.")
    tls_sni: str = option("", "Name to ask and check the certificate for. Empty: `host`.")
    tls_ca: Secret | None = option(
        None, "What to check it by: PEM text, or `file:PATH`. Without it, what the system trusts."
    )
    profile: str = option(
        "modern",
        "`modern`: as Kong 3, lines end with LF. `classic`: the fields of Kong 0.3, and CR LF.",
        one_of("modern", "classic"),
    )
    requests: bool = option(True, "Log requests that are not held, too.")
    messages: bool = option(True, "Log messages of WebSocket clients (not what is in them).")
    max_backlog_bytes: int = option(
        4_000_000, "Kept while the collector does not take records; more is dropped.", at_least(1)
    )
    hidden_parameters: tuple[str, ...] = option(
        SECRET_PARAMETERS, "Query parameters whose values are logged as `***`."
    )
    hidden_headers: tuple[str, ...] = option(
        SECRET_HEADERS, "Headers whose values are logged as `***`."
    )


class Backlog:
    """Lines that wait to be sent, bounded in bytes; what finds no room is dropped, and counted."""

    def __init__(self) -> None:
        self.lines: deque[bytes] = deque()
        self.size = 0
        self.dropped = 0
        self.dropped_untold = 0
        self._lot = trio.lowlevel.ParkingLot()

    def add(self, line: bytes, max_bytes: int) -> bool:
        """Put a line in; False if there is no room."""
        if self.size + len(line) > max_bytes:
            self.dropped += 1
            self.dropped_untold += 1
            return False
        self.lines.append(line)
        self.size += len(line)
        self._lot.unpark_all()
        return True

    async def wait(self) -> None:
        """Come back when there is something to send."""
        while not self.lines:
            await self._lot.park()

    def first(self) -> list[bytes]:
        """The lines to send next: at least one, and not much more than a batch."""
        batch, size = [], 0
        for line in self.lines:
            batch.append(line)
            size += len(line)
            if size >= MAX_BATCH_BYTES:
                break
        return batch

    def sent(self, batch: list[bytes]) -> None:
        """Forget the first lines."""
        for line in batch:
            self.lines.popleft()
            self.size -= len(line)


# By the name of the handler: a backlog outlives the instance when the configuration is read again,
# and so do connections, which are logged by the instance they were opened with.
_backlogs: dict[str, Backlog] = {}


class Handler(BaseHandler):
    """Makes the records, and sends them."""

    Config: ClassVar[type] = TcpLogConfig
    keeps_record: ClassVar[bool] = True

    def __init__(self, config: TcpLogConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        self.backlog = _backlogs.setdefault(context.name, Backlog())
        self._redaction = Redaction(
            config.hidden_parameters, config.hidden_headers, context.secret_names
        )
        self._tls = _tls_context(config) if config.tls else None
        self._told_at = -TELL_SECONDS
        self._is_out = False

    # -- moments ---------------------------------------------------------------------------

    def on_open(self, exchange: Exchange) -> None:
        """The connection is held from now on."""
        if exchange.record is None or exchange.record.holds <= 1:  # else a long-poll goes on
            self._log("open", exchange)

    def on_websocket_event(self, exchange: Exchange, event: WebSocketEvent) -> EventOutcome:
        """A message of a client."""
        if self.config.messages:
            self._log("message", exchange, type=event.type, size=len(event.content))
        return event

    def on_close(self, exchange: Exchange, reason: str) -> None:
        """The exchange has ended."""
        if _is_held(exchange) or self.config.requests:
            self._log("close", exchange, reason=reason)

    # -- records ---------------------------------------------------------------------------

    def _log(self, event: str, exchange: Exchange, **further: Any) -> None:
        record = exchange.record or ConnectionRecord(time.time())
        fields = {"event": event, **further, **self._fields(exchange, record)}
        line = json.dumps(fields, separators=(",", ":")).encode() + _LINE_ENDS[self.config.profile]
        if not self.backlog.add(line, self.config.max_backlog_bytes):
            self.context.count_dropped_records(1)

    def _fields(self, exchange: Exchange, record: ConnectionRecord) -> dict[str, Any]:
        identity = exchange.identity
        consumer = None if identity is None else identity.consumer
        fields: dict[str, Any] = {
            "request": self._request(exchange),
            "response": {
                "status": record.status,
                "headers": self._redaction.fields(record.response_headers),
                "size": record.bytes_out,
            },
            "client_ip": exchange.client_address,
            "started_at": round(record.started_at * 1000),
            "duration_ms": round((time.time() - record.started_at) * 1000),
            "messages_out": record.messages_out,
            "bytes_out": record.bytes_out,
        }
        if consumer is not None:
            fields["authenticated_entity"] = {"id": consumer}
        if _is_held(exchange):
            kind = exchange.held or "response"  # that was asked for again, and answered
            fields |= {"held": kind, "channels": list(record.channels)}
        if exchange.held == "websocket" and _is_held(exchange):
            fields |= {"messages_in": record.messages_in, "bytes_in": record.bytes_in}
            fields["close_code"] = record.close_code
        if self.config.profile == "classic":
            return fields | {"api": {"name": exchange.route_id}}
        return fields | self._modern(exchange, record, consumer)

    def _modern(
        self, exchange: Exchange, record: ConnectionRecord, consumer: str | None
    ) -> dict[str, Any]:
        proxy_ms = -1 if record.backend_seconds is None else round(record.backend_seconds * 1000)
        before = (record.asked_at or record.started_at) - record.started_at
        fields: dict[str, Any] = {
            "route": {"id": exchange.route_id, "name": exchange.route_id},
            "upstream_uri": self._redaction.url(exchange.request.target),
            "upstream_status": str(record.backend_status or ""),
            "latencies": {
                "kong": round(before * 1000),
                "proxy": proxy_ms,
                "request": round((time.time() - record.started_at) * 1000),
            },
            "tries": [{"target": record.backend}] if record.backend else [],
            "source": "upstream" if record.backend_status is not None else "exit",
        }
        return fields if consumer is None else fields | {"consumer": {"username": consumer}}

    def _request(self, exchange: Exchange) -> dict[str, Any]:
        request = exchange.request
        headers = self._redaction.fields(request.headers)
        uri = self._redaction.url(request.target)
        query = parse_qsl(uri.partition("?")[2], keep_blank_values=True)
        size = len(request.method) + len(request.target) + 14
        size += sum(len(name) + len(value) + 4 for name, value in request.headers)
        fields: dict[str, Any] = {
            "method": request.method.decode("latin-1"),
            "uri": uri,
            "url": f"{exchange.scheme}://{headers.get('host', '')}{uri}",
            "querystring": dict(query),
            "headers": headers,
            "size": size,
        }
        if self.config.profile == "classic":
            return fields | {"request_uri": fields.pop("url")}
        return fields

    # -- sending ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what waits, until cancelled; then what is left, if the collector takes it soon."""
        try:
            await self._keep_sending()
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(LAST_SECONDS):
                await self._send_last()

    async def _keep_sending(self) -> None:
        """Send what waits, on one connection for as long as that lasts."""
        pause = 1.0
        while True:
            await self.backlog.wait()
            problem: object
            try:
                with trio.fail_after(self.config.timeout_seconds):
                    stream = await self._connect()
                async with stream:
                    pause = 1.0
                    problem = await self._send_all(stream)
            except (OSError, trio.TooSlowError, trio.BrokenResourceError) as error:
                problem = error.__cause__ or error
            if not self._is_out:
                self._is_out = True
                self.context.logger.warning(
                    "log collector not reached",
                    collector=f"{self.config.host}:{self.config.port}",
                    problem=str(problem) or type(problem).__name__,
                )
            self._tell_dropped()
            await trio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  not all at once
            pause = min(2 * pause, MAX_RETRY_SECONDS)

    async def _send_last(self) -> None:
        await trio.lowlevel.checkpoint()  # requests that are cut just now have their records, too
        with contextlib.suppress(OSError, trio.BrokenResourceError):
            while self.backlog.lines:
                async with await self._connect() as stream:
                    while batch := self.backlog.first():
                        await stream.send_all(b"".join(batch))
                        self.backlog.sent(batch)

    async def _connect(self) -> trio.abc.Stream:
        tcp = await trio.open_tcp_stream(self.config.host, self.config.port)
        if self._tls is None:
            return tcp
        name = self.config.tls_sni or self.config.host
        stream = trio.SSLStream(tcp, self._tls, server_hostname=name, https_compatible=True)
        try:
            await stream.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(tcp)
            raise
        return stream

    async def _send_all(self, stream: trio.abc.Stream) -> str:
        """Send until the collector closes; why that is. Raises as streams do."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._until_closed, stream, nursery.cancel_scope)
            while True:
                await self.backlog.wait()
                batch = self.backlog.first()
                with trio.move_on_after(self.config.timeout_seconds) as limit:
                    try:
                        await stream.send_all(b"".join(batch))
                    except trio.BrokenResourceError:
                        break
                if limit.cancelled_caught:
                    break
                # If it is cut in between, all of a batch is sent again: twice rather than never.
                self.backlog.sent(batch)
                self._is_out = False
                self._tell_dropped()
            nursery.cancel_scope.cancel()
        return "the connection has ended"

    async def _until_closed(self, stream: trio.abc.Stream, scope: trio.CancelScope) -> None:
        """A write to a connection that the other side has closed would seem to succeed."""
        try:
            while await stream.receive_some(4096):
                pass
        except trio.BrokenResourceError:
            pass
        scope.cancel()

    def _tell_dropped(self) -> None:
        now = trio.current_time()
        dropped = self.backlog.dropped_untold
        if dropped and now >= self._told_at + TELL_SECONDS:
            self._told_at, self.backlog.dropped_untold = now, 0
            self.context.logger.warning(
                "log records dropped", count=dropped, in_all=self.backlog.dropped
            )


def _is_held(exchange: Exchange) -> bool:
    """False for a WebSocket that the backend refused, too."""
    return exchange.record is not None and exchange.record.opened_at is not None


def _tls_context(config: TcpLogConfig) -> ssl.SSLContext:
    if config.tls_ca is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=config.tls_ca.value.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError([Problem("tls_ca", "has no PEM certificate")]) from error
