"""Log levels as Pushpin writes them."""

from realtime_proxy.errors import ConfigError, Problem

_NAMES = ("error", "warning", "info", "debug")


def converted_level(text: str) -> str:
    """Our log level for one of Pushpin's: a number, of which 3 and more are `debug`, or a name."""
    if text in _NAMES:
        return text
    if text.isascii() and text.isdigit():
        return _NAMES[min(int(text[:9]), 3)]
    accepted = f"0 to 3, {', '.join(_NAMES)}"
    raise ConfigError([Problem("", f"`{text}` is not a log level; accepted: {accepted}")])
