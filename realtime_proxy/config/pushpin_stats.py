"""Statistics and metrics of a `pushpin.conf`."""

from typing import Any

from realtime_proxy.config.addresses import (
    Address,
    is_loopback,
    parse_address,
    parse_endpoint,
    parse_port,
)
from realtime_proxy.config.checks import metric_prefix, one_of, or_empty
from realtime_proxy.config.pushpin_settings import Settings
from realtime_proxy.errors import ConfigError

_FORMATS = one_of("tnetstring", "json")
_PREFIX = or_empty(metric_prefix)


def converted_stats(settings: Settings) -> dict[str, Any]:
    """The section `[stats]`: Pushpin tells statistics unless its option is there and empty."""
    pub = settings.text("handler", "stats_spec", "ipc://{rundir}/{ipc_prefix}stats").strip()
    packet_format = settings.literal("handler", "stats_format", "tnetstring").strip()
    try:
        _FORMATS(packet_format)
    except ConfigError as error:
        settings.note("handler", "stats_format", f"{error}; tnetstring is used")
        packet_format = "tnetstring"
    values: dict[str, Any] = {
        "pub": _endpoint(settings, pub),
        "format": packet_format,
        "connections": settings.flag("global", "stats_connection_send", default=True),
        "connection_ttl_seconds": settings.number("global", "stats_connection_ttl", 120, 1),
        "subscription_ttl_seconds": settings.number("handler", "stats_subscription_ttl", 60, 1),
        "report_interval_seconds": max(0, settings.number("handler", "stats_report_interval", 10)),
    }
    if values["pub"] and not is_loopback(parse_endpoint(values["pub"])):
        _stays_open(settings, values, "stats_spec", values["pub"])
    return values


def _endpoint(settings: Settings, pub: str) -> str:
    if not pub:
        return ""
    try:
        parse_endpoint(pub)
    except ConfigError as error:
        settings.note("handler", "stats_spec", f"left out: {error}")
        return ""
    return pub


def converted_metrics(settings: Settings) -> dict[str, Any]:
    """The section `[metrics]`: one port has everything, where Pushpin has one for each part."""
    section = "handler" if settings.text("handler", "prometheus_port").strip() else "proxy"
    if section == "handler" and settings.text("proxy", "prometheus_port").strip():
        message = "left out: the port of [handler] has the metrics of both"
        settings.note("proxy", "prometheus_port", message)
    prefix = settings.literal(section, "prometheus_prefix").strip()
    for part in ("proxy", "handler"):  # that of a port that is not there says nothing
        settings.literal(part, "prometheus_prefix")
    try:
        _PREFIX(prefix)
    except ConfigError as error:
        settings.note(section, "prometheus_prefix", f"left out: {error}")
        prefix = ""
    values: dict[str, Any] = {"prefix": prefix}
    text = settings.text(section, "prometheus_port").strip()
    if text:
        try:
            address = _address(text)
        except ConfigError as error:
            settings.note(section, "prometheus_port", f"left out: {error}")
            return values
        values["listen"] = str(address)
        if not is_loopback(address):
            _stays_open(settings, values, "prometheus_port", str(address), section)
    return values


def _address(text: str) -> Address:
    if text.startswith("ipc://"):
        return parse_address(f"unix:{text.removeprefix('ipc://')}")
    return parse_port(text)


def _stays_open(
    settings: Settings, values: dict[str, Any], key: str, address: str, section: str = "handler"
) -> None:
    values["allow_unauthenticated"] = True
    settings.note(
        section,
        key,
        f"WARNING: everyone who reaches {address} is told, as before; "
        "allow_unauthenticated = true keeps it open",
    )
