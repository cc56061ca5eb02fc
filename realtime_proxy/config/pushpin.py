"""Pushpin's configuration to ours, for `realtime-proxy convert`: files in, text and notes out.

A converted file keeps the old behaviour where ours has other defaults. Nothing is dropped in
silence: what is not in the new file is in a note, which is in the new file, too.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from realtime_proxy.config.addresses import (
    Address,
    is_loopback,
    parse_address,
    parse_endpoint,
    parse_mode,
    parse_port,
    parse_tcp,
)
from realtime_proxy.config.load import load_text
from realtime_proxy.config.pushpin_forwarded import converted_forwarded
from realtime_proxy.config.pushpin_key import MOVED_KEY, converted_key, is_moved
from realtime_proxy.config.pushpin_level import converted_level
from realtime_proxy.config.pushpin_note import Note
from realtime_proxy.config.pushpin_options import left_over_notes
from realtime_proxy.config.pushpin_routes import ConvertedRoute, convert_routes
from realtime_proxy.config.pushpin_settings import Settings
from realtime_proxy.config.pushpin_stats import converted_metrics, converted_stats
from realtime_proxy.config.server_section import Tls
from realtime_proxy.config.toml_text import comment, route_text, section
from realtime_proxy.errors import ConfigError

Values = dict[str, Any]

# Pushpin waits this long for a backend, and for a client that keeps a connection.
PUSHPIN_TIMEOUT_SECONDS = 1800.0
_SHIPPED_SOCKJS_URL = "http://cdn.jsdelivr.net/sockjs/0.3.4/sockjs.min.js"


@attrs.frozen
class Conversion:
    """A converted configuration, and what a person must know of it."""

    text: str
    notes: tuple[Note, ...]


def convert(conf: Path) -> Conversion:
    """Our configuration for a `pushpin.conf` and its routes; `ConfigError` if it can't be read."""
    settings = Settings.read(conf)
    sections: dict[str, Values] = {
        "server": _server(settings),
        "forwarded": converted_forwarded(settings),
        "backend": {"read_timeout_seconds": PUSHPIN_TIMEOUT_SECONDS},
        "grip": _grip(settings),
        "publish": _publish(settings),
        "stats": converted_stats(settings),
        "metrics": converted_metrics(settings),
        "log": _log(settings),
    }
    routes, route_notes = _routes(settings)
    url = settings.literal("proxy", "sockjs_url", _SHIPPED_SOCKJS_URL)
    if url and any(converted.route.sockjs for converted in routes):
        sections["server"]["sockjs_url"] = url
    notes = [*settings.notes, *left_over_notes(settings), *route_notes]
    notes += _remaining_problems(_text(settings.file, sections, routes, notes))
    return Conversion(_text(settings.file, sections, routes, notes), tuple(notes))


def _server(settings: Settings) -> Values:
    values: Values = {"listen": tuple(_listeners(settings)), "tls": tuple(_tls(settings))}
    if not values["listen"] and not values["tls"]:
        settings.note("runner", "http_port", "no server ports configured; Pushpin would not start")
    values["workers"] = 1
    values["max_connections"] = settings.number("runner", "client_maxconn", 50_000, 1)
    # Pushpin's bound: the whole head must fit into the buffer.
    values["max_header_bytes"] = settings.number("runner", "client_buffer_size", 8_192, 1)
    values["idle_timeout_seconds"] = PUSHPIN_TIMEOUT_SECONDS
    # Pushpin pings nobody, and lets a backend take its time to accept.
    values["websocket_ping_seconds"] = values["websocket_handshake_seconds"] = 0.0
    if settings.flag("runner", "allow_compression"):
        values["compression"] = True
    # Pushpin adds nothing to streams.
    values["event_stream_keep_alive_seconds"] = 0
    values["unbuffered_streams"] = False
    if settings.flag("proxy", "auto_cross_origin"):
        values["cross_origin"] = True
    if settings.flag("proxy", "debug"):
        values["debug"] = True
    return values


def _listeners(settings: Settings) -> Iterator[str]:
    plain = settings.items("runner", "http_port", "7999")
    yield from _unique(settings, "http_port", plain, parse_port)

    def parse_local(item: str) -> Address:
        return parse_address(f"unix:{settings.folder / item}")

    local = settings.items("runner", "local_ports")
    yield from _unique(settings, "local_ports", local, parse_local)


def _unique(
    settings: Settings, key: str, items: list[str], parse: Callable[[str], Address]
) -> Iterator[str]:
    """The addresses of a list, each once; a note for every other one."""
    seen = set()
    for item in items:
        try:
            address = parse(item)
        except ConfigError as error:
            settings.note("runner", key, f"left out: {error}")
            continue
        if address in seen:
            settings.note("runner", key, f"`{item}` is in it twice; one is left out")
            continue
        seen.add(address)
        yield str(address)


def _tls(settings: Settings) -> Iterator[Tls]:
    folder = settings.folder / "runner" / "certs"
    ports = settings.items("runner", "https_ports")
    for listen in _unique(settings, "https_ports", ports, parse_port):
        default = folder / f"default_{parse_tcp(listen).port}"
        yield Tls(listen, f"{default}.crt", f"{default}.key", str(folder))


def _grip(settings: Settings) -> Values:
    values: Values = {
        "issuer": settings.literal("proxy", "sig_iss", "pushpin"),
        "key": _key(settings, "sig_key"),
        "max_channels": settings.number("handler", "connection_subscription_max", 20, 0),
    }
    upstream_key = _key(settings, "upstream_key")
    if upstream_key:
        values["upstream_key"] = upstream_key
    return values


def _key(settings: Settings, option: str) -> str:
    written = settings.literal("proxy", option)
    key = converted_key(written, settings.folder)
    if is_moved(written, key):
        settings.note("proxy", option, MOVED_KEY)
    return key


