"""Signing keys as Pushpin writes them, and as our configuration does."""

import base64
import re
from pathlib import Path

from realtime_proxy.config.secrets import without_line_end

# What to say when `is_moved`.
MOVED_KEY = "written in place: the line end at the end of its file is part of the key to Pushpin"

_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")


def converted_key(text: str, folder: Path) -> str:
    """The secret for our configuration that stands for the same bytes as a key of Pushpin's.

    `folder` is where relative paths of `file:` begin. Empty if there is no key. A key of Pushpin's
    in a file has all bytes of it; where ours would leave out a line end, it is written in place.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind == "base64":
        # Pushpin passes over what is not base64, such as line ends.
        return _as_base64(_decoded(_NOT_BASE64.sub("", rest)))
    if colon and kind == "file":
        return _converted_file(folder.absolute() / rest)
    if colon and kind == "env":
        # Just a text to Pushpin, but the name of a variable to us.
        return _as_base64(text.encode())
    return text


def is_moved(text: str, converted: str) -> bool:
    """True if a key that was in a file is now in the configuration itself."""
    return text.startswith("file:") and not converted.startswith("file:")


def _converted_file(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError:
        return f"file:{path}"  # told of when the new configuration is checked
    return f"file:{path}" if content == without_line_end(content) else _as_base64(content)


def _decoded(text: str) -> bytes:
    # One character left over has too few bits for a byte.
    whole = text[:-1] if len(text) % 4 == 1 else text
    return base64.b64decode(whole + "=" * (-len(whole) % 4))


def _as_base64(key: bytes) -> str:
    return f"base64:{base64.b64encode(key).decode()}" if key else ""
