"""GRIP instructions of a backend's response: what to hold, and what its client may see.

They come as `Grip-*` header fields, as a JSON body, or as both (`docs/grip.md`).
"""

from itertools import product

import attrs

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

_JSON_TYPE = b"application/grip-instruct"
_MODES = {mode.value.encode(): mode for mode in HoldMode}


def _spellings(start: str) -> frozenset[bytes]:
    """A name's first letters in every mix of cases: one look-up tells that a field is another."""
    letters = [{letter, letter.upper()} for letter in start]
    return frozenset("".join(mix).encode() for mix in product(*letters))


_GRIP = _spellings("grip-")
_CONTENT = _spellings("conte")


@attrs.frozen
class Instruct:
    """What a backend asks for. Without `hold` and `next_link` the response is simply sent.

    `status`, `reason`, `headers` and `body` are for the client: `Grip-*` fields are gone and
    `Grip-Expose-Headers` is applied. Fields of the hop and `Content-Length` are still there
    if the backend (or its JSON) wrote them; whoever sends the head leaves them out.
    """

    hold: HoldMode | None
    channels: tuple[Channel, ...]
    timeout_seconds: int
    keep_alive: KeepAlive | None
    meta: dict[str, str]
    status: int
    reason: bytes
    headers: Headers
    body: bytes
    next_link: NextLink | None
    gone_link: str | None

    def head(self) -> ResponseHead:
        """The head for the client."""
        return ResponseHead(self.status, self.reason, self.headers)

    def positions(self, prefix: str, max_channels: int) -> dict[str, str | None]:
        """The `prev_id` of each channel by its full name; of no more channels than so many."""
        return {prefix + each.name: each.prev_id for each in self.channels[:max_channels]}

    def filters(self, prefix: str, max_channels: int) -> dict[str, FilterChain]:
        """The filters of each channel that has any, likewise."""
        chains = (
            (prefix + each.name, FilterChain(each.filters))
            for each in self.channels[:max_channels]
            if each.filters
        )
        return {channel: chain for channel, chain in chains if chain}

    @property
    def problem(self) -> str:
        """What keeps the hold from being made, once the body is sent; empty if nothing does."""
        if self.hold is not HoldMode.STREAM or self.next_link is not None:
            return ""
        tracked = (each.name for each in self.channels if each.prev_id is not None)
        name = next(tracked, None)
        missing = f"channel '{name}' specifies prev-id, but no next link found"
        return "" if name is None else missing


def is_instruct(headers: Headers) -> bool:
    """True if a backend's response carries GRIP instructions in header fields or as its type."""
    for name, value in headers:
        start = name[:5]
        if start in _GRIP:
            return True
        if start in _CONTENT and name.lower() == b"content-type" and _is_json_type(value):
            return True
    return False


def parse_instruct(head: ResponseHead, body: bytes) -> Instruct:
    """The instructions of a whole response. Raises GripError, whose text says what is wrong."""
    if not _is_json(head.headers):
        return _of_fields(head, body)
    instruct = _of_fields(head, b"")
    if head.status != 200:
        raise GripError("response code for application/grip-instruct content must be 200")
    return _combined(instruct, parse_json_instruct(body), head.headers)


def parse_instruct_headers(head: ResponseHead) -> Instruct:
    """The instructions of the header fields alone; `body` is empty.

    This is all there is to read of a response whose body is too long to be collected (see
    `may_stream`).
    """
    return _of_fields(head, b"")


def parse_link_instruct(head: ResponseHead) -> Instruct:
    """The instructions of a next link's response, whose body is sent while it arrives.

    So they can't be in it. Raises GripError.
    """
    if _is_json(head.headers):
        raise GripError("Next link must give its instructions in header fields.")
    return parse_instruct_headers(head)


def _of_fields(head: ResponseHead, body: bytes) -> Instruct:
    grip = _grip_fields(head.headers)
    status, reason = _status(grip, head)
    links = parse_links(lines) if (lines := grip.get(b"grip-link")) else NO_LINKS
    return Instruct(
        hold=_hold(grip),
        channels=_distinct(parse_channels(grip.get(b"grip-channel", ()))),
        timeout_seconds=_timeout(grip),
        keep_alive=parse_keep_alive(lines[0]) if (lines := grip.get(b"grip-keep-alive")) else None,
        meta=_meta(grip),
        status=status,
        reason=reason,
        headers=_exposed(head.headers, grip),
        body=body,
        next_link=links.next,
        gone_link=links.gone,
    )


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


def _grip_fields(headers: Headers) -> dict[bytes, list[bytes]]:
    """The values of each `Grip-*` field, under its name in lower case."""
    fields: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name[:5] in _GRIP:
            fields.setdefault(name.lower(), []).append(value)
    return fields


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


def _status(grip: dict[bytes, list[bytes]], head: ResponseHead) -> tuple[int, bytes]:
    """Status and reason for the client: those of `Grip-Status`, or else the response's own.

    Codes below 200 are refused with those past 999: they don't end an exchange (RFC 9110 15.2).
    """
    lines = grip.get(b"grip-status")
    if lines is None:
        return head.status, head.reason
    code, _, reason = lines[0].strip().partition(b" ")
    status = parse_integer(code)
    if status is None or not 200 <= status <= 999:
        raise GripError("Grip-Status contains invalid status code")
    return status, reason.strip() or reason_phrase(status)


def _exposed(headers: Headers, grip: dict[bytes, list[bytes]]) -> Headers:
    """Those of the fields that a client may see."""
    shown = Headers([pair for pair in headers if pair[0][:5] not in _GRIP])
    lines = grip.get(b"grip-expose-headers")
    names = lines and frozenset(name.lower() for name in split_elements(lines))
    return shown.only(names) if names else shown


def _combined(instruct: Instruct, content: JsonInstruct, carrier: Headers) -> Instruct:
    """Header and JSON instructions together: JSON wins, and only it has content for the client."""
    response = content.response
    status = instruct.status if response.status is None else response.status
    reason = instruct.reason if response.status is None else reason_phrase(status)
    return attrs.evolve(
        instruct if content.hold is None else _with_hold(instruct, content.hold),
        status=status,
        reason=response.reason or reason,
        headers=_exposed(response.headers, _grip_fields(carrier)),
        body=response.body,
    )


def _with_hold(instruct: Instruct, hold: JsonHold) -> Instruct:
    timeout = hold.timeout_seconds
    return attrs.evolve(
        instruct,
        hold=hold.mode or instruct.hold or HoldMode.RESPONSE,
        channels=_distinct([*instruct.channels, *hold.channels]),
        timeout_seconds=instruct.timeout_seconds if timeout is None else max(timeout, MIN_SECONDS),
        keep_alive=hold.keep_alive or instruct.keep_alive,
        meta=instruct.meta | hold.meta,
    )
