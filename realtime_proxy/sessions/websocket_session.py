"""What the client's side of a WebSocket asks of its session, whatever its backend speaks."""

from typing import Protocol

from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.sessions.effects import Effect


class WebSocketSession(Protocol):
    """One client's session with its backend. Every method returns the effects that follow."""

    @property
    def is_open(self) -> bool:
        """True while messages may be sent to the client."""

    @property
    def has_client_closed(self) -> bool:
        """True once the client has sent its close, and waits for ours."""

    @property
    def is_accepted(self) -> bool:
        """True once the backend has accepted."""

    def message_arrived(self, opcode: int, content: bytes) -> list[Effect]:
        """A complete message, ping or pong of the client."""

    def client_closed(self, code: int | None, reason: str) -> list[Effect]:
        """The client sent a close frame."""

    def client_gone(self) -> list[Effect]:
        """The client's connection is lost, or was ended without a close from it."""

    def close(
        self, code: int | None, reason: str, end: CloseReason = CloseReason.PUBLISHED_CLOSE
    ) -> list[Effect]:
        """A published close, or one of the proxy's own: both sides are told. `end` is for logs."""
