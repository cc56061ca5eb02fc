"""A WebSocket client whose backend speaks HTTP: events batched into requests, answers to frames.

At most one request is under way. What the client sends meanwhile waits and goes out together in
the next one, in order. Values in, effects out; the protocol is `docs/grip.md`, WebSocket-over-HTTP.
"""

from collections.abc import Sequence
from enum import Enum

from realtime_proxy.errors import GripError
from realtime_proxy.grip.control_message import Detach
from realtime_proxy.grip.item_formats import is_close_code
from realtime_proxy.grip.websocket_events import (
    Event,
    close_content,
    decode_events,
    encode_event,
    parse_close_content,
)
from realtime_proxy.grip.websocket_extension import message_prefix
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.messages import Response, ResponseHead
from realtime_proxy.sessions.backend_message import backend_message
from realtime_proxy.sessions.effects import (
    CallBackend,
    Control,
    Effect,
    EndClient,
    PollAfter,
    SendClose,
)
from realtime_proxy.sessions.event_offer import left_of
from realtime_proxy.sessions.events_answer import poll_seconds, read_answer
from realtime_proxy.sessions.upgrade_answer import NOT_ACCEPTED, acceptance, own_refusal, refusal
from realtime_proxy.wire.websocket_frame import INTERNAL_ERROR, Opcode

# Above this much waiting content the client is not read (Pushpin's buffer).
MAX_WAITING_BYTES = 200_000
_OPCODES = {
    b"TEXT": Opcode.TEXT,
    b"BINARY": Opcode.BINARY,
    b"PING": Opcode.PING,
    b"PONG": Opcode.PONG,
}
_TYPES = {int(opcode): kind for kind, opcode in _OPCODES.items()}
_OPEN, _CLOSE, _DISCONNECT = map(encode_event, (b"OPEN", b"CLOSE", b"DISCONNECT"))
# What a waiting event counts for beside its bytes: else a flood of empty messages had no bound.
_EVENT_BYTES = 100
_NOT_FOR_CLIENT = NOT_ACCEPTED | {b"content-type", b"keep-alive-interval"}
_POLICY_VIOLATION = 1008


class _State(Enum):
    OPENING = "the backend has not accepted yet"
    OPEN = "open"
    CLIENT_CLOSED = "the client sent its close; the backend's answer is awaited"
    BACKEND_CLOSED = "the backend sent CLOSE; the client's own close is awaited"
    CLOSED_HERE = "both sides were told to close; the client's own close is awaited"
    DETACHED = "the backend is out of it; the client stays"
    ENDED = "the client is gone; the backend may still have to be told"


