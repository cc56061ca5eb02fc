"""`body-patch`: a held response's body, changed by a published JSON Patch (RFC 6902).

A patch may be short and yet build something huge, by copying a value into itself over and over,
and it is applied for each held client. So what it may do is bounded.
"""

from typing import Any

import jsonpatch
import jsonpointer
import msgspec

from realtime_proxy.errors import RealtimeProxyError
from realtime_proxy.grip.json_text import NotJsonError, decode_json

MAX_OPERATIONS = 1000
MAX_COPIED_BYTES = 1_000_000

_encode = msgspec.json.Encoder(order="sorted").encode


class _TooCostlyError(RealtimeProxyError):
    """The patch wants more than a patch may."""


# Raised on the way from a body and a patch to another body, all by what publishers wrote.
# TypeError, among them: a patch may name things of any type where the library counts on one.
_FAILURES = (
    NotJsonError,
    jsonpatch.JsonPatchException,
    jsonpointer.JsonPointerException,
    _TooCostlyError,
    RecursionError,
    TypeError,
    ValueError,
    msgspec.MsgspecError,
)


def patched_body(body: bytes, patch: list[Any]) -> bytes:
    """The body after the patch: compact, keys sorted, the line end after it kept.

    Empty if the body is no JSON object or array, or if any operation fails.
    """
    try:
        document = decode_json(body)
        if not isinstance(document, dict | list):
            return b""
        return _encode(_patched(document, patch)) + _line_end(body)
    except _FAILURES:
        return b""


def _patched(document: Any, patch: list[Any]) -> Any:
    if len(patch) > MAX_OPERATIONS:
        raise _TooCostlyError
    copied = 0
    # The library may put values of the patch into the document and change them there later, so
    # each document gets values of its own.
    for operation in decode_json(_encode(patch)):
        copied += _copied_bytes(document, operation)
        if copied > MAX_COPIED_BYTES:
            raise _TooCostlyError
        document = jsonpatch.JsonPatch([operation]).apply(document, in_place=True)
    return document


def _copied_bytes(document: Any, operation: Any) -> int:
    """What a copy operation adds to the document; any other adds no more than it says."""
    if not isinstance(operation, dict) or operation.get("op") != "copy":
        return 0
    source = operation.get("from")
    if not isinstance(source, str):
        return 0
    return len(_encode(jsonpointer.JsonPointer(source).resolve(document)))


def _line_end(body: bytes) -> bytes:
    if body.endswith(b"\r\n"):
        return b"\r\n"
    return b"\n" if body.endswith(b"\n") else b""
