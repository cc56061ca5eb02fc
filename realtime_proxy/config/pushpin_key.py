"""Signing keys as Pushpin writes them, and as our configuration does."""

import base64
import re
from pathlib import Path

_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")


def converted_key(text: str, folder: Path) -> str:
    """The secret for our configuration that stands for the same bytes as a key of Pushpin's.

    `folder` is where relative paths of `file:` begin. Empty if there is no key.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind == "base64":
        # Pushpin passes over what is not base64, such as line ends.
        return _as_base64(_decoded(_NOT_BASE64.sub("", rest)))
    if colon and kind == "file":
        return f"file:{folder.absolute() / rest}"
    if colon and kind == "env":
        # Just a text to Pushpin, but the name of a variable to us.
        return _as_base64(text.encode())
    return text


def _decoded(text: str) -> bytes:
    # One character left over has too few bits for a byte.
    whole = text[:-1] if len(text) % 4 == 1 else text
    return base64.b64decode(whole + "=" * (-len(whole) % 4))


def _as_base64(key: bytes) -> str:
    return f"base64:{base64.b64encode(key).decode()}" if key else ""
