"""GRIP instructions of a backend's response: what to hold, and what its client may see.

They come as `Grip-*` header fields, as a JSON body, or as both (`docs/grip.md`).
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from realtime_proxy.errors import GripError
from realtime_proxy.grip.filters import FilterChain
from realtime_proxy.grip.header_values import parse_parameters, split_elements
from realtime_proxy.grip.hold import MAX_FILTERS, Channel, HoldMode, parse_channels
from realtime_proxy.grip.instruct_json import JsonHold, JsonInstruct, parse_json_instruct
from realtime_proxy.grip.keep_alive import KeepAlive, KeepAliveMode, parse_keep_alive
from realtime_proxy.grip.lenient import parse_integer
from realtime_proxy.grip.link import NO_LINKS, NextLink, parse_links
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead, reason_phrase
from realtime_proxy.model.shared_headers import SharedHeaders

__all__ = [
    "MAX_FILTERS",
    "Channel",
    "HoldMode",
    "Instruct",
    "KeepAlive",
    "KeepAliveMode",
    "NextLink",
    "is_instruct",
    "may_stream",
    "parse_instruct",
    "parse_instruct_headers",
    "parse_link_instruct",
]

DEFAULT_SECONDS = 55
MIN_SECONDS = 5

# A channel that many hold is asked for by the same fields each time: what these say is remembered
# of the latest, unless they are long.
_REMEMBERED = 1_000
_REMEMBERED_BYTES = 500

_JSON_TYPE = b"application/grip-instruct"
_MODES = {mode.value.encode(): mode for mode in HoldMode}


def _spellings(start: str) -> frozenset[bytes]:
    """A name's first letters in every mix of cases: one look-up tells that a field is another."""
    letters = [{letter, letter.upper()} for letter in start]
    return frozenset("".join(mix).encode() for mix in product(*letters))


_GRIP = _spellings("grip-")
_CONTENT = _spellings("conte")

_Field = tuple[bytes, bytes]


class Instruct(msgspec.Struct, frozen=True):
    """What a backend asks for. Without `hold` and `next_link` the response is simply sent.

    `status`, `reason`, `headers` and `body` are for the client: `Grip-*` fields are gone and
    `Grip-Expose-Headers` is applied. Fields of the hop and `Content-Length` are still there
    if the backend (or its JSON) wrote them; whoever sends the head leaves them out.
    """

    hold: HoldMode | None
    channels: tuple[Channel, ...]
    timeout_seconds: int
    keep_alive: KeepAlive | None
    meta: Mapping[str, str]
    next_link: NextLink | None
    gone_link: str | None
    status: int
    reason: bytes
    headers: Headers
    body: bytes

    def head(self) -> ResponseHead:
        """The head for the client."""
        return ResponseHead(self.status, self.reason, self.headers)

    def positions(self, prefix: str, max_channels: int) -> dict[str, str | None]:
        """The `prev_id` of each channel by its full name; of no more channels than so many."""
        return {prefix + each.name: each.prev_id for each in self.channels[:max_channels]}

    def filters(self, prefix: str, max_channels: int) -> dict[str, FilterChain]:
        """The filters of each channel that has any, likewise."""
        chains = {}
        for each in self.channels[:max_channels]:
            if each.filters and (chain := FilterChain(each.filters)):
                chains[prefix + each.name] = chain
        return chains

    @property
    def problem(self) -> str:
        """What keeps the hold from being made, once the body is sent; empty if nothing does."""
        if self.hold is HoldMode.STREAM and self.next_link is None:
            for each in self.channels:
                if each.prev_id is not None:
                    return f"channel '{each.name}' specifies prev-id, but no next link found"
        return ""


def is_instruct(headers: Headers) -> bool:
    """True if a backend's response carries GRIP instructions in header fields or as its type."""
    for name, value in headers:
        start = name[:5]
        if start in _GRIP:
            return True
        if (
            start in _CONTENT
            and _JSON_TYPE in value
            and name.lower() == b"content-type"
            and _is_json_type(value)
        ):
            return True
    return False


def parse_instruct(head: ResponseHead, body: bytes) -> Instruct:
    """The instructions of a whole response. Raises GripError, whose text says what is wrong."""
    fields, others, is_json = head.headers.remember(_parted)
    said = _what_is_said(fields)
    if not is_json:
        return _instruct(said, head, others, body)
    if head.status != 200:
        raise GripError("response code for application/grip-instruct content must be 200")
    content = parse_json_instruct(body)
    _, shown, _ = _parted(content.response.headers)
    return _combined(_instruct(said, head, shown, content.response.body), content)


def parse_instruct_headers(head: ResponseHead) -> Instruct:
    """The instructions of the header fields alone; `body` is empty.

    This is all there is to read of a response whose body is too long to be collected (see
    `may_stream`).
    """
    fields, others, _ = head.headers.remember(_parted)
    return _instruct(_what_is_said(fields), head, others, b"")


def parse_link_instruct(head: ResponseHead) -> Instruct:
    """The instructions of a next link's response, whose body is sent while it arrives.

    So they can't be in it. Raises GripError.
    """
    if _is_json(head.headers):
        raise GripError("Next link must give its instructions in header fields.")
    return parse_instruct_headers(head)


def may_stream(head: ResponseHead, instruct: Instruct) -> bool:
    """True if a body over the limit may go to the client before the hold is made.

    So it is for streams and for responses that go on at a next link, unless a filter must see
    the body (`build-id`) or the body is itself the instructions.
    """
    goes_on = instruct.hold is HoldMode.STREAM or (
        instruct.hold is None and instruct.next_link is not None
    )
    filters = (name for channel in instruct.channels for name in channel.filters)
    return goes_on and "build-id" not in filters and not _is_json(head.headers)


