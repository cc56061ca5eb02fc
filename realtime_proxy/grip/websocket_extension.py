"""The `grip` WebSocket extension, by which a backend asks for control messages."""

from collections.abc import Iterator
from functools import lru_cache

from realtime_proxy.grip.header_values import parse_element, split_elements
from realtime_proxy.model.headers import Headers

DEFAULT_PREFIX = b"m:"
# Backends say the same to all of their clients.
_KNOWN_VALUES = 16


def message_prefix(headers: Headers) -> bytes | None:
    """What messages for the client begin with, or None if the backend doesn't speak GRIP.

    That is `Sec-WebSocket-Extensions: grip`, with `; message-prefix="P"` for a prefix other than
    `m:`; it may be empty.
    """
    values = headers.get_all(b"sec-websocket-extensions")
    return _prefix(*values) if values else None


@lru_cache(_KNOWN_VALUES)
def _prefix(*values: bytes) -> bytes | None:
    for text in split_elements(values):
        element = parse_element(text)
        if element is not None and element.value.lower() == b"grip":
            prefix = element.get(b"message-prefix")
            return DEFAULT_PREFIX if prefix is None else prefix
    return None


def grip_extensions(headers: Headers) -> list[bytes]:
    """The `grip` extensions in a header, as they are written there."""
    return [text for text in _extensions(headers) if _is_grip(text)]


def other_extensions(headers: Headers) -> list[bytes]:
    """The extensions in a header that are not `grip`."""
    return [text for text in _extensions(headers) if not _is_grip(text)]


def _extensions(headers: Headers) -> Iterator[bytes]:
    return split_elements(headers.get_all(b"sec-websocket-extensions"))


def _is_grip(text: bytes) -> bool:
    return text.partition(b";")[0].strip().lower() == b"grip"
