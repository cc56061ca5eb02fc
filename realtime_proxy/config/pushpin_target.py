"""A target on a line of Pushpin's routes file, and what its options share with conditions."""

from collections.abc import Iterator
from pathlib import Path

from realtime_proxy.config.addresses import parse_endpoint, parse_mode
from realtime_proxy.config.checks import (
    ZHTTP_REFUSED,
    backend_url,
    host_and_port,
    is_ipv6_host,
    or_empty,
)
from realtime_proxy.config.pushpin_line import LineError, Word
from realtime_proxy.config.pushpin_note import Note
from realtime_proxy.config.route_section import Target
from realtime_proxy.errors import ConfigError

_CARRIED_TARGET = frozenset(
    (
        "client_cert",
        "client_key",
        "host",
        "insecure",
        "ipc_file_mode",
        "one_event",
        "over_http",
        "ssl",
        "sub",
        "trust_connect_host",
        "untrusted",
    )
)


def targets_of(words: list[Word], place: str, folder: Path, notes: list[Note]) -> Iterator[Target]:
    """The targets of a line, of which some have to be left out. Raises LineError."""
    for word in words:
        head = word.head or ""
        if head.startswith(("zhttp/", "zws/")):
            notes.append(Note(place, f"target `{head}` left out: {ZHTTP_REFUSED}"))
            continue
        is_test, zhttpreq = head == "test", _zhttpreq(word)
        yield Target(
            url="" if is_test or zhttpreq else _url(word),
            test=is_test,
            zhttpreq=zhttpreq,
            ipc_mode=_ipc_mode(word, place, notes) if zhttpreq else "",
            over_http=word.get("over_http") is not None,
            one_event=word.get("one_event") is not None,
            host=host_and_port_of(word, "host"),
            insecure=word.get("insecure") is not None,
            # It only matters with TLS, and is Pushpin's default for none of its targets.
            trust_connect_host=word.get("ssl") is None
            or word.get("trust_connect_host") is not None,
            client_certificate=_file(word, "client_cert", folder),
            client_key=_file(word, "client_key", folder),
            untrusted=word.get("untrusted") is not None,
            subscribe=tuple(filter(None, word.get_all("sub"))),
        )


def _file(word: Word, option: str, folder: Path) -> str:
    name = word.get(option)
    return str(folder.absolute() / name) if name else ""


def _zhttpreq(word: Word) -> str:
    """The ZeroMQ address of a target that has one."""
    kind, slash, endpoint = (word.head or "").partition("/")
    if kind != "zhttpreq" or not slash:
        return ""
    try:
        parse_endpoint(endpoint)
    except ConfigError as error:
        raise LineError(f"target bad format: {error}") from None
    return endpoint


def _ipc_mode(word: Word, place: str, notes: list[Note]) -> str:
    mode = word.get("ipc_file_mode") or ""
    try:
        or_empty(parse_mode)(mode)
    except ConfigError as error:
        notes.append(Note(place, f"`ipc_file_mode` left out: {error}"))
        return ""
    return mode


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


def target_notes(word: Word) -> Iterator[str]:
    """What is to be said of the options of a target."""
    return option_notes(word, _CARRIED_TARGET)


def host_and_port_of(word: Word, option: str) -> str:
    """The host of an option, empty if it is not there. Raises LineError if it is none."""
    value = word.get(option) or ""
    try:
        if value:
            host_and_port(value)
    except ConfigError as error:
        raise LineError(f"{option}: {error}") from None
    return value


def option_notes(word: Word, carried: frozenset[str]) -> Iterator[str]:
    """What is to be said of options that are not carried over."""
    for name in dict(word.options):
        if name not in carried:
            yield f"`{name}` is unknown, to Pushpin too; left out"
