"""A WebSocket client whose backend speaks HTTP: its events go out in requests.

A task runs only while a request to the backend is under way.
"""

import structlog
import trio

from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.net.timers import Timer
from realtime_proxy.serving.websocket_backend import WebSocketBackend
from realtime_proxy.serving.websocket_connection import WebSocketConnection
from realtime_proxy.serving.websocket_opening import WebSocketOpening
from realtime_proxy.sessions.effects import CallBackend, Effect, PollAfter
from realtime_proxy.sessions.websocket_over_http import WebSocketOverHttp
from realtime_proxy.wire.websocket_frame import TRY_AGAIN_LATER

# While a client owes so much reading, its backend is not asked for more (W-2.18).
MAX_UNREAD_BYTES = 200_000

log = structlog.get_logger()


class OverHttpConnection(WebSocketConnection):
    """One WebSocket, and the requests to its backend."""

    __slots__ = (
        "_awaits_refresh",
        "_kept_bytes",
        "_next_call",
        "_poll_timer",
        "_working",
    )

    _backend: WebSocketBackend
    _session: WebSocketOverHttp

    def __init__(self, opening: WebSocketOpening) -> None:
        super().__init__(opening)
        self._backend = WebSocketBackend(opening)
        self._session = WebSocketOverHttp(
            one_event=self._backend.target.one_event,
            trusted=opening.trusted or not opening.route.grip,
        )
        self._poll_timer: Timer | None = None
        self._next_call: bytes | None = None
        self._working = True
        self._awaits_refresh = False
        self._kept_bytes = 0  # of events, for which it has room

    async def begin(self) -> None:
        """Ask the backend whether it accepts, and go on with what follows from its answer."""
        self._take_connection()
        self._perform(self._session.start())
        await self._work()

    @property
    def _takes_input(self) -> bool:
        return self._session.takes_input

    def _serve_backend(self, effect: Effect) -> None:
        if isinstance(effect, CallBackend):
            self._call_soon(effect.events)
        elif isinstance(effect, PollAfter):
            self._poll_after(effect.seconds)

    # -- what is kept for the backend --------------------------------------------------------

    def _keep(self) -> None:
        """Count what its backend has yet to take. If there is no room, the client is closed."""
        retained, size = self.connection.context.retained, 0
        if self._working or not self._is_released:
            size = self._session.kept_bytes
        if size == self._kept_bytes:
            return
        if size < self._kept_bytes:
            retained.give_back(self._kept_bytes - size)
        elif not retained.take(size - self._kept_bytes):
            self._find_no_room()
            return
        self._kept_bytes = size

    def _find_no_room(self) -> None:
        if self._is_released:
            return
        self._route.log.warning(
            "websocket closed", route=self._route.id, limit="server.max_retained_body_bytes"
        )
        self._session.drop_waiting()
        self._give_up(TRY_AGAIN_LATER, "too much waits for the backend", CloseReason.REFUSED)

    def _pause_unless_ready(self) -> None:
        self._keep()
        super()._pause_unless_ready()

    def _read_on(self) -> None:
        self._keep()
        if not self._is_read:
            super()._read_on()

    def _release(self, reason: CloseReason) -> bool:
        is_first = super()._release(reason)
        if self._kept_bytes:
            self._keep()
        return is_first

    def _stop_timers(self) -> None:
        super()._stop_timers()
        if self._poll_timer is not None:
            self._poll_timer.cancel()

    def update(self) -> None:
        """Send an empty request: what the backend has to say comes with its answer."""
        if not self._awaits_refresh and not self._is_released:
            self._awaits_refresh = True
            self.connection.context.crew.start(self._refresh)

    async def _refresh(self, _scope: trio.CancelScope) -> None:
        # All WebSockets of a channel may have to ask. They wait for their turns outside of their
        # sessions, so that what clients send meanwhile need not wait behind this.
        recoveries = self.connection.context.recoveries
        async with recoveries.turn(self._backend.target.label, urgent=True):
            self._awaits_refresh = False
            self._perform(self._session.refresh())

    def _poll_after(self, seconds: int) -> None:
        self._poll_timer = self.connection.context.timers.after(seconds, self._poll)

    def _poll(self) -> None:
        self._perform(self._session.poll_due())

    def _call_soon(self, events: bytes) -> None:
        self._next_call = events
        if self._poll_timer is not None:
            self._poll_timer.cancel()
            self._poll_timer = None
        if self._working:
            return
        context = self.connection.context
        if self._is_released:
            self._working = context.farewells.say(self._take_leave)
        elif self._session.is_taking_leave:
            self._working = context.farewells.say(self._work)
        else:
            self._working = True
            context.crew.start(self._work)

    async def _work(self, _scope: trio.CancelScope | None = None) -> None:
        """Send requests one after another, for as long as there is something to send."""
        try:
            while (events := self._next_call) is not None:
                self._next_call = None
                was_open = self._session.is_accepted
                if self.connection.socket.backlog_bytes > MAX_UNREAD_BYTES:
                    await self._client_reads()
                effects = await self._backend.ask(self._session, events)
                await self._follow(effects)
                self._note_channels()
                if not was_open and self._session.is_accepted:
                    self._tell_opened()
                self._read_on()
        except Exception:
            log.exception("websocket session failed", peer=self.connection.peer)
            self.connection.close(CloseReason.INTERNAL_ERROR)
        finally:
            self._working = False
            if self._kept_bytes:
                self._keep()

    async def _take_leave(self) -> None:
        """As `_work` for a client that is gone: there is nobody to perform anything for."""
        try:
            while (events := self._next_call) is not None:
                self._next_call = None
                if effects := await self._backend.ask(self._session, events):
                    self._perform(effects)
        except Exception:
            log.exception("websocket session failed", peer=self.connection.peer)
        finally:
            self._working = False
            if self._kept_bytes:
                self._keep()
