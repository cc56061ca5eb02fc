"""One client connection: requests one after another, or a hold, or waiting for either.

A task runs only while a request is worked on. Between requests, and while held, the connection
sits with the watcher, which calls `ready`. It is one machine: what an event means depends on the
state, which nearly every method changes.
"""

import contextlib
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import partial

import structlog
import trio

from realtime_proxy.errors import ProtocolError
from realtime_proxy.metrics.presence import Presence
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.net.client_socket import ClientSocket
from realtime_proxy.net.timers import Timer
from realtime_proxy.net.watcher import HUNG_UP, LOST
from realtime_proxy.serving.answered_request import After
from realtime_proxy.serving.context import ServingContext
from realtime_proxy.serving.held_client import HeldClient
from realtime_proxy.serving.hold import Hold, InputHold
from realtime_proxy.serving.http_exchange import HttpExchange
from realtime_proxy.serving.http_repeat import RepeatedExchange, Superseded
from realtime_proxy.serving.lingering import LINGER_SECONDS, Lingering
from realtime_proxy.serving.neighbours import Neighbours
from realtime_proxy.serving.request_body import RequestBody, StoredBody
from realtime_proxy.serving.request_loop import RequestLoop
from realtime_proxy.serving.response_hold import ResponseHold
from realtime_proxy.serving.sockjs_exchange import SockJsExchange
from realtime_proxy.serving.sockjs_upgrade import SockJsUpgrade
from realtime_proxy.serving.websocket_upgrade import WebSocketUpgrade
from realtime_proxy.wire.http1_server import IncomingRequest

log = structlog.get_logger()


class _State(Enum):
    WAITING = "between two requests"
    WORKING = "a task serves a request"
    HELD = "a hold has it"
    LINGERING = "all is sent; the client's end is awaited"
    CLOSED = "closed"


