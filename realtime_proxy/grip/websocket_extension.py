"""The `grip` WebSocket extension, by which a backend asks for control messages."""

from realtime_proxy.grip.header_values import parse_element, split_elements
from realtime_proxy.model.headers import Headers

DEFAULT_PREFIX = b"m:"


def message_prefix(headers: Headers) -> bytes | None:
    """What messages for the client begin with, or None if the backend doesn't speak GRIP.

    That is `Sec-WebSocket-Extensions: grip`, with `; message-prefix="P"` for a prefix other than
    `m:`; it may be empty.
    """
    for text in split_elements(headers.get_all(b"sec-websocket-extensions")):
        element = parse_element(text)
        if element is not None and element.value.lower() == b"grip":
            prefix = element.get(b"message-prefix")
            return DEFAULT_PREFIX if prefix is None else prefix
    return None


def other_extensions(headers: Headers) -> list[bytes]:
    """The extensions in a header that are not `grip`, which is all that backends are offered."""
    elements = split_elements(headers.get_all(b"sec-websocket-extensions"))
    return [text for text in elements if text.partition(b";")[0].strip().lower() != b"grip"]