def _publish(settings: Settings) -> Values:
    values: Values = {
        "pull": _checked(settings, "push_in_spec", "tcp://127.0.0.1:5560", parse_endpoint),
        "sub": tuple(_sub(settings)),
        "sub_connect": settings.flag("handler", "push_in_sub_connect"),
        "command": _checked(settings, "command_spec", "tcp://127.0.0.1:5563", parse_endpoint),
        "http": _control(settings),
        "max_header_bytes": settings.number("handler", "push_in_http_max_headers_size", 10_000, 1),
        "max_body_bytes": settings.number("handler", "push_in_http_max_body_size", 1_000_000, 1),
        "max_deliveries_per_second": max(0, settings.number("handler", "message_rate", -1)),
        "max_queued_deliveries": max(0, settings.number("handler", "message_hwm", -1)),
        "message_wait_seconds": settings.number("handler", "message_wait", 5_000, 0) / 1_000,
        "id_cache_seconds": settings.number("handler", "id_cache_ttl", 60, 0),
        "update_on_first_subscription": settings.flag(
            "handler", "update_on_first_subscription", default=True
        ),
        "message_block_bytes": settings.number("handler", "message_block_size", 0, 0),
        "subscription_linger_seconds": settings.number("handler", "subscription_linger", 60, 0),
    }
    mode = _checked(settings, "ipc_file_mode", "", parse_mode, nothing="-1")
    if mode:
        values["ipc_mode"] = mode
    for option, text in _publish_addresses(values):
        address = parse_endpoint(text) if "://" in text else parse_tcp(text)
        if not is_loopback(address):
            values["allow_unauthenticated"] = True
            settings.note(
                "handler",
                option,
                f"WARNING: anyone who reaches {text} can publish, as before; "
                "allow_unauthenticated = true keeps it open",
            )
    return values


def _publish_addresses(values: Values) -> Iterator[tuple[str, str]]:
    """Where publishers are waited for, each with the option it comes from."""
    if values["pull"]:
        yield "push_in_spec", values["pull"]
    if values["command"]:
        yield "command_spec", values["command"]
    if not values["sub_connect"]:
        yield from (("push_in_sub_specs", endpoint) for endpoint in values["sub"])
    if values["http"]:
        yield "push_in_http_addr", values["http"]


def _sub(settings: Settings) -> Iterator[str]:
    """The SUB addresses: a list, and the old option for one."""
    specs = settings.items("handler", "push_in_sub_specs", "tcp://127.0.0.1:5562")
    for spec in dict.fromkeys((*specs, *settings.items("handler", "push_in_sub_spec"))):
        try:
            parse_endpoint(spec)
        except ConfigError as error:
            settings.note("handler", "push_in_sub_specs", f"left out: {error}")
        else:
            yield spec


def _checked(
    settings: Settings,
    key: str,
    default: str,
    parse: Callable[[str], object],
    nothing: str = "",
) -> str:
    """An option of the handler as it is, or nothing, with a note, if it can't be used."""
    value = settings.text("handler", key, default).strip()
    if value in {"", nothing}:
        return ""
    try:
        parse(value)
    except ConfigError as error:
        settings.note("handler", key, f"left out: {error}")
        return ""
    return value


def _control(settings: Settings) -> str:
    """The address of the HTTP control server; absent or without port: none."""
    host = settings.text("handler", "push_in_http_addr", "127.0.0.1").strip() or "127.0.0.1"
    port = settings.number("handler", "push_in_http_port", 0, 0)
    if port == 0:
        return ""
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    address = f"{bracketed}:{port + settings.port_offset}"
    try:
        parse_tcp(address, lowest_port=1)
    except ConfigError as error:
        settings.note("handler", "push_in_http_addr", f"left out: {error}")
        return ""
    return address


def _log(settings: Settings) -> Values:
    values: Values = {"level": "info", "format": "pushpin"}
    level, *services = settings.items("runner", "log_level", "2") or ["2"]
    try:
        values["level"] = converted_level(level)
    except ConfigError as error:
        settings.note("runner", "log_level", f"{error}; info is used")
    if services:
        settings.note("runner", "log_level", "levels of single services left out: there are none")
    file = settings.text("runner", "logfile")
    if file:
        values["file"] = str(settings.folder / file)
    for key, ours in (("log_from", "client_address"), ("log_user_agent", "user_agent")):
        if settings.flag("proxy", key):
            values[ours] = True
    return values


def _routes(settings: Settings) -> tuple[list[ConvertedRoute], list[Note]]:
    file = settings.folder / settings.text("proxy", "routesfile", "routes")
    try:
        text = settings.read_text(file)
    except ConfigError as error:
        return [], [Note(str(file), f"{error.problems[0]}; there are no routes")]
    return convert_routes(text.split("\n"), file.name, settings.folder)


def _remaining_problems(text: str) -> Iterator[Note]:
    """What keeps a converted file from being used, as Pushpin would not or hardly have worked."""
    try:
        load_text(text)
    except ConfigError as error:
        for problem in error.problems:
            yield Note("to be mended by hand", str(problem))


def _text(
    conf: Path, sections: Mapping[str, Values], routes: list[ConvertedRoute], notes: list[Note]
) -> str:
    lines = [*comment(f"Converted from {conf}. Documentation: docs/configuration.md")]
    if notes:
        lines += ["#", "# What is different, and what needs a look:"]
    for note in notes:
        lines += comment(f"- {note}", indent="  ")
    for name, values in sections.items():
        lines += section(name, values)
    for route in routes:
        lines += ["", *comment(route.place), *route_text(route.route)]
    return "\n".join(lines) + "\n"
