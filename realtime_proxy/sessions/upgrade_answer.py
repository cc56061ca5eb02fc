"""What a client is shown of a backend's answer to its upgrade request."""

from realtime_proxy.grip.websocket_extension import grip_extensions
from realtime_proxy.model.headers import HOP_BY_HOP, Headers
from realtime_proxy.model.messages import ResponseHead
from realtime_proxy.sessions.effects import AcceptClient, RejectClient

# The proxy agrees on these with each side by itself.
_OWN = frozenset((b"sec-websocket-accept", b"sec-websocket-extensions"))
# What no client is told when it is accepted.
NOT_ACCEPTED = _OWN | HOP_BY_HOP | {b"content-length"}


def acceptance(
    headers: Headers, hidden: frozenset[bytes], *, shows_extensions: bool
) -> AcceptClient:
    """Accept with these fields of the backend, except its own hop's and the hidden ones.

    `hidden` has `NOT_ACCEPTED` among it.
    """
    shown = headers.end_to_end(hidden)
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
