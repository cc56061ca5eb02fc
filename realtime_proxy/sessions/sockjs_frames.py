"""The frames of SockJS: one letter, and JSON behind it (SockJS protocol 0.3.3).

Both ends only ever see text, so everything is text here; what is no Unicode is replaced.
"""

import json
import re
from collections.abc import Iterable

import msgspec

OPEN = "o"
HEARTBEAT = "h"

# So many may come together: a million bytes could have 300,000 empty ones, which would take some
# 60 MB and most of a second.
MAX_MESSAGES_AT_ONCE = 10_000

# Some browsers lose or change these characters on their way, so they go as escapes.
_FRAGILE = re.compile(
    "[\x7f-\x9f\xad\u0600-\u0604\u070f\u17b4\u17b5\u200c-\u200f\u2028-\u202f"
    "\u2060-\u206f\ufeff\ufff0-\uffff]"
)
_HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")


def quoted(text: str) -> str:
    """Text as a JSON string that every browser reads as it was."""
    literal = msgspec.json.encode(text).decode()
    return _FRAGILE.sub(_escaped, literal)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def messages(literals: Iterable[str]) -> str:
    """Messages, each as a JSON string, as one frame."""
    return f"a[{','.join(literals)}]"


def close(code: int, reason: str) -> str:
    """The end of a session, and why."""
    return f"c[{code},{quoted(reason)}]"


def decode_payload(payload: bytes) -> list[str]:
    """The messages that a client sends: a JSON list of strings. Raises ValueError for others."""
    return _texts(_decoded(payload))


def decode_websocket_payload(payload: bytes) -> list[str]:
    """As `decode_payload`; on a WebSocket one message may also be a string, and none be empty."""
    if not payload:
        return []
    decoded = _decoded(payload)
    return _texts([decoded] if isinstance(decoded, str) else decoded)


def _decoded(payload: bytes) -> object:
    try:
        return json.loads(payload.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _texts(decoded: object) -> list[str]:
    if not isinstance(decoded, list) or not all(isinstance(item, str) for item in decoded):
        raise ValueError("it is no list of strings")
    if len(decoded) > MAX_MESSAGES_AT_ONCE:
        raise ValueError(f"it has more than {MAX_MESSAGES_AT_ONCE} messages")
    return [_HALF_OF_A_PAIR.sub("\ufffd", item) for item in decoded]
