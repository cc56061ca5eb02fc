"""What a request to the admin port asks for, read from its target."""

from collections.abc import Collection
from urllib.parse import parse_qsl

import attrs

from realtime_proxy.grip.item_formats import is_close_code
from realtime_proxy.model.connection_filter import KINDS, ConnectionFilter
from realtime_proxy.model.dismissal import CLOSED_BY_OPERATOR, POLICY_VIOLATION, Dismissal

MAX_LIMIT = 1_000
_DEFAULT_LIMIT = 100
# What a close frame holds beside its code (RFC 6455 5.5).
_MAX_REASON_BYTES = 123
_FILTERS = ("id", "kind", "route", "channel", "consumer")


class QueryError(Exception):
    """Parameters that make no sense; the text says which, and what is accepted."""


@attrs.frozen
class Paging:
    """How many of a list, and after which: empty for its beginning."""

    after: str
    limit: int


def parse_listing(query: str) -> tuple[ConnectionFilter, Paging]:
    """The connections that are asked for. Raises QueryError."""
    parameters = _parameters(query, (*_FILTERS, "after", "limit"))
    return _filter(parameters), _paging(parameters)


def parse_paging(query: str) -> Paging:
    """Which part of a list is asked for. Raises QueryError."""
    return _paging(_parameters(query, ("after", "limit")))


def parse_dismissal(query: str, connection_id: str | None) -> tuple[ConnectionFilter, Dismissal]:
    """The connections that are to end, and what their clients are told. Raises QueryError.

    `connection_id` is that of the path. Without it, at least one parameter has to say which.
    """
    filters = _FILTERS if connection_id is None else ()
    parameters = _parameters(query, (*filters, "code", "reason"))
    which = _filter(parameters if connection_id is None else {"id": connection_id})
    if which.is_empty:
        accepted = ", ".join(f"`{name}`" for name in _FILTERS)
        raise QueryError(f"which connections? at least one of {accepted} has to say so")
    return which, Dismissal(_code(parameters), _reason(parameters))


def _parameters(query: str, accepted: Collection[str]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict"
        )
    except (ValueError, UnicodeError):
        raise QueryError("the query is not `name=value&…`") from None
    for name, value in pairs:
        if name not in accepted:
            # What is misspelt must not be taken for all.
            known = ", ".join(f"`{one}`" for one in accepted)
            raise QueryError(f"there is no parameter `{name}`; accepted: {known}")
        if name in parameters:
            raise QueryError(f"`{name}` is given twice")
        parameters[name] = value
    return parameters


def _filter(parameters: dict[str, str]) -> ConnectionFilter:
    kind = parameters.get("kind")
    if kind is not None and kind not in KINDS:
        raise QueryError(f"`kind` is `{kind}`; accepted: {', '.join(f'`{one}`' for one in KINDS)}")
    return ConnectionFilter(**{name: parameters.get(name) for name in _FILTERS})


def _paging(parameters: dict[str, str]) -> Paging:
    limit = _number(parameters, "limit", _DEFAULT_LIMIT)
    if not 1 <= limit <= MAX_LIMIT:
        raise QueryError(f"`limit` is {limit}; accepted: 1 to {MAX_LIMIT}")
    return Paging(parameters.get("after", ""), limit)


def _code(parameters: dict[str, str]) -> int:
    code = _number(parameters, "code", POLICY_VIOLATION)
    if not is_close_code(code):
        raise QueryError(f"`code` is {code}; accepted: the code of a WebSocket's close frame")
    return code


def _reason(parameters: dict[str, str]) -> str:
    reason = parameters.get("reason", CLOSED_BY_OPERATOR)
    if len(reason.encode()) > _MAX_REASON_BYTES:
        raise QueryError(f"`reason` is too long; accepted: {_MAX_REASON_BYTES} bytes of UTF-8")
    return reason


def _number(parameters: dict[str, str], name: str, default: int) -> int:
    text = parameters.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise QueryError(f"`{name}` is `{text}`; accepted: a whole number")
    return int(text)
