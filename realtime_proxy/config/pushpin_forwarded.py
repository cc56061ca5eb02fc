"""What a `pushpin.conf` says of forwarded headers, as `[forwarded]`."""

from collections.abc import Iterator
from typing import Any

from realtime_proxy.config.checks import cdn_name, field_name
from realtime_proxy.config.pushpin_settings import Settings
from realtime_proxy.errors import ConfigError

_PROTO = {"true": "both", "proto-only": "proto"}


def converted_forwarded(settings: Settings) -> dict[str, Any]:
    """All keys of `[forwarded]` that Pushpin has, as our defaults are others."""
    proto = settings.text("proxy", "set_x_forwarded_protocol").strip()
    return {
        "accept_x_forwarded_proto": settings.flag("proxy", "accept_x_forwarded_protocol"),
        "set_x_forwarded_proto": _PROTO.get(proto, ""),
        "x_forwarded_for": tuple(_rule(settings, "x_forwarded_for")),
        "x_forwarded_for_trusted": tuple(_rule(settings, "x_forwarded_for_trusted")),
        "original_headers_need_mark": tuple(_names(settings, "orig_headers_need_mark")),
        "accept_pushpin_route": settings.flag("proxy", "accept_pushpin_route"),
        "cdn_loop": _cdn(settings),
        "drop_untrusted": False,
        "via": "",
    }


def _rule(settings: Settings, key: str) -> Iterator[str]:
    """The words Pushpin knows; it stops at a number that is none."""
    for word in settings.items("proxy", key):
        name, _, count = word.partition(":")
        if name == "truncate":
            if not (count.isascii() and count.isdigit()):
                settings.note("proxy", key, f"`{word}` has no number; it and what follows left out")
                return
            yield f"truncate:{min(int(count[:9]), 9_999)}"
        elif word == "append":
            yield word
        else:
            settings.note("proxy", key, f"`{word}` is unknown, to Pushpin too; left out")


def _names(settings: Settings, key: str) -> Iterator[str]:
    for name in settings.items("proxy", key):
        try:
            field_name(name)
        except ConfigError as error:
            settings.note("proxy", key, f"left out: {error}")
        else:
            yield name


def _cdn(settings: Settings) -> str:
    name = settings.literal("proxy", "cdn_loop").strip()
    try:
        if name:
            cdn_name(name)
    except ConfigError as error:
        settings.note("proxy", "cdn_loop", f"left out: {error}")
        return ""
    return name
