"""Pushpin's routes file: each line to a `Route`, with notes about what is not in it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from realtime_proxy.config.checks import (
    ZHTTP_REFUSED,
    callback,
    editable_field,
    method,
    or_empty,
    path_start,
    route_host,
)
from realtime_proxy.config.pushpin_key import MOVED_KEY, converted_key, is_moved
from realtime_proxy.config.pushpin_level import converted_level
from realtime_proxy.config.pushpin_line import LineError, Word, split_line
from realtime_proxy.config.pushpin_note import Note
from realtime_proxy.config.pushpin_target import (
    host_and_port_of,
    option_notes,
    target_notes,
    targets_of,
)
from realtime_proxy.config.route_section import Route
from realtime_proxy.errors import ConfigError, Problem

_CARRIED_CONDITION = frozenset(
    (
        *("aco", "jsonp_mode", "jsonp_cb", "jsonp_body", "jsonp_defcb", "jsonp_defmethod"),
        "as_host",
        "debug",
        "header",
        "id",
        "log_level",
        "no_grip",
        "orig_headers",
        "path_beg",
        "path_rem",
        "prefix",
        "proto",
        "replace_beg",
        "session",
        "sig_iss",
        "sig_key",
        "sockjs",
        "sockjs_as_path",
        "ssl",
    )
)
_CHECKS = {"jsonp_defcb": or_empty(callback), "jsonp_defmethod": or_empty(method)}


@attrs.frozen
class ConvertedRoute:
    """A route, and the line of the old file it was."""

    route: Route
    place: str


def route_from_line(line: str, folder: Path | None = None) -> tuple[Route, list[Note]]:
    """The route of one line, as `--route` takes it. `ConfigError` if there is none in it.

    `folder` is where relative paths of keys begin; by default where the program runs.
    """
    notes: list[Note] = []
    try:
        route = _converted(line, "<route>:1", folder or Path(), notes)
    except LineError as error:
        raise ConfigError([Problem("<route>:1", str(error))]) from None
    if route is None:
        raise ConfigError([Problem("<route>:1", "there is no route in an empty line")])
    return route, list(dict.fromkeys(notes))


def convert_routes(
    lines: Iterable[str], name: str, folder: Path
) -> tuple[list[ConvertedRoute], list[Note]]:
    """The routes of a file called `name`. Lines that Pushpin would skip are noted, and left out."""
    routes: list[ConvertedRoute] = []
    notes: list[Note] = []
    conditions: dict[tuple[object, ...], str] = {}
    for number, line in enumerate(lines, 1):
        place = f"{name}:{number}"
        try:
            route = _converted(line, place, folder, notes)
        except LineError as error:
            notes.append(Note(place, f"left out: {error}"))
            continue
        if route is None:
            continue
        condition = (route.host.lower().strip("[]"), route.path, route.protocol, route.tls)
        if route.host and condition in conditions:
            text = f"left out: skipping duplicate condition (as {conditions[condition]})"
            notes.append(Note(place, text))
            continue
        conditions[condition] = place
        routes.append(ConvertedRoute(route, place))
    return routes, list(dict.fromkeys(notes))


def _converted(line: str, place: str, folder: Path, notes: list[Note]) -> Route | None:
    """The route of a line, None if it is empty. Notes are kept even if it has to be left out."""
    words = split_line(line)
    if not words:
        return None
    if len(words) == 1:
        raise LineError("must specify condition and at least one target")
    condition, *targets = words
    route = attrs.evolve(
        _condition(condition, place, folder, notes),
        targets=tuple(targets_of(targets, place, folder, notes)),
    )
    if not route.key and (condition.get("sig_iss") or condition.get("sig_key")):
        notes.append(Note(place, "`sig_iss` and `sig_key` count only together; left out"))
    if route.key and is_moved(condition.get("sig_key") or "", route.key):
        notes.append(Note(place, f"`sig_key` is {MOVED_KEY}"))
    notes += (Note(place, text) for text in _condition_notes(condition))
    for target in targets:
        notes += (Note(place, text) for text in target_notes(target))
    if not route.targets:
        raise LineError(f"{ZHTTP_REFUSED}; its requests meet the other routes now")
    return route


def _condition(word: Word, place: str, folder: Path, notes: list[Note]) -> Route:
    _refuse(word)
    headers = dict(_headers(word, place, notes))
    # Ours override each other's default alone; to Pushpin one without the other is nothing.
    pair = word.get("sig_iss") or "", converted_key(word.get("sig_key") or "", folder)
    issuer, key = pair if all(pair) else ("", "")
    replaces_path = word.get("replace_beg") is not None
    return Route(
        targets=(),
        id=word.get("id") or "",
        host=_host(word),
        path=word.get("path_beg") or "",
        protocol={None: "", "http": "http", "ws": "websocket"}[word.get("proto")],
        tls={None: None, "yes": True, "no": False}[word.get("ssl")],
        channel_prefix=word.get("prefix") or "",
        grip=word.get("no_grip") is None,
        issuer=issuer,
        key=key,
        as_host=host_and_port_of(word, "as_host"),
        path_remove=0 if replaces_path else _count(word, "path_rem", place, notes),
        path_replace=_path_start(word, "replace_beg") if replaces_path else None,
        set_headers={name: value for name, value in headers.items() if value},
        remove_headers=tuple(name for name, value in headers.items() if not value),
        original_headers=word.get("orig_headers") is not None,
        log_level=_level(word, place, notes),
        debug=word.get("debug") is not None,
        cross_origin=word.get("aco") is not None,
        json_p_mode=word.get("jsonp_mode") or "extended",
        json_p_callback=word.get("jsonp_cb") or "callback",
        json_p_body=word.get("jsonp_body") or "",
        json_p_default_callback=_accepted(word, "jsonp_defcb") or "",
        json_p_default_method=_accepted(word, "jsonp_defmethod") or "",
        sockjs=_path_start(word, "sockjs"),
        sockjs_as_path=_path_start(word, "sockjs_as_path"),
    )


def _headers(word: Word, place: str, notes: list[Note]) -> Iterator[tuple[str, str]]:
    """Names and values of `header`, each name once; an empty value removes."""
    values: dict[str, tuple[str, str]] = {}
    for text in word.get_all("header"):
        name, _, value = text.partition(":")
        pair = name.strip(), value.strip()
        try:
            editable_field(*pair)
        except ConfigError as error:
            notes.append(Note(place, f"`header` left out: {error}"))
            continue
        if name.lower() in values:
            notes.append(Note(place, f"`header` of `{name}` is there twice; the last one counts"))
        values[pair[0].lower()] = pair
    yield from values.values()


def _count(word: Word, option: str, place: str, notes: list[Note]) -> int:
    text = word.get(option)
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit()):
        notes.append(Note(place, f"`{option}` left out: `{text}` is not a number"))
        return 0
    return int(text[:9])


def _path_start(word: Word, option: str) -> str:
    value = word.get(option) or ""
    # What makes no path alone does so with the slash that every path begins with.
    value = f"/{value}" if value and not value.startswith("/") else value
    try:
        path_start(value)
    except ConfigError as error:
        raise LineError(f"{option}: {error}") from None
    return value


def _level(word: Word, place: str, notes: list[Note]) -> str:
    text = word.get("log_level")
    if text is None:
        return ""
    try:
        return converted_level(text)
    except ConfigError as error:
        notes.append(Note(place, f"`log_level` left out: {error}"))
        return ""


def _host(word: Word) -> str:
    if not word.head:
        if word.get("id"):
            return ""
        raise LineError("condition has no domain or id")
    try:
        route_host(word.head)
    except ConfigError as error:
        raise LineError(f"it could never match: {error}") from None
    return word.head


def _refuse(word: Word) -> None:
    """Say what Pushpin says of options with values it does not know."""
    if word.get("proto") not in {None, "http", "ws"}:
        raise LineError("proto must be set to 'http' or 'ws'")
    if word.get("ssl") not in {None, "yes", "no"}:
        raise LineError("ssl must be set to 'yes' or 'no'")
    if word.get("path_beg") == "":
        raise LineError("path_beg cannot be empty")
    if word.get("jsonp_mode") not in {None, "basic", "extended"}:
        raise LineError("jsonp_mode must be set to 'basic' or 'extended'")
    if not all(":" in header for header in word.get_all("header")):
        raise LineError("header must use format 'name:value'")


def _accepted(word: Word, name: str) -> str:
    """The value of an option that has a check; nothing if it does not pass."""
    value = word.get(name) or ""
    return "" if _refusal(name, value) else value


def _refusal(name: str, value: str) -> str:
    try:
        _CHECKS[name](value)
    except ConfigError as error:
        return str(error)
    return ""


def _condition_notes(word: Word) -> Iterator[str]:
    if word.get("session") is not None:
        yield "`session` left out: without a session store (`state_spec`) it changes nothing"
    yield from option_notes(word, _CARRIED_CONDITION)
    for name in _CHECKS:
        if refusal := _refusal(name, word.get(name) or ""):
            yield f"`{name}` left out: {refusal}"
