"""The upgrade to WebSocket: what is a valid request, and what answers it (RFC 6455 4)."""

import base64
import hashlib
import os

from realtime_proxy.model.headers import Fields
from realtime_proxy.model.messages import RequestHead

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES = 16


def is_upgrade(headers: Fields) -> bool:
    """True if a request asks for a WebSocket, whatever the case of the word (RFC 6455 4.2.1)."""
    return b"websocket" in headers.tokens(b"upgrade")


def accept_token(head: RequestHead) -> bytes | None:
    """The Sec-WebSocket-Accept of a valid upgrade request; None if it is not valid."""
    headers = head.headers
    keys = headers.get_all(b"sec-websocket-key")
    if (
        head.method != b"GET"
        or head.version != b"1.1"
        or b"upgrade" not in headers.tokens(b"connection")
        or headers.get_all(b"sec-websocket-version") != [b"13"]
        or len(keys) != 1
    ):
        return None
    try:
        if len(base64.b64decode(keys[0], validate=True)) != _KEY_BYTES:
            return None
    except ValueError:
        return None
    return token_for(keys[0])


def new_key() -> bytes:
    """A Sec-WebSocket-Key for an upgrade request of our own."""
    return base64.b64encode(os.urandom(_KEY_BYTES))


def token_for(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that answers a key (RFC 6455 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
