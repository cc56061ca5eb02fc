"""What a client is shown of a backend's answer to its upgrade request."""

from collections.abc import Iterable

from realtime_proxy.grip.websocket_extension import grip_extensions
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead
from realtime_proxy.sessions.effects import AcceptClient, RejectClient

# The proxy agrees on these with each side by itself.
_OWN = frozenset((b"sec-websocket-accept", b"sec-websocket-extensions"))
_FRAMING = frozenset((b"content-length",))


def acceptance(
    headers: Headers, hidden: Iterable[bytes], *, shows_extensions: bool
) -> AcceptClient:
    """Accept with these fields of the backend, except its own hop's and the hidden ones."""
    shown = headers.without(_OWN | _FRAMING | headers.hop_by_hop() | frozenset(hidden))
    if shows_extensions:
        shown.extend((b"Sec-WebSocket-Extensions", text) for text in grip_extensions(headers))
    return AcceptClient(shown)


def refusal(head: ResponseHead, body: bytes) -> RejectClient:
    """Refuse as the backend has: with its status, its fields and its body."""
    shown = head.headers.without(_OWN | head.headers.hop_by_hop())
    return RejectClient(ResponseHead(head.status, head.reason, shown), body)


def own_refusal(head: ResponseHead, body: bytes) -> RejectClient:
    """Refuse by ourselves. That carries no type where a WebSocket was asked for."""
    head.headers = head.headers.without((b"content-type",))
    return RejectClient(head, body, is_ours=True)
