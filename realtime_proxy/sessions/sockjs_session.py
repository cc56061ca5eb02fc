"""A session of SockJS over HTTP: what waits for its client, and who may fetch that.

The client has one request open at a time, its receiver, to which frames go; what comes while there
is none waits. Values in, frames out: sending them, and the clock, are of the serving side.
"""

from enum import Enum

from realtime_proxy.sessions import sockjs_frames

# A receiver that hears nothing for so long gets a heartbeat; a session without one has ended.
HEARTBEAT_SECONDS = 25.0
DISCONNECT_SECONDS = 5.0

ANOTHER_IS_OPEN = sockjs_frames.close(2010, "Another connection still open")
# A backend that closes without a code, as Pushpin tells it.
_NO_CODE = 0
_NO_REASON = "Connection closed"
# What a message takes besides its content, or a flood of empty ones would have no bound.
_MESSAGE_BYTES = 50


class _State(Enum):
    OPENING = "the backend has not accepted yet"
    OPENED = "accepted, and the client has to be told"
    OPEN = "open, or closed, which whoever asks is told"
    GONE = "over"


class SockJsSession:
    """One client's session. Frames are taken one by one, for as long as there is a receiver."""

    __slots__ = (
        "_close",
        "_state",
        "_waiting",
        "has_receiver",
        "is_overflowed",
        "waiting_bytes",
    )

    def __init__(self) -> None:
        self.is_overflowed = False
        self._state = _State.OPENING
        self._waiting: list[str] = []
        self.waiting_bytes = 0
        self._close = ""
        self.has_receiver = False

    @property
    def is_accepted(self) -> bool:
        """True once the backend has accepted, and until the session is over."""
        return self._state not in (_State.OPENING, _State.GONE)

    @property
    def is_closed(self) -> bool:
        """True once the client has been, or is to be, told of the end."""
        return bool(self._close) and not self.is_over

    @property
    def is_over(self) -> bool:
        """True once there is nothing to be told any more."""
        return self._state is _State.GONE

    # -- what the backend does -------------------------------------------------------------

    def accepted(self) -> None:
        """The backend has accepted."""
        if self._state is _State.OPENING:
            self._state = _State.OPENED

    def message(self, content: bytes) -> None:
        """A message for the client; binary ones are read as text, too."""
        if self.is_overflowed or self._close or not self.is_accepted:
            return
        literal = sockjs_frames.quoted(content.decode(errors="replace"))
        self._waiting.append(literal)
        self.waiting_bytes += len(literal) + _MESSAGE_BYTES

    def close(self, code: int | None, reason: str) -> None:
        """The end, for a reason that the client is told once it has all that waits."""
        if self.is_accepted and not self._close:
            told = (_NO_CODE, reason or _NO_REASON) if code is None else (code, reason)
            self._close = sockjs_frames.close(*told)

    def overflow(self) -> None:
        """Too much waits: it is dropped, and nothing more is kept."""
        self.is_overflowed = True
        self._drop_waiting()

    def end(self) -> None:
        """Nothing is to be told any more."""
        self._state = _State.GONE
        self._drop_waiting()

    def _drop_waiting(self) -> None:
        self._waiting, self.waiting_bytes = [], 0

    # -- what the client does --------------------------------------------------------------

    def take(self) -> str | None:
        """The next frame, which counts as told; None if there is nothing to tell.

        The close is told to everyone who asks.
        """
        if self._state is _State.OPENED:
            self._state = _State.OPEN
            return sockjs_frames.OPEN
        if self._waiting:
            frame = sockjs_frames.messages(self._waiting)
            self._drop_waiting()
            return frame
        return self._close if self.is_closed and not self.is_overflowed else None

    # -- time ------------------------------------------------------------------------------

    @property
    def patience_seconds(self) -> float | None:
        """How long nothing may happen until `due`; None: as long as the backend takes."""
        if not self.has_receiver:
            return DISCONNECT_SECONDS
        return HEARTBEAT_SECONDS if self.is_accepted else None

    def due(self) -> str | None:
        """Nothing has happened for that long: what to tell the receiver; None: it is the end."""
        return sockjs_frames.HEARTBEAT if self.has_receiver else None