class HttpConnection(RequestLoop):
    """A client's connection to a listener of ours. `peer` is its address, empty on unix sockets."""

    __slots__ = (
        "_hold",
        "_number",
        "_on_closed",
        "_state",
        "_takes_input",
        "presence",
        "route_place",
    )

    def __init__(
        self,
        context: ServingContext,
        socket: ClientSocket,
        peer: str,
        *,
        tls: bool,
        on_closed: "Callable[[HttpConnection], None]",
    ) -> None:
        super().__init__(context, socket, peer, tls=tls)
        self._on_closed = on_closed
        self._hold: Hold | None = None
        self._takes_input: InputHold | None = None
        self._state = _State.WAITING
        self._number: int | None = None
        self.presence: Presence | None = None  # while anybody asks for statistics
        self.route_place = ""  # the route that it counts for, if that is limited
        socket.owner = self
        if context.roll is not None:
            context.roll.connected(socket.number)

    @property
    def request_number(self) -> int | None:
        """The number of the HTTP request that is served or held; None if there is none."""
        return self._number if self._state in (_State.WORKING, _State.HELD) else None

    @property
    def held_client(self) -> HeldClient | None:
        """The client that is held; None while it is not, or not yet accepted."""
        return None if self._hold is None else self._hold.held_client

    @property
    def is_held(self) -> bool:
        """True if a hold has this connection, or asks for its client again."""
        return self._hold is not None

    # -- waiting ---------------------------------------------------------------------------

    def begin(self) -> None:
        """Serve what the client has sent already, which it often has; else wait for it."""
        data = self.socket.receive()
        if data is None:
            self.wait()
        elif data:
            self._start(data)
        else:
            self.close(CloseReason.CLIENT_GONE)

    def wait(self) -> None:
        """Wait for a request without a task."""
        self._state = _State.WAITING
        self._parser = None
        is_draining = self.context.drain is not None
        seconds = LINGER_SECONDS if is_draining else self.context.server.idle_timeout_seconds
        # That of the time before has stayed while a task was at work.
        timer = self._timer if isinstance(self._timer, Timer) else None
        self._timer = self.context.timers.put_off(timer, seconds, self._idle_too_long)
        self.socket.watch_arrivals()

    def leave_if_idle(self) -> None:
        """End unless a request is under way, held, or about to come."""
        if self._state is not _State.WAITING:
            return
        self._wake()  # it may have asked already
        if self._state is _State.WAITING and self._number is not None:
            self.close(CloseReason.SHUTDOWN)
        elif self._state is _State.WAITING:  # it has connected just now, to ask
            self.wait()

    def _idle_too_long(self) -> None:
        if self._state is _State.WAITING:
            self.close(CloseReason.IDLE)

    def ready(self, events: int) -> None:
        """Called by the watcher."""
        state = self._state
        if state is _State.WAITING:
            self._wake()
        elif state is _State.WORKING:
            if events & HUNG_UP and self._scope is not None and self._is_request_read:
                self._scope.cancel()
        elif state is _State.HELD:
            if self._takes_input is not None and not self.socket.overflowed:
                self._receive_for(self._takes_input)
            elif events & HUNG_UP and not self._is_read_later(events):
                self.close(self._reason_of_end())

    def look_for_input(self) -> None:
        """Take now what the client has sent, if its hold takes that."""
        if self._takes_input is not None:
            self._receive_for(self._takes_input)

    def _receive_for(self, hold: InputHold) -> None:
        data = self.socket.receive()
        if data:
            hold.input_arrived(data)
        elif data is not None:
            self.close(CloseReason.CLIENT_GONE)

    def _is_read_later(self, events: int) -> bool:
        """True if the client has only said its last, which its hold has not read yet."""
        is_lost = bool(events & LOST) or bool(self.socket.overflowed)
        return not is_lost and self._hold is not None and self._hold.reads_on

    def _wake(self) -> None:
        data = self.socket.receive()
        if data:
            self._start(data)
        elif data is not None:
            self.close(CloseReason.CLIENT_GONE)

    def _start(self, data: bytes) -> None:
        """Have a task serve what the client has sent."""
        self._leftover = data
        self._state = _State.WORKING
        self.context.crew.start(self._serve, self._cut_short)

    # -- working ---------------------------------------------------------------------------

    def cut(self, reason: CloseReason) -> None:
        """End a request that is worked on: its client gets no more of the response."""
        if self._state is _State.WORKING and self._scope is not None:
            self._cut_for = reason
            self._scope.cancel()

    def _cut_short(self) -> None:
        """The client has left while its request was worked on."""
        self.close(self._reason_of_end())

    def _serve_one(
        self, request: IncomingRequest, body: RequestBody | StoredBody
    ) -> Awaitable[After]:
        if self.context.serves_sockjs:
            return self._serve_sockjs(request, body)
        self._begun(request)
        kind = WebSocketUpgrade if request.upgrades else HttpExchange
        return kind(self, request, body).run()

    async def _serve_sockjs(
        self, request: IncomingRequest, body: RequestBody | StoredBody
    ) -> After:
        neighbours = self.context.neighbours
        if neighbours is not None and await self._is_handed_over(neighbours, request):
            return After.HELD
        self._begun(request)
        kind = SockJsUpgrade if request.upgrades else SockJsExchange
        return await kind(self, request, body).run()

    def _begun(self, request: IncomingRequest) -> None:
        """Count a request, and watch for the client's end once nobody reads."""
        counters = self.context.counters
        counters.requests += 1
        self._number = None if request.upgrades else counters.requests
        if not request.framing.has_body:
            self._request_read()

    async def _is_handed_over(self, neighbours: Neighbours, request: IncomingRequest) -> bool:
        """Give the connection to the worker that has the session of a request, if another has."""
        session = self.context.sockjs_session(request, self.peer, tls=self._tls)
        owner = neighbours.owner_of(session) if session else None
        if owner is None or self._parser is None:
            return False
        if not await neighbours.hand_over(owner, self, request, self._parser.buffer):
            await self._refuse(ProtocolError(503, "The session can't be served just now."))
        return True

    # -- held ------------------------------------------------------------------------------

    def hold(self, hold: Hold) -> None:
        """Give the connection to a hold until it calls `resume` or the client leaves."""
        self._cancel_timer()
        self._state = _State.HELD
        self._hold = hold
        if self._parser is not None:
            self._leftover, self._parser = self._parser.buffer, None
        self.socket.watch_arrivals()
        if (drain := self.context.drain) is not None:
            drain.held(self)

    def let_go(self) -> bool:
        """End a hold as its client should see it that is to come back. False if it has to wait."""
        return self._hold is None or self._hold.let_go()

    def take_input(self, hold: InputHold) -> None:
        """From now on the hold also takes what the client sends."""
        if self._hold is hold and self._takes_input is None:
            self._takes_input = hold
            self.socket.watch_input()

    def stop_input(self) -> None:
        """Leave what the client sends where it is, for now."""
        if self._takes_input is not None:
            self._takes_input = None
            self.socket.watch_arrivals()

    def resume(self, *, keep_alive: bool) -> None:
        """The hold is over and all its bytes are written: take the next request, or close."""
        self._hold = self._takes_input = None
        self._visit_over()
        if not keep_alive or self.context.drain is not None:
            self._linger()
        elif self._leftover:
            self._start(self._leftover)
        else:
            self.wait()

    def repeat(self, hold: ResponseHold, *, urgent: bool) -> None:
        """Ask the backend of a hold again, which stays until `leave_to_repeat` is called."""

        def cut_short() -> None:
            if not hold.is_answered:  # else others have the connection by now
                self._cut_short()

        self._state = _State.WORKING
        self.context.crew.start(partial(self._repeat, hold, urgent), cut_short)

    async def _repeat(self, hold: ResponseHold, urgent: bool, scope: trio.CancelScope) -> None:
        if hold.is_over:
            self.context.polls.leave(hold)
            return
        self._scope = scope
        try:
            self._request_read()
            with contextlib.suppress(Superseded):
                after = await RepeatedExchange(self, hold, urgent=urgent).run()
                if after is After.NEXT:
                    self.resume(keep_alive=True)
                else:
                    self._end(after)
        except Exception as error:  # noqa: BLE001  it is told
            self._failed(error)
        finally:
            if self._scope is scope:  # else the hold has its answer, and another task works
                self._scope = None

    def leave_to_repeat(self) -> None:
        """What the backend has said now takes the place of the hold."""
        if self.presence is not None:
            self.presence.release()
        self._hold = None

    def stop_repeat(self) -> None:
        """The hold has its answer from elsewhere."""
        self._state = _State.HELD
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.cancel()

    def take_leftover(self) -> bytes:
        """What the client sent after the request that is held."""
        leftover, self._leftover = self._leftover, b""
        return leftover

    # -- given away ------------------------------------------------------------------------

    def begin_with(self, data: bytes) -> None:
        """Serve what the client has sent before its connection was handed over."""
        self._start(data)

    def leave(self) -> None:
        """Somebody else has the client from now on."""
        self._state = _State.CLOSED
        self._cancel_timer()
        self._parser = None
        self.socket.close()
        self._on_closed(self)

    # -- the end ---------------------------------------------------------------------------

    def _linger(self) -> None:
        """Say that nothing more comes, and wait a little for the client to close."""
        self._cancel_timer()
        self._visit_over()
        self._hold = self._takes_input = None
        self._state = _State.LINGERING
        self._timer = Lingering(self.socket, self.context.timers, self._lingered)

    def _lingered(self) -> None:
        self.close(CloseReason.FINISHED)

    def finish(self) -> None:
        """A hold has sent all it had to, and the connection is to end."""
        self._linger()

    def close(self, reason: CloseReason, *, reset: bool = False) -> None:
        """Close at once. Whoever holds the connection is told."""
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        self._cancel_timer()
        if reason is CloseReason.CLIENT_TOO_SLOW:
            self.context.counters.clients_too_slow += 1
            limit = self.socket.overflowed
            log.warning("client closed", peer=self.peer, reason=reason.label, limit=limit)
        hold, self._hold, self._takes_input = self._hold, None, None
        if reset:
            self.socket.abort()
        else:
            self.socket.close()
        if hold is not None:
            hold.client_gone(reason)
        self._visit_over()
        self._on_closed(self)

    def _visit_over(self) -> None:
        """What the client came for is done."""
        if (roll := self.context.roll) is not None:
            roll.over(self.socket.number)
        presence, self.presence = self.presence, None
        if presence is not None:
            presence.end()
        if self.route_place:
            self.context.places.leave(self.route_place)
            self.route_place = ""
