"""Values that GRIP reads generously: integers written as text, base64 with stray characters."""

import binascii
import math
import re

# The largest number of seconds or bytes that instructions may name: a signed 32-bit integer.
MAX_INTEGER = 2**31 - 1

# The interpreter refuses to read more than 4,300 digits.
_DECIMAL = re.compile(rb"[+-]?[0-9]{1,4000}")
_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)


def parse_integer(text: bytes) -> int | None:
    """A decimal number of up to 32 bits with optional sign and blanks around, or None."""
    number = _number(text)
    return None if number is None or abs(number) > MAX_INTEGER else number


def lenient_integer(value: object) -> int | None:
    """An integer member of a decoded object, or None if its type is wrong.

    Fractions are cut, text is read as a number, and text that is no number counts as 0: what
    publishers and backends have always been allowed.
    """
    match value:
        case bool():
            return None
        case int():
            return value
        case float():
            return int(value) if math.isfinite(value) else None
        case str():
            return _number(value.encode()) or 0
        case bytes():
            return _number(value) or 0
    return None


def _number(text: bytes) -> int | None:
    text = text.strip()
    return int(text) if _DECIMAL.fullmatch(text) else None


def lenient_base64(text: str) -> bytes:
    """The bytes of base64 text; characters that don't belong are skipped, padding may lack."""
    raw = text.encode()
    try:
        return binascii.a2b_base64(raw, strict_mode=True)
    except binascii.Error:
        clean = raw.translate(None, _NOT_BASE64)
    if len(clean) % 4 == 1:  # six bits are not a byte
        clean = clean[:-1]
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
