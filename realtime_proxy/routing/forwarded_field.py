"""The `Forwarded` field (RFC 7239): what each proxy on the way has added of who it heard from."""

import re
from collections.abc import Iterator

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# Addresses with a port, or in brackets, have to be quoted, and often are not.
_PAIR = re.compile(rb'[ \t]*(%b)=(?:"((?:[^"\\]|\\.)*)"|([^ \t"\\;,]+))[ \t]*' % _TOKEN, re.DOTALL)
_NO_PAIR = re.compile(rb"[ \t]*")
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


def read_forwarded(value: bytes) -> list[dict[bytes, bytes]]:
    """The elements of the field over all its lines, as parameters by name in lower case.

    Nothing at all if it is malformed: which part of it a proxy that is known has written can't be
    told any more.
    """
    try:
        return [element for element in _elements(value) if element]
    except ValueError:
        return []


def _elements(value: bytes) -> Iterator[dict[bytes, bytes]]:
    element: dict[bytes, bytes] = {}
    position = 0
    while True:
        pair = _PAIR.match(value, position)
        if pair is not None:
            name = pair[1].lower()
            if name in element:
                raise ValueError("twice in one element")
            element[name] = pair[3] if pair[2] is None else _ESCAPE.sub(rb"\1", pair[2])
        after = pair or _NO_PAIR.match(value, position)
        position = position if after is None else after.end()
        separator = value[position : position + 1]
        if separator in (b",", b""):
            yield element
            element = {}
        elif separator != b";":
            raise ValueError("neither a pair nor a separator")
        if not separator:
            return
        position += 1
