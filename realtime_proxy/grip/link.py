"""`Grip-Link`: where a stream goes on, and whom to tell when it is gone."""

import re
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

import attrs

from realtime_proxy.errors import GripError
from realtime_proxy.grip.header_fields import has_control
from realtime_proxy.grip.header_values import Element, parse_parameters, split_links, timeout_of
from realtime_proxy.model.uri import URI_CHARACTERS, Uri

DEFAULT_SECONDS = 120

_TARGET = re.compile(rb"<([^>]+)>[ \t]*")


@attrs.frozen
class NextLink:
    """Where more of a stream is to be had, and how often to look there; `uri` may be relative."""

    uri: str
    timeout_seconds: int = DEFAULT_SECONDS


@attrs.frozen
class Links:
    """The last link of each kind that a response names. Relations are read as RFC 8288 has them."""

    next: NextLink | None = None
    gone: str | None = None


NO_LINKS = Links()


def parse_links(values: Iterable[bytes]) -> Links:
    """The links of the `Grip-Link` lines. Raises GripError if one can't be read.

    An element without parameters is ignored; one with an unknown relation only has to be a link.
    """
    links = NO_LINKS
    for text in split_links(values):
        link = _parse_link(text)
        if link is None:
            continue
        uri, parameters = link
        relations = (parameters.get(b"rel") or b"").lower().split()
        if b"next" in relations:
            links = attrs.evolve(
                links, next=NextLink(uri, timeout_of(parameters, "Grip-Link", DEFAULT_SECONDS))
            )
        if b"gone" in relations:
            links = attrs.evolve(links, gone=uri)
    return links


def resolved(base: Uri, reference: str) -> Uri:
    """Where a link in a response to a request for `base` leads. Raises GripError."""
    try:
        return base.resolve(reference)
    except ValueError as error:
        raise GripError("Grip-Link contains invalid link") from error


def _parse_link(text: bytes) -> tuple[str, Element] | None:
    match = _TARGET.match(text)
    rest = text[match.end() :] if match else text
    before, semicolon, after = rest.partition(b";")
    parameters = parse_parameters(after)
    if not semicolon or not parameters:
        return None
    if match is None or before.strip():
        raise GripError("failed to parse Grip-Link value")
    return _checked_uri(match[1].strip()), Element(b"", parameters)


def _checked_uri(raw: bytes) -> str:
    """The URI with everything escaped that may not stand in a request line."""
    invalid = GripError("Grip-Link contains invalid link")
    if not raw:
        raise GripError("failed to parse Grip-Link value")
    if has_control(raw) or b"\t" in raw:
        raise invalid
    try:
        parts = urlsplit(uri := quote(raw, safe=URI_CHARACTERS))
        is_absolute = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise invalid from error
    if parts.scheme and (parts.scheme not in ("http", "https") or not is_absolute):
        raise invalid
    return uri