class WebSocketOverHttp:
    """One client's session with its backend.

    Every method returns the effects that follow.
    """

    __slots__ = (
        "_client_close",
        "_end",
        "_has_news",
        "_offer",
        "_offers_all",
        "_poll_seconds",
        "_prefix",
        "_refresh_waits",
        "_state",
        "_trusted",
        "_waiting",
        "is_accepted",
        "meta",
        "one_event",
        "replayed_bytes",
        "waiting_bytes",
    )

    def __init__(self, *, one_event: bool, trusted: bool) -> None:
        """`trusted` leaves GRIP to the client, which is a proxy itself."""
        self.one_event = one_event
        self._trusted = trusted
        self._state = _State.OPENING
        self.is_accepted = False
        self._prefix: bytes | None = None
        self._waiting: Sequence[bytes] = ()  # events, encoded
        self.waiting_bytes = 0
        self._offer: bytes | None = None  # the events of the request under way,
        self._offers_all = True  # which were all that waited
        self._has_news = False  # something waits that was never offered
        self.replayed_bytes = 0  # of the content that the next, or this, request begins with
        self._refresh_waits = False
        self._poll_seconds: int | None = None
        self._client_close: tuple[int | None, str] = (None, "")
        self._end = CloseReason.PUBLISHED_CLOSE  # why, once both sides were told to close
        # By lower-case name what `Set-Meta-*` has stored, if anything: name to send and value.
        self.meta: dict[bytes, tuple[bytes, bytes]] | None = None

    @property
    def is_open(self) -> bool:
        """True while messages may be sent to the client."""
        return self._state in (_State.OPEN, _State.CLIENT_CLOSED, _State.DETACHED)

    @property
    def has_client_closed(self) -> bool:
        """True once the client has sent its close, and waits for ours."""
        return self._state is _State.CLIENT_CLOSED

    @property
    def takes_input(self) -> bool:
        """False while so much waits for the backend that the client should not be read."""
        return self.waiting_bytes < MAX_WAITING_BYTES

    @property
    def kept_bytes(self) -> int:
        """How much is kept for the backend, under way or waiting."""
        return self.waiting_bytes + len(self._offer or b"")

    @property
    def is_taking_leave(self) -> bool:
        """True once the client is gone or told to go; its backend may still have to be told."""
        return self._state in (_State.ENDED, _State.CLOSED_HERE)

    @property
    def is_finished(self) -> bool:
        """True once neither side has to hear anything more."""
        return self._state is _State.ENDED and self._offer is None and not self._waiting

    # -- what the client does --------------------------------------------------------------

    def start(self) -> list[Effect]:
        """The client has asked for a WebSocket."""
        self._offer = b""
        return [CallBackend(_OPEN)]

    def message_arrived(self, opcode: int, content: bytes) -> list[Effect]:
        """A complete message, ping or pong of the client."""
        if self._state is not _State.OPEN:
            return []
        return self._tell(encode_event(_TYPES[opcode], content))

    def client_closed(self, code: int | None, reason: str) -> list[Effect]:
        """The client sent a close frame."""
        close = encode_event(b"CLOSE", close_content(code, reason))
        match self._state:
            case _State.OPEN:
                self._state = _State.CLIENT_CLOSED
                self._client_close = (code, reason)
                return self._tell(close)
            case _State.BACKEND_CLOSED:
                self._state = _State.ENDED
                self._wait(close)
                return [EndClient(CloseReason.BACKEND_CLOSED), *self._call()]
            case _State.CLOSED_HERE:
                self._state = _State.ENDED
                return [EndClient(self._end), *self._call()]
            case _State.DETACHED:
                self._state = _State.ENDED
                end = EndClient(CloseReason.CLIENT_CLOSED)
                return [SendClose(code, reason), end, *self._call()]
        return []

    def client_gone(self) -> list[Effect]:
        """The client's connection is lost, or was ended without a close from it."""
        tells = self._state in (_State.OPEN, _State.BACKEND_CLOSED)
        self._state = _State.ENDED
        return self._tell(_DISCONNECT) if tells else self._call()

    def close(
        self, code: int | None, reason: str, end: CloseReason = CloseReason.PUBLISHED_CLOSE
    ) -> list[Effect]:
        """A published close, or one of the proxy's own: both sides are told. `end` is for logs."""
        if not self.is_open:
            return []
        if self._state is _State.CLIENT_CLOSED:  # its own close has come, so nothing is awaited
            self._state = _State.ENDED
            return [SendClose(code, reason), EndClient(end), *self._call()]
        if self._state is _State.OPEN:
            self._wait(_CLOSE)
        self._state, self._end = _State.CLOSED_HERE, end
        return [SendClose(code, reason), *self._call()]

    # -- what the backend does -------------------------------------------------------------

    def poll_due(self) -> list[Effect]:
        """The interval set by the backend has passed without a request."""
        if self._offer is not None or self._state in (_State.ENDED, _State.DETACHED):
            return []
        return self._offer_waiting() if self.is_accepted else self.start()

    def refresh(self) -> list[Effect]:
        """The backend wants to be asked without any event: now, or after the request under way."""
        if self._state is not _State.OPEN:
            return []
        if self._offer is not None:
            self._refresh_waits = True
            return []
        return self._offer_waiting()

    def response_arrived(self, head: ResponseHead, body: bytes) -> list[Effect]:
        """The backend's whole answer to the last request.

        Raises GripError if it makes no sense: as good as none (`backend_failed`).
        """
        offer, self._offer = self._offer or b"", None
        if self.is_finished and self.is_accepted:
            return []  # there is nobody left whom anything of it could concern (W-6.5)
        has_events, accepted, settings = head.headers.remember(read_answer)
        if head.status != 200 or not has_events:
            return self._refused(head, body)
        if settings:
            self._store(settings)
        events = decode_events(body)
        self.replayed_bytes = 0
        if accepted is not None:
            self._keep_back(offer, accepted)
        if self.is_accepted:
            return self._go_on(self._follow(events))
        return self._opened(head, events)

    def backend_failed(self, response: Response, reason: str = "backend failed") -> list[Effect]:
        """No usable answer: this refusal before the client was accepted, after it a close frame."""
        self._offer = None
        if self.is_accepted:
            return self._lost(INTERNAL_ERROR, reason)
        if self._state is _State.ENDED:
            return []
        self._state = _State.ENDED
        return [own_refusal(response.head(), response.body)]

    def _lost(self, code: int, reason: str) -> list[Effect]:
        """The backend can't go on with a client that it had accepted."""
        self.replayed_bytes = 0
        if self._state in (_State.ENDED, _State.CLOSED_HERE, _State.DETACHED):
            return self._call()  # the client is done with this backend, which is only told the end
        was_told = self._state is _State.BACKEND_CLOSED
        self._state = _State.ENDED
        self.drop_waiting()
        end = EndClient(CloseReason.BACKEND_FAILED)
        return [end] if was_told else [SendClose(code, reason), end]

    def _refused(self, head: ResponseHead, body: bytes) -> list[Effect]:
        if self.is_accepted:
            code = _POLICY_VIOLATION if 400 <= head.status < 500 else INTERNAL_ERROR
            return self._lost(code, f"backend answered {head.status}")
        if self._state is _State.ENDED:
            return []
        self._state = _State.ENDED
        return [refusal(head, body)]

    def _opened(self, head: ResponseHead, events: list[Event]) -> list[Effect]:
        if not events and self._poll_seconds is not None:
            return [PollAfter(self._poll_seconds)]
        if not events or events[0].type != b"OPEN":
            raise GripError("the answer to OPEN does not begin with OPEN")
        self.is_accepted = True
        if self._state is _State.ENDED:  # the client left meanwhile: the backend has to know
            return self._tell(_DISCONNECT)
        self._state = _State.OPEN
        if not self._trusted:
            self._prefix = message_prefix(head.headers)
        shown = head.headers.without_prefix(b"set-meta-")
        accepts = acceptance(shown, _NOT_FOR_CLIENT, shows_extensions=self._trusted)
        return [accepts, *self._go_on(self._follow(events[1:]))]

    def _follow(self, events: list[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if self._state not in (_State.OPEN, _State.CLIENT_CLOSED):
                break
            if event.type in _OPCODES:
                effects += self._message(event)
            elif event.type == b"CLOSE":
                return effects + self._backend_closed(event)
            else:  # DISCONNECT, or an OPEN where there is nothing to open
                self._state = _State.ENDED
                self.drop_waiting()
                return [*effects, EndClient(CloseReason.BACKEND_CLOSED)]
        return effects

    def _message(self, event: Event) -> list[Effect]:
        effect = backend_message(_OPCODES[event.type], event.content or b"", self._prefix)
        if effect is None:
            return []
        if not isinstance(effect, Control) or not isinstance(effect.message, Detach):
            return [effect]
        if self._state is _State.OPEN:
            self._state = _State.DETACHED
            self._wait(_CLOSE)
        return []

    def _backend_closed(self, event: Event) -> list[Effect]:
        try:
            code, reason = parse_close_content(event.content)
        except GripError:
            code, reason = None, ""
        close = SendClose(code if code and is_close_code(code) else None, reason)
        unsaid = self._waiting[-1:] if self._has_news else ()
        self.drop_waiting()
        if self._state is _State.CLIENT_CLOSED:
            self._state = _State.ENDED
            for its_own in unsaid:  # both have closed at once: its close is the answer to this one
                self._wait(its_own)
            return [close, EndClient(CloseReason.CLIENT_CLOSED)]
        if self._state is _State.OPEN:
            self._state = _State.BACKEND_CLOSED
            return [close]
        return []

    def _go_on(self, effects: list[Effect]) -> list[Effect]:
        """After an answer: what waits goes out; else the close is completed, or the poll set."""
        if calls := self._call():
            return effects + calls
        if self._refresh_waits:
            self._refresh_waits = False
            if self._state is _State.OPEN:
                return effects + self.refresh()
        if self._state is _State.CLIENT_CLOSED and self._poll_seconds is None:
            self._state = _State.ENDED
            self.drop_waiting()
            end = EndClient(CloseReason.CLIENT_CLOSED)
            return [*effects, SendClose(*self._client_close), end]
        if self._poll_seconds is not None and self._state is not _State.ENDED:
            return [*effects, PollAfter(self._poll_seconds)]
        return effects

    def _store(self, settings: Sequence[tuple[bytes, bytes]]) -> None:
        for name, value in settings:
            lowered = name.lower()
            if lowered.startswith(b"set-meta-"):
                meta, key = self.meta or {}, lowered[9:]
                if value:
                    self.meta = meta | {key: (name[9:], value)}
                else:
                    self.meta = {each: meta[each] for each in meta if each != key}
            else:
                self._poll_seconds = poll_seconds(value)

    # -- the queue towards the backend -------------------------------------------------------

    def _wait(self, event: bytes) -> None:
        if isinstance(self._waiting, list):
            self._waiting.append(event)
        else:
            self._waiting = [event]
        self.waiting_bytes += len(event) + _EVENT_BYTES
        self._has_news = True

    def _tell(self, event: bytes) -> list[Effect]:
        """Have an event sent: now, if nothing else is."""
        if self._offer is not None or self._waiting or not self.is_accepted:
            self._wait(event)
            return self._call()
        self._offer, self._offers_all = event, True
        return [CallBackend(event)]

    def drop_waiting(self) -> None:
        """Forget what waits for the backend."""
        self._waiting = ()
        self.waiting_bytes = self.replayed_bytes = 0
        self._has_news = False

    def _call(self) -> list[Effect]:
        if self._offer is not None or not self._has_news or not self.is_accepted:
            return []
        return self._offer_waiting()

    def _offer_waiting(self) -> list[Effect]:
        """Send what waits, what was offered before included; nothing may be in flight."""
        waiting = self._waiting
        if self.one_event and waiting:
            self._offer, self._waiting = waiting[0], waiting[1:] or ()
            self.waiting_bytes -= len(self._offer) + _EVENT_BYTES
        else:
            self._offer, self._waiting = b"".join(waiting), ()
            self.waiting_bytes = 0
        self._offers_all, self._has_news = not self._waiting, bool(self._waiting)
        return [CallBackend(self._offer)]

    def _keep_back(self, offer: bytes, count: int) -> None:
        """Keep of what was offered what the backend does not accept, for the next request.

        Raises GripError if it accepts what it was not offered.
        """
        kept, size = left_of(offer, count)
        if kept and not count and not self._offers_all:
            raise GripError("nothing is accepted, and more waits than a request may have")
        if self._state is not _State.ENDED:
            self._waiting = [*kept, *self._waiting]
            self.waiting_bytes += sum(len(event) + _EVENT_BYTES for event in kept)
            self.replayed_bytes = size
