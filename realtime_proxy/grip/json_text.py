"""JSON as GRIP reads it: one decoder for instructions, items and control messages."""

from typing import Any

import msgspec

from realtime_proxy.errors import RealtimeProxyError

_decode = msgspec.json.Decoder().decode


class NotJsonError(RealtimeProxyError):
    """The text is not JSON, or nested too deeply; the reader says which of its errors that is."""


def decode_json(text: bytes) -> Any:
    """The value of a JSON text in UTF-8. Raises NotJsonError for anything else."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJsonError(str(error)) from error
