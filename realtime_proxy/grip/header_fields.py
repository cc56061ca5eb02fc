"""Header fields and reason phrases that come out of JSON or TNetStrings.

Unlike those of an HTTP message no parser has looked at them, so here is where a line break that
would start a header field of its own (header injection) is refused.
"""

import re
from typing import Any

from realtime_proxy.errors import GripError, PublishError
from realtime_proxy.model.headers import Headers

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 5.6.2
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def has_control(text: bytes) -> bool:
    """True if the text has a control character other than tab, so can't stand in a header."""
    return _CONTROL.search(text) is not None


def read_header_fields(
    value: Any, owner: str, error: type[GripError] | type[PublishError]
) -> Headers:
    """The fields of a `headers` member: a list of [name, value], or an object in key order.

    `owner` is how messages name the object whose member this is; they are raised as `error`.
    """
    if isinstance(value, dict):
        pairs = [_keyed(key, value[key], error) for key in sorted(value)]
    elif isinstance(value, list):
        pairs = [_listed(element, error) for element in value]
    else:
        raise error(f"{owner} contains 'headers' with wrong type")
    for name, content in pairs:
        if _TOKEN.fullmatch(name) is None:
            raise error("header contains name element with invalid value")
        if _CONTROL.search(content) is not None:
            raise error("header contains value element with invalid value")
    return Headers(pairs)


def _keyed(
    name: str, value: object, error: type[GripError] | type[PublishError]
) -> tuple[bytes, bytes]:
    content = _as_bytes(value)
    if content is None:
        raise error(f"headers contains '{name}' with wrong type")
    return name.encode(), content.strip(b" \t")


def _listed(element: object, error: type[GripError] | type[PublishError]) -> tuple[bytes, bytes]:
    if not isinstance(element, list):
        raise error("headers contains element with wrong type")
    if len(element) != 2:
        raise error("headers contains list with wrong number of elements")
    name, content = _as_bytes(element[0]), _as_bytes(element[1])
    if name is None:
        raise error("header contains name element with wrong type")
    if content is None:
        raise error("header contains value element with wrong type")
    return name, content.strip(b" \t")


def _as_bytes(value: object) -> bytes | None:
    """Text of JSON or of a TNetString."""
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else None
