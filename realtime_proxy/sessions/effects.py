"""What a session may ask for. The serving side performs these in their order, in one dispatch."""

import attrs

from realtime_proxy.grip.control_message import ControlMessage
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead


@attrs.frozen
class CallBackend:
    """Send these events to the backend, and report its response or failure."""

    events: bytes


@attrs.frozen
class SendToBackend:
    """Send a message, ping or pong to a backend that speaks WebSocket."""

    opcode: int
    content: bytes


@attrs.frozen
class CloseBackend:
    """Send a close frame to a backend that speaks WebSocket."""

    code: int | None = None
    reason: str = ""


@attrs.frozen
class EndBackend:
    """Close the connection to a backend that speaks WebSocket."""


@attrs.frozen
class AcceptClient:
    """Send the 101 with these fields."""

    headers: Headers


@attrs.frozen
class RejectClient:
    """Answer the upgrade with this response instead of a 101."""

    head: ResponseHead
    body: bytes
    is_ours: bool = False  # no backend has given it


@attrs.frozen
class SendMessage:
    """Send a message, ping or pong to the client."""

    opcode: int
    content: bytes


@attrs.frozen
class SendClose:
    """Send a close frame to the client."""

    code: int | None
    reason: str = ""


@attrs.frozen
class Control:
    """Follow a control message of the backend."""

    message: ControlMessage


@attrs.frozen
class PollAfter:
    """Ask the backend again after so many seconds without a request."""

    seconds: int


@attrs.frozen
class EndClient:
    """Close the client's connection, for this reason."""

    reason: CloseReason


Effect = (
    CallBackend
    | SendToBackend
    | CloseBackend
    | EndBackend
    | AcceptClient
    | RejectClient
    | SendMessage
    | SendClose
    | Control
    | PollAfter
    | EndClient
)
