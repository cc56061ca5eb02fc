"""The syntax of `Grip-*` header values: elements between commas, parameters between semicolons.

Double quotes protect both. What stands before an element's first semicolon is its value, taken
as it is: quotes there belong to it.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from realtime_proxy.errors import GripError
from realtime_proxy.grip.lenient import parse_integer

# Possessive quantifiers: a value without its closing quote must not cost quadratic time. What
# follows a piece is a separator, the end, or a quote that is never closed.
_PIECE = rb'((?:[^"%b]++|"(?:[^"\\]++|\\.)*+")*+)(%b|\Z|")'
_BETWEEN_COMMAS = re.compile(_PIECE % (b",", b","), re.DOTALL)
_BETWEEN_SEMICOLONS = re.compile(_PIECE % (b";", b";"), re.DOTALL)
# In `Grip-Link`, angle brackets at an element's beginning protect commas and quotes as well.
_LINKS = re.compile(
    rb'((?:[ \t]*+<[^>]*+>)?+(?:[^",]++|"(?:[^"\\]++|\\.)*+")*+)(,|\Z|")', re.DOTALL
)
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)

Parameters = tuple[tuple[bytes, bytes], ...]


class Element(NamedTuple):
    """One element of a header value: `VALUE; NAME=VALUE; …`."""

    value: bytes
    parameters: Parameters

    def get(self, name: bytes) -> bytes | None:
        """The first parameter of a name (given in lower case, found in any), or None."""
        for key, value in self.parameters:
            if key.lower() == name:
                return value
        return None


def timeout_of(element: Element, field: str, default_seconds: int) -> int:
    """The `timeout` of an element, in seconds. `field` is for the GripError if it is none."""
    text = element.get(b"timeout")
    if text is None:
        return default_seconds
    seconds = parse_integer(text)
    if seconds is None:
        raise GripError(f"failed to parse {field} timeout value")
    if seconds < 0:
        raise GripError(f"{field} timeout has invalid value")
    return seconds


def split_elements(values: Iterable[bytes]) -> Iterator[bytes]:
    """The elements of all lines of a field, trimmed, without empty ones.

    An element whose quotes don't close is skipped; it reaches to the end of its line.
    """
    for value in values:
        if b"," not in value and b'"' not in value:
            if element := value.strip():
                yield element
        else:
            yield from filter(None, _split(value, _BETWEEN_COMMAS)[0])


def split_links(values: Iterable[bytes]) -> Iterator[bytes]:
    """As `split_elements`, with `<…>` protecting what it encloses."""
    for value in values:
        yield from filter(None, _split(value, _LINKS)[0])


def parse_element(text: bytes) -> Element | None:
    """Value and parameters of one element; None if the quotes of a parameter don't close."""
    value, _, rest = text.partition(b";")
    parameters = parse_parameters(rest)
    return None if parameters is None else Element(value.strip(), parameters)


def parse_parameters(text: bytes) -> Parameters | None:
    """The `name=value` pairs of a text, unquoted; None if quotes don't close."""
    if not text:
        return ()
    pieces, closed = _split(text, _BETWEEN_SEMICOLONS)
    return tuple(_pair(piece) for piece in pieces if piece) if closed else None


def _split(text: bytes, pattern: re.Pattern[bytes]) -> tuple[list[bytes], bool]:
    """The pieces that end properly, some empty, and whether the last one does too."""
    pieces: list[bytes] = []
    for match in pattern.finditer(text):
        if match[2] == b'"':
            return pieces, False
        pieces.append(match[1].strip())
    return pieces, True


def _pair(text: bytes) -> tuple[bytes, bytes]:
    name, _, value = text.partition(b"=")
    value = value.strip()
    quoted = _QUOTED.fullmatch(value)
    return name.strip(), _ESCAPED.sub(rb"\1", quoted[1]) if quoted else value
