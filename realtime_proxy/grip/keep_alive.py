"""`Grip-Keep-Alive`: what to send to a silent stream, and when."""

import re
from enum import Enum

import attrs

from realtime_proxy.errors import GripError
from realtime_proxy.grip.header_values import Element, parse_element, timeout_of
from realtime_proxy.grip.lenient import lenient_base64

DEFAULT_SECONDS = 55
MIN_SECONDS = 1

_ESCAPE = re.compile(rb"\\(?:([\\rn])|x([0-9A-Fa-f]{2}))?")
_SHORT = {b"\\": b"\\", b"r": b"\r", b"n": b"\n"}


class KeepAliveMode(Enum):
    """Idle: after so much silence. Interval: every so often, whatever else is sent."""

    IDLE = "idle"
    INTERVAL = "interval"


@attrs.frozen
class KeepAlive:
    """Bytes to send to a held stream every so many seconds; `content` is never empty."""

    content: bytes
    timeout_seconds: int = DEFAULT_SECONDS
    mode: KeepAliveMode = KeepAliveMode.IDLE


def parse_keep_alive(value: bytes) -> KeepAlive:
    """The keep-alive of one `Grip-Keep-Alive` line, which commas don't divide.

    Raises GripError for anything that the documentation of the header doesn't have.
    """
    element = parse_element(value)
    if element is None or not element.value:
        raise GripError("Grip-Keep-Alive cannot be empty")
    mode = _mode(element)
    timeout_seconds = max(timeout_of(element, "Grip-Keep-Alive", DEFAULT_SECONDS), MIN_SECONDS)
    return KeepAlive(_content(element), timeout_seconds, mode)


def _mode(element: Element) -> KeepAliveMode:
    mode = element.get(b"mode")
    if mode is None:
        return KeepAliveMode.IDLE
    try:
        return KeepAliveMode(mode.decode(errors="replace"))
    except ValueError as error:
        name = mode.decode(errors="replace")
        raise GripError(f"no such Grip-Keep-Alive mode '{name}'") from error


def _content(element: Element) -> bytes:
    text, form = element.value, element.get(b"format") or b"raw"
    if form == b"raw":
        content = text
    elif form == b"cstring":
        content = _ESCAPE.sub(_unescape, text)
    elif form == b"base64":
        content = lenient_base64(text.decode(errors="replace"))
    else:
        name = form.decode(errors="replace")
        raise GripError(f"no such Grip-Keep-Alive format '{name}'")
    if not content:
        raise GripError("Grip-Keep-Alive cannot be empty")
    return content


def _unescape(match: re.Match[bytes]) -> bytes:
    # An escape that isn't known is refused: dropped, as Pushpin does, it would change what is
    # sent without anybody noticing.
    short, digits = match.groups()
    if digits is not None:
        return bytes.fromhex(digits.decode())
    if short is None:
        raise GripError("failed to parse Grip-Keep-Alive cstring format")
    return _SHORT[short]


def comments_every(seconds: int) -> KeepAlive | None:
    """What a silent event stream gets whose backend says nothing of that; None for 0 seconds.

    A line of its own, without an empty one behind it: it may stand within an event, too.
    """
    return KeepAlive(b":\n", seconds) if seconds else None
