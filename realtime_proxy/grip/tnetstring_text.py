"""TNetStrings as GRIP reads them: dictionaries have text for keys, strings stay bytes."""

from typing import Any

import tnetstring

from realtime_proxy.errors import RealtimeProxyError


class NotTnetstringError(RealtimeProxyError):
    """The bytes are no TNetString, or nested too deeply, or a key is not UTF-8 text."""


def decode_tnetstring(data: bytes) -> Any:
    """The first value in the data; what follows it is ignored."""
    try:
        return _with_text_keys(tnetstring.loads(data))
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        # OverflowError: of some lengths that are no numbers the library can't make its message.
        raise NotTnetstringError(str(error)) from error


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.decode(): _with_text_keys(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_with_text_keys(element) for element in value]
    return value


def encode_tnetstring(value: Any) -> bytes:
    """A value as a TNetString; text in it becomes UTF-8."""
    data: bytes = tnetstring.dumps(_with_bytes(value))
    return data


def _with_bytes(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.encode(): _with_bytes(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_with_bytes(element) for element in value]
    return value.encode() if isinstance(value, str) else value


def with_text_strings(value: Any) -> Any:
    """The value as JSON would have it: strings are text as well. Raises UnicodeDecodeError."""
    if isinstance(value, dict):
        return {key: with_text_strings(member) for key, member in value.items()}
    if isinstance(value, list):
        return [with_text_strings(element) for element in value]
    return value.decode() if isinstance(value, bytes) else value
