"""HTTP streams: items are appended to a response that stays open."""

from realtime_proxy.errors import FilterError, ProtocolError
from realtime_proxy.grip.filters import mismatch_without_filters
from realtime_proxy.grip.keep_alive import KeepAlive, KeepAliveMode
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.item import Action, Item
from realtime_proxy.serving.hold_order import HoldOrder
from realtime_proxy.serving.http_hold import HttpHold
from realtime_proxy.sessions.access_loss import AccessLoss
from realtime_proxy.sessions.expiry_notice import ExpiryNotice
from realtime_proxy.sessions.keep_alive import first_delay, idle_delay
from realtime_proxy.wire.encodings import WireForm
from realtime_proxy.wire.event_stream import is_event_stream, retry_field
from realtime_proxy.wire.http1_server import (
    LAST_CHUNK,
    BodyForm,
    encode_chunk,
)


class StreamHold(HttpHold):
    """An HTTP response whose body stays open: items are appended to it."""

    __slots__ = (
        "_armed_at",
        "_comments",
        "_form",
        "_has_events",
        "_keep_alive",
        "_keeps_connection",
        "_script",
    )

    kind = "stream"

    def __init__(self, order: HoldOrder, keep_alive: KeepAlive | None, form: str) -> None:
        chunked = form == BodyForm.CHUNKED
        wire_form = WireForm.CHUNK if chunked else WireForm.RAW
        super().__init__(order, WireForm.ITEM if order.script is not None else wire_form)
        self._script = order.script
        self._has_events = is_event_stream(order.headers)
        self._form = form
        self._comments: KeepAlive | None = None  # of our own, where the backend asks for nothing
        is_script = order.script is not None
        if self._has_events and not is_script and not order.headers.has(b"content-encoding"):
            self._comments = order.connection.context.comments
        self._keep_alive = keep_alive or self._comments
        self._keeps_connection = chunked and order.request.keep_alive
        self._armed_at = 0.0
        self._subscribe(order, order.positions)

    def begin(self, data: bytes) -> None:
        """Send the head and what goes with it; from here on items follow."""
        self.connection.hold(self)
        if data:
            self.writer.write(data)
        self._arm()

    def item_arrived(self, item: Item) -> None:
        """Act on an item that is not just bytes: a close, or anything within a script."""
        payload = item.http_stream
        if payload is None:
            return
        if payload.action is Action.CLOSE:
            self.end(CloseReason.PUBLISHED_CLOSE)
        elif payload.content_filters:
            self.skipped(item, mismatch_without_filters(payload.content_filters))
        elif payload.action is Action.SEND and self._append(payload.content):
            self._armed_at = self.connection.context.timers.now()
            self._count_item()

    def _append(self, content: bytes, *, is_last: bool = False) -> bool:
        """Send something as more of the body. What can't be part of a script cuts it: False."""
        self._content_sent(len(content))
        try:
            data = self._encoded(content, is_last=is_last)
        except ProtocolError as error:
            self._route.log.warning("stream failed", route=self._route.id, problem=str(error))
            self.connection.close(CloseReason.INTERNAL_ERROR)
            return False
        self.writer.write(data)
        return True

    def _content_sent(self, size: int) -> None:
        """Count what is sent to this client alone."""
        if (counts := self._counts()) is not None:
            counts.client_content_bytes_sent += size

    def _encoded(self, content: bytes, *, is_last: bool = False) -> bytes:
        """Some of the body as it is sent. Raises ProtocolError if it can't be part of a script."""
        if self._script is not None:
            content = self._script.encode(content, is_last=is_last)
        return encode_chunk(content) if self._form == BodyForm.CHUNKED else content

    def skipped(self, item: Item, error: FilterError) -> None:
        """Do without an item on which a filter failed; with `debug`, end with the reason."""
        super().skipped(item, error)
        if self._route.debug:
            self.fail(error.reason)

    def tell_expiry(self, notice: ExpiryNotice, expires_at: float, now: float) -> None:
        """Send the notice as an event; other streams can't be told."""
        if self._has_events:
            self._append(notice.event(expires_at, now, self.connection_id))

    def lose_access(self, loss: AccessLoss) -> None:
        """End the body as it should end; an event stream has a last event that says why."""
        if not self._has_events or self._append(loss.event):
            self.end(loss.reason)

    def end(self, reason: CloseReason) -> None:
        """End the body as it should end, and let the connection take the next request."""
        if self._script is not None and not self._append(b"", is_last=True):
            return
        self._release()
        if self._form == BodyForm.CHUNKED:
            self.writer.write(LAST_CHUNK)
        self._tell_closed(reason)
        self.connection.resume(keep_alive=self._keeps_connection)

    def let_go(self) -> bool:
        """End the body, of events with a time to come back. False while items are on their way."""
        if not self.may_end:
            return False
        drain = self.connection.context.drain
        last = b""
        if drain is not None and self._has_events:
            last = retry_field(drain.retry_milliseconds())
        if not last or self._append(last):
            self.end(CloseReason.SHUTDOWN)
        return True

    @property
    def has_events(self) -> bool:
        """True if the body is one of server-sent events."""
        return self._has_events

    def dismiss(self, dismissal: Dismissal) -> None:
        """End the body as it should end."""
        self.end(dismissal.reason)

    def fail(self, problem: str, *, is_cut: bool = False) -> None:
        """End the body because of a backend; if some of it is missing, so that the client can tell.

        On debug routes it is told why (grip.md G-6.4.5).
        """
        self.connection.context.counters.backend_failures += 1
        self._route.log.warning("stream failed", route=self._route.id, problem=problem)
        if self._route.debug and not self._append(f"\n\n{problem}\n".encode()):
            return
        if is_cut and not self._route.debug:
            is_plain = self._form == BodyForm.CLOSE
            self.connection.close(CloseReason.BACKEND_FAILED, reset=is_plain)
        else:
            self.end(CloseReason.BACKEND_FAILED)

    def _arm(self) -> None:
        """Set the timer for the next keep-alive, or for the longest silence allowed."""
        timers = self.connection.context.timers
        self._armed_at = timers.now()
        if self._keep_alive is not None:
            delay = first_delay(self._keep_alive.timeout_seconds)
            self._timer = timers.after(delay, self._keep_alive_due)
        elif limit := self.connection.context.server.hold_timeout_seconds:
            self._timer = timers.after(limit, self._silence_due)

    def _keep_alive_due(self) -> None:
        keep_alive = self._keep_alive
        if keep_alive is None:
            return
        timers = self.connection.context.timers
        if keep_alive.mode is KeepAliveMode.IDLE:
            silent = timers.now() - max(self._armed_at, self._last_delivery_at())
            if delay := idle_delay(keep_alive.timeout_seconds, silent):
                self._timer = timers.after(delay, self._keep_alive_due)
                return
        if (counts := self._counts()) is not None:
            counts.activity += 1
        if self._append(keep_alive.content):
            self._arm()

    def _silence_due(self) -> None:
        context = self.connection.context
        limit = context.server.hold_timeout_seconds
        left = limit - (context.timers.now() - max(self._armed_at, self._last_delivery_at()))
        if left > 0:
            self._timer = context.timers.after(left, self._silence_due)
        else:
            self.end(CloseReason.IDLE)
