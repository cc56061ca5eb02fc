"""A WebSocket client whose backend speaks WebSocket, too: whole messages pass, in their order.

Each side has its own closing handshake (RFC 6455 7), and what one does becomes what the other is
told. Values in, effects out; IO, and how much may be on its way, are of the serving side.
"""

from enum import Enum

from realtime_proxy.grip.control_message import Detach
from realtime_proxy.grip.websocket_extension import message_prefix
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.messages import Response, ResponseHead
from realtime_proxy.sessions.backend_message import backend_message
from realtime_proxy.sessions.effects import (
    CloseBackend,
    Control,
    Effect,
    EndBackend,
    EndClient,
    SendClose,
    SendToBackend,
)
from realtime_proxy.sessions.upgrade_answer import NOT_ACCEPTED, acceptance, own_refusal, refusal
from realtime_proxy.wire.websocket_frame import INTERNAL_ERROR, MESSAGE_TOO_BIG, Opcode


class _Side(Enum):
    """How far a side is."""

    OPENING = "the handshake is under way"
    OPEN = "open"
    TOLD = "it was sent a close; its own is awaited"
    DONE = "it has sent its close; ours waits for the other side's"
    GONE = "its connection has ended, or is to"


class WebSocketPassThrough:
    """One client and its backend. Every method returns the effects that follow."""

    __slots__ = ("_backend", "_client", "_client_close", "_end", "_prefix", "_trusted")

    def __init__(self, *, trusted: bool) -> None:
        """`trusted` leaves GRIP to the client, which is a proxy itself."""
        self._trusted = trusted
        self._prefix: bytes | None = None
        self._client = _Side.OPENING
        self._backend = _Side.OPENING
        self._client_close: tuple[int | None, str] = (None, "")
        self._end = CloseReason.BACKEND_CLOSED  # why, once the client was told to close

    @property
    def is_accepted(self) -> bool:
        """True once the backend has accepted; if it has refused, there is no client any more."""
        return self._backend is not _Side.OPENING

    @property
    def is_open(self) -> bool:
        """True while messages may be sent to the client."""
        return self._client in (_Side.OPEN, _Side.DONE)

    @property
    def has_client_closed(self) -> bool:
        """True once the client has sent its close, and waits for ours."""
        return self._client is _Side.DONE

    @property
    def is_finished(self) -> bool:
        """True once neither side has to hear anything more."""
        return self._client is _Side.GONE and self._backend is _Side.GONE

    # -- the handshake ---------------------------------------------------------------------

    def answered(self, head: ResponseHead, body: bytes = b"") -> list[Effect]:
        """The backend's answer to the upgrade request: it accepts with a 101, else refuses."""
        if head.status != 101:
            self._backend = _Side.GONE
            return [] if self._leaves() else [refusal(head, body)]
        if self._client is _Side.GONE:  # it left meanwhile
            self._backend = _Side.GONE
            return [EndBackend()]
        self._client = self._backend = _Side.OPEN
        if not self._trusted:
            self._prefix = message_prefix(head.headers)
        return [acceptance(head.headers, NOT_ACCEPTED, shows_extensions=self._trusted)]

    def unanswered(self, response: Response) -> list[Effect]:
        """No backend has answered in a way that can be used: refuse with this response."""
        self._backend = _Side.GONE
        return [] if self._leaves() else [own_refusal(response.head(), response.body)]

    def _leaves(self) -> bool:
        """The client is gone from now on; True if it was before."""
        was_gone = self._client is _Side.GONE
        self._client = _Side.GONE
        return was_gone

    # -- what the client does --------------------------------------------------------------

    def message_arrived(self, opcode: int, content: bytes) -> list[Effect]:
        """A complete message, ping or pong of the client."""
        if self._backend in (_Side.OPEN, _Side.DONE):
            return [SendToBackend(opcode, content)]
        return []  # the backend was told to close, or is gone: nobody is to hear it

    def client_closed(self, code: int | None, reason: str) -> list[Effect]:
        """The client sent a close frame."""
        if self._client is _Side.TOLD:
            self._client = _Side.GONE
            return [EndClient(self._end), *self._answer_backend(code, reason)]
        if self._client is not _Side.OPEN:
            return []
        if self._backend is not _Side.OPEN:  # detached
            self._client = _Side.GONE
            return [SendClose(code, reason), EndClient(CloseReason.CLIENT_CLOSED)]
        self._client, self._backend = _Side.DONE, _Side.TOLD
        self._client_close = (code, reason)
        return [CloseBackend(code, reason)]

    def _answer_backend(self, code: int | None, reason: str) -> list[Effect]:
        """Complete the backend's closing handshake, if it waits for that."""
        if self._backend is not _Side.DONE:
            return []
        self._backend = _Side.GONE
        return [CloseBackend(code, reason), EndBackend()]

    def client_gone(self) -> list[Effect]:
        """The client's connection is lost, or was ended without a close from it."""
        was_told = self._client is _Side.TOLD
        self._client = _Side.GONE
        if self._backend in (_Side.OPENING, _Side.GONE):
            return []
        if self._backend is _Side.TOLD and was_told:
            return []  # both were told to close: the backend may still do so by itself
        self._backend = _Side.GONE
        return [EndBackend()]

    def close(
        self, code: int | None, reason: str, end: CloseReason = CloseReason.PUBLISHED_CLOSE
    ) -> list[Effect]:
        """A published close, or one of the proxy's own: both sides are told. `end` is for logs."""
        if self._client is _Side.DONE:  # its own close has come, so nothing is awaited
            self._client = _Side.GONE
            return [SendClose(code, reason), EndClient(end)]
        if self._client is not _Side.OPEN:
            return []
        self._client, self._end = _Side.TOLD, end
        return [SendClose(code, reason), *self._tell_backend()]

    def _tell_backend(self) -> list[Effect]:
        if self._backend is not _Side.OPEN:
            return []
        self._backend = _Side.TOLD
        return [CloseBackend()]

    # -- what the backend does -------------------------------------------------------------

    def backend_message_arrived(self, opcode: Opcode, content: bytes) -> list[Effect]:
        """A complete message, ping or pong of the backend."""
        is_detached = self._client is _Side.OPEN and self._backend is not _Side.OPEN
        if is_detached or not self.is_open:
            return []
        effect = backend_message(opcode, content, self._prefix)
        if effect is None:
            return []
        if isinstance(effect, Control) and isinstance(effect.message, Detach):
            return self._tell_backend()
        return [effect]

    def backend_closed(self, code: int | None, reason: str) -> list[Effect]:
        """The backend sent a close frame."""
        if self._backend is _Side.TOLD:
            self._backend = _Side.GONE
            return [*self._answer_client(code, reason), EndBackend()]
        if self._backend is not _Side.OPEN:
            return []
        self._backend, self._client = _Side.DONE, _Side.TOLD
        return [SendClose(code, reason)]

    def _answer_client(self, code: int | None, reason: str) -> list[Effect]:
        """Complete the client's closing handshake, if it waits for that."""
        if self._client is not _Side.DONE:
            return []
        self._client = _Side.GONE
        return [SendClose(code, reason), EndClient(CloseReason.CLIENT_CLOSED)]

    def backend_gone(self) -> list[Effect]:
        """The backend's connection is lost, or it has not answered a close for too long."""
        before, self._backend = self._backend, _Side.GONE
        if before is _Side.GONE:
            return []
        if before is _Side.OPEN and self._client is _Side.OPEN:
            return [*self._fail_client(INTERNAL_ERROR, "backend gone"), EndBackend()]
        return [*self._answer_client(*self._client_close), EndBackend()]

    def backend_failed(self, code: int, reason: str) -> list[Effect]:
        """The backend broke the protocol: it is told so, and both sides end."""
        before, self._backend = self._backend, _Side.GONE
        if before is _Side.GONE:
            return []
        to_backend: list[Effect] = [CloseBackend(code, reason)] if before is _Side.OPEN else []
        told = (
            code if code == MESSAGE_TOO_BIG else INTERNAL_ERROR
        )  # else it would sound like its fault
        to_client: list[Effect] = []
        if before is _Side.OPEN or self._client is _Side.DONE:
            to_client = self._fail_client(told, f"backend: {reason}")
        return [*to_backend, EndBackend(), *to_client]

    def _fail_client(self, code: int, reason: str) -> list[Effect]:
        self._client = _Side.GONE
        return [SendClose(code, reason), EndClient(CloseReason.BACKEND_FAILED)]
