"""What a connection asks of those that it is given to while it is held."""

from typing import TYPE_CHECKING, Protocol

from realtime_proxy.model.close_reason import CloseReason

if TYPE_CHECKING:
    from realtime_proxy.serving.held_client import HeldClient


class Hold(Protocol):
    """What has a held connection.

    `reads_on` says that it will read what the client has sent later, up to its end.
    """

    @property
    def reads_on(self) -> bool:
        """True while there is something to be read."""

    @property
    def held_client(self) -> "HeldClient | None":
        """The client that is held; None if it is none for handlers."""

    def client_gone(self, reason: CloseReason) -> None:
        """The connection has ended."""

    def let_go(self) -> bool:
        """End as it should end for a client that is to come back. False if that has to wait."""


class InputHold(Hold, Protocol):
    """A hold that also takes what the client sends."""

    def input_arrived(self, data: bytes) -> None:
        """Take what the client has sent."""
