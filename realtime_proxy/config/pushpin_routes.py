"""Pushpin's routes file: each line to a `Route`, with notes about what is not in it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from realtime_proxy.config.checks import (
    backend_url,
    callback,
    is_ipv6_host,
    method,
    or_empty,
    route_host,
)
from realtime_proxy.config.pushpin_key import MOVED_KEY, converted_key, is_moved
from realtime_proxy.config.pushpin_line import LineError, Word, split_line
from realtime_proxy.config.pushpin_note import Note
from realtime_proxy.config.schema import Route, Target
from realtime_proxy.errors import ConfigError, Problem

_CARRIED_CONDITION = frozenset(
    (
        *("proto", "ssl", "path_beg", "id", "sig_iss", "sig_key", "prefix", "debug", "no_grip"),
        *("aco", "jsonp_mode", "jsonp_cb", "jsonp_body", "jsonp_defcb", "jsonp_defmethod"),
    )
)
_CARRIED_TARGET = frozenset(("ssl", "insecure", "over_http", "one_event", "sub"))

_CHECKS = {"jsonp_defcb": or_empty(callback), "jsonp_defmethod": or_empty(method)}

# What is lost with an option that can't be carried over yet.
_LATER_CONDITION = {
    "orig_headers": "original headers are not sent along",
    "as_host": "the backend gets the client's host",
    "path_rem": "the path is passed on unchanged",
    "replace_beg": "the path is passed on unchanged",
    "header": "request headers are passed on unchanged",
    "session": "there is no session store",
    "sockjs": "requests of SockJS are treated as any other",
    "sockjs_as_path": "requests of SockJS are treated as any other",
    "log_level": "the route logs as all others do",
}
_LATER_TARGET = {
    "trust_connect_host": "the certificate is checked against the host of the request",
    "host": "the backend gets the client's host",
    "untrusted": "PRIVATE ADDRESSES ARE NOT REFUSED",
    "client_cert": "no certificate is shown to the backend",
    "client_key": "no certificate is shown to the backend",
    "ipc_file_mode": "it is for ZeroMQ targets only",
}


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
    ids: dict[str, str] = {}
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
        if condition in conditions:
            text = f"left out: skipping duplicate condition (as {conditions[condition]})"
            notes.append(Note(place, text))
            continue
        conditions[condition] = place
        if route.id in ids:
            notes.append(Note(place, f"`id` left off: {ids[route.id]} has it already"))
            route = attrs.evolve(route, id="")
        elif route.id:
            ids[route.id] = place
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
        _condition(condition, folder), targets=tuple(_targets(targets, place, notes))
    )
    if not route.key and (condition.get("sig_iss") or condition.get("sig_key")):
        notes.append(Note(place, "`sig_iss` and `sig_key` count only together; left out"))
    if route.key and is_moved(condition.get("sig_key") or "", route.key):
        notes.append(Note(place, f"`sig_key` is {MOVED_KEY}"))
    notes += (Note(place, text) for text in _condition_notes(condition))
    for target in targets:
        notes += (Note(place, text) for text in _target_notes(target))
    if not route.targets:
        raise LineError("no target is left; its requests meet the other routes now")
    return route


def _condition(word: Word, folder: Path) -> Route:
    _refuse(word)
    pair = word.get("sig_iss") or "", converted_key(word.get("sig_key") or "", folder)
    issuer, key = pair if all(pair) else ("", "")
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
        debug=word.get("debug") is not None,
        cross_origin=word.get("aco") is not None,
        json_p_mode=word.get("jsonp_mode") or "extended",
        json_p_callback=word.get("jsonp_cb") or "callback",
        json_p_body=word.get("jsonp_body") or "",
        json_p_default_callback=_accepted(word, "jsonp_defcb") or "",
        json_p_default_method=_accepted(word, "jsonp_defmethod") or "",
    )


def _host(word: Word) -> str:
    if not word.head:
        if word.get("id"):
            raise LineError(
                "without a domain it is reachable by `Pushpin-Route` only, "
                "which is not carried over yet"
            )
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


def _targets(words: list[Word], place: str, notes: list[Note]) -> Iterator[Target]:
    for word in words:
        head = word.head or ""
        if head.startswith(("zhttp/", "zhttpreq/")):
            # The one without a connection per request may come; the other is Pushpin's own.
            yet = " yet" if head.startswith("zhttpreq/") else ""
            notes.append(Note(place, f"target `{head}` left out: ZeroMQ is not supported{yet}"))
            continue
        is_test = head == "test"
        yield Target(
            url="" if is_test else _url(word),
            test=is_test,
            over_http=word.get("over_http") is not None,
            one_event=word.get("one_event") is not None,
            insecure=word.get("insecure") is not None,
            subscribe=tuple(filter(None, word.get_all("sub"))),
        )


def _url(word: Word) -> str:
    host, colon, port = (word.head or "").rpartition(":")
    if not colon or not host or (is_ipv6_host(host) and not host.startswith("[")):
        raise LineError("target bad format")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535):
        raise LineError("target invalid port")
    url = f"{'http' if word.get('ssl') is None else 'https'}://{host}:{int(port)}"
    try:
        backend_url(url)
    except ConfigError:
        raise LineError("target bad format") from None
    return url


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
    yield from _option_notes(word, _CARRIED_CONDITION, _LATER_CONDITION)
    for name in _CHECKS:
        if refusal := _refusal(name, word.get(name) or ""):
            yield f"`{name}` left out: {refusal}"


def _target_notes(word: Word) -> Iterator[str]:
    return _option_notes(word, _CARRIED_TARGET, _LATER_TARGET)


def _option_notes(word: Word, carried: frozenset[str], later: dict[str, str]) -> Iterator[str]:
    for name in dict(word.options):
        if name in later:
            yield f"`{name}` is not carried over yet: {later[name]}"
        elif name not in carried:
            yield f"`{name}` is unknown, to Pushpin too; left out"
