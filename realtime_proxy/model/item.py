"""One published message, decoded and checked (`docs/grip.md`, publish items).

`content_filters` of a payload is what its publisher counts on the subscription to have: None
says nothing, an empty tuple says that there are none.

These are msgspec structs and not attrs classes: thousands are made in a second, and they go
between processes as they are.
"""

from enum import Enum
from typing import Any, Protocol

import msgspec

from realtime_proxy.model.headers import Headers


class Action(Enum):
    """What an item asks a receiver to do."""

    SEND = "send"
    HINT = "hint"
    CLOSE = "close"
    REFRESH = "refresh"


class MessageType(Enum):
    """The kinds of WebSocket message an item may carry."""

    TEXT = "text"
    BINARY = "binary"
    PING = "ping"
    PONG = "pong"


class HttpResponse(msgspec.Struct, frozen=True):
    """Payload for response holds. `body_patch` (RFC 6902) stands instead of `body` if not None."""

    action: Action = Action.SEND
    status: int = 200
    reason: bytes = b""
    headers: Headers = msgspec.field(default_factory=Headers)
    body: bytes = b""
    body_patch: list[Any] | None = None
    content_filters: tuple[str, ...] | None = None


class HttpStream(msgspec.Struct, frozen=True, gc=False):
    """Payload for stream holds."""

    action: Action = Action.SEND
    content: bytes = b""
    content_filters: tuple[str, ...] | None = None


class WebSocketMessage(msgspec.Struct, frozen=True, gc=False):
    """Payload for WebSockets; `close_code` and `close_reason` go with the close action."""

    action: Action = Action.SEND
    type: MessageType = MessageType.TEXT
    content: bytes = b""
    close_code: int | None = None
    close_reason: str = ""
    content_filters: tuple[str, ...] | None = None


class Item(msgspec.Struct, frozen=True):
    """One message for one channel. A receiver sees only the payload of its own kind."""

    channel: str
    id: str | None = None
    prev_id: str | None = None
    http_response: HttpResponse | None = None
    http_stream: HttpStream | None = None
    ws_message: WebSocketMessage | None = None
    meta: dict[str, str] = msgspec.field(default_factory=dict)
    size: int | None = None
    no_seq: bool = False

    def item(self) -> "Item":
        """Itself."""
        return self

    def without_content(self) -> "Item":
        """What those may know of it that it is not for: that it was there, between others."""
        return Item(self.channel, self.id, self.prev_id, no_seq=self.no_seq)


class Publication(Protocol):
    """What was published: correct, but perhaps read no further than to know whom it concerns."""

    @property
    def channel(self) -> str:
        """The channel of the item."""

    @property
    def id(self) -> str | None:
        """The item's id; None or empty if it has none."""

    def item(self) -> Item:
        """The item itself."""