def _is_json(headers: Headers) -> bool:
    return any(map(_is_json_type, headers.get_all(b"content-type")))


def _is_json_type(value: bytes) -> bool:
    return value.partition(b";")[0].strip() == _JSON_TYPE


def _parted(headers: Headers) -> tuple[tuple[_Field, ...], SharedHeaders, bool]:
    """The fields with instructions, and all others; True if the type of the body says so, too."""
    grip: list[_Field] = []
    others: list[_Field] = []
    is_json = False
    for pair in headers:
        name, value = pair
        start = name[:5]
        if start in _GRIP:
            grip.append(pair)
            continue
        others.append(pair)
        if start in _CONTENT and _JSON_TYPE in value and name.lower() == b"content-type":
            is_json = is_json or _is_json_type(value)
    return tuple(grip), SharedHeaders.of(headers).subset(others), is_json


class _Said(NamedTuple):
    """What `Grip-*` fields say, whatever else there is. `status` and `exposed`: if they do."""

    hold: HoldMode | None
    channels: tuple[Channel, ...]
    timeout_seconds: int
    keep_alive: KeepAlive | None
    meta: Mapping[str, str]
    next_link: NextLink | None
    gone_link: str | None
    status: tuple[int, bytes] | None
    exposed: frozenset[bytes]


def _what_is_said(fields: tuple[_Field, ...]) -> _Said:
    """What instructions in header fields say. Raises GripError."""
    size = 0
    for name, value in fields:
        size += len(name) + len(value)
    return _said_lately(fields) if size <= _REMEMBERED_BYTES else _said(fields)


def _said(fields: tuple[_Field, ...]) -> _Said:
    grip: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        grip.setdefault(name.lower(), []).append(value)
    status = _status(grip)
    links = parse_links(lines) if (lines := grip.get(b"grip-link")) else NO_LINKS
    return _Said(
        hold=_hold(grip),
        channels=_distinct(parse_channels(grip.get(b"grip-channel", ()))),
        timeout_seconds=_timeout(grip),
        keep_alive=parse_keep_alive(lines[0]) if (lines := grip.get(b"grip-keep-alive")) else None,
        meta=_meta(grip),
        next_link=links.next,
        gone_link=links.gone,
        status=status,
        exposed=frozenset(
            name.lower() for name in split_elements(grip.get(b"grip-expose-headers", ()))
        ),
    )


_said_lately = lru_cache(_REMEMBERED)(_said)


def _instruct(said: _Said, head: ResponseHead, others: Headers, body: bytes) -> Instruct:
    """Instructions, with those of the `others` that a client may see."""
    status, reason = said.status or (head.status, head.reason)
    shown = others.only(said.exposed) if said.exposed else others
    return Instruct(*said[:7], status, reason, shown, body)


def _hold(grip: dict[bytes, list[bytes]]) -> HoldMode | None:
    lines = grip.get(b"grip-hold")
    if lines is None:
        return None
    mode = _MODES.get(lines[0].strip())
    if mode is None:
        raise GripError("Grip-Hold must be set to either 'response' or 'stream'")
    return mode


def _distinct(channels: list[Channel]) -> tuple[Channel, ...]:
    """Each name once, at its first place, with what was last said of it."""
    return tuple({channel.name: channel for channel in channels}.values())


def _timeout(grip: dict[bytes, list[bytes]]) -> int:
    lines = grip.get(b"grip-timeout")
    if lines is None:
        return DEFAULT_SECONDS
    seconds = parse_integer(lines[0])
    if seconds is None:
        raise GripError("failed to parse Grip-Timeout")
    if seconds < 0:
        raise GripError("Grip-Timeout has invalid value")
    return max(seconds, MIN_SECONDS)


def _meta(grip: dict[bytes, list[bytes]]) -> dict[str, str]:
    lines = grip.get(b"grip-set-meta")
    if lines is None:
        return {}
    meta = {}
    for text in split_elements(lines):
        parameters = parse_parameters(text)
        if parameters and parameters[0][0]:
            name, value = parameters[0]
            meta[name.decode(errors="replace")] = value.decode(errors="replace")
    if not meta:
        raise GripError("Grip-Set-Meta cannot be empty")
    return meta


def _status(grip: dict[bytes, list[bytes]]) -> tuple[int, bytes] | None:
    """Status and reason of `Grip-Status`, for the client in place of the response's own.

    Codes below 200 are refused with those past 999: they don't end an exchange (RFC 9110 15.2).
    """
    lines = grip.get(b"grip-status")
    if lines is None:
        return None
    code, _, reason = lines[0].strip().partition(b" ")
    status = parse_integer(code)
    if status is None or not 200 <= status <= 999:
        raise GripError("Grip-Status contains invalid status code")
    return status, reason.strip() or reason_phrase(status)


def _combined(instruct: Instruct, content: JsonInstruct) -> Instruct:
    """What header fields say of the JSON's response, with what JSON says: it wins."""
    response = content.response
    status = instruct.status if response.status is None else response.status
    reason = instruct.reason if response.status is None else reason_phrase(status)
    return replace(
        instruct if content.hold is None else _with_hold(instruct, content.hold),
        status=status,
        reason=response.reason or reason,
    )


def _with_hold(instruct: Instruct, hold: JsonHold) -> Instruct:
    timeout = hold.timeout_seconds
    return replace(
        instruct,
        hold=hold.mode or instruct.hold or HoldMode.RESPONSE,
        channels=_distinct([*instruct.channels, *hold.channels]),
        timeout_seconds=instruct.timeout_seconds if timeout is None else max(timeout, MIN_SECONDS),
        keep_alive=hold.keep_alive or instruct.keep_alive,
        meta={**instruct.meta, **hold.meta},
    )
