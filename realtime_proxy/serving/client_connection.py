"""The client's end of a WebSocket, as its session has it: a connection, or SockJS in its place."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol

from realtime_proxy.channels.subscriber import Writer
from realtime_proxy.metrics.presence import Presence
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.serving.context import ServingContext
from realtime_proxy.serving.hold import Hold, InputHold

if TYPE_CHECKING:
    from realtime_proxy.serving.held_client import HeldClient


class ClientOutput(Writer, Protocol):
    """Where what is for the client goes."""

    @property
    def backlog_bytes(self) -> int:
        """How much waits for the client to take it."""

    @property
    def number(self) -> int:
        """What the roll knows it by, the descriptor or that of a session; -1 if there is none."""

    @property
    def bytes_sent(self) -> int | None:
        """How much the client has acknowledged; None if that is not known."""


class ClientConnection(Protocol):
    """What a held client needs of the connection that it is on."""

    context: ServingContext
    peer: str

    @property
    def presence(self) -> Presence | None:
        """The client, for statistics, as long as it is there and anybody asks."""

    @property
    def socket(self) -> ClientOutput:
        """Its write side."""

    @property
    def held_client(self) -> "HeldClient | None":
        """The client that is held; None while it is not."""

    @property
    def request_number(self) -> int | None:
        """The number of the HTTP request that is served or held; None if there is none."""

    def counts_as_tls(self, head: RequestHead) -> bool:
        """True if a request came over TLS, here or (if that is believed) at a proxy before us."""

    def hold(self, hold: Hold) -> None:
        """Belong to a hold until it calls `resume` or `finish`, or the client leaves."""

    def take_input(self, hold: InputHold) -> None:
        """From now on the hold also takes what the client sends."""

    def look_for_input(self) -> None:
        """Take now what the client has sent, if its hold takes that."""

    def stop_input(self) -> None:
        """Leave what the client sends where it is, for now."""

    def take_leftover(self) -> bytes:
        """What the client sent after the request that is held."""

    def resume(self, *, keep_alive: bool) -> None:
        """The hold has answered the request that it was made for."""

    def finish(self) -> None:
        """A hold has sent all it had to, and the connection is to end."""

    def close(self, reason: CloseReason) -> None:
        """Close at once. Whoever holds the connection is told."""

    def send(self, data: bytes) -> Awaitable[object]:
        """Send, and wait until the client has taken it. Raises trio.BrokenResourceError."""
