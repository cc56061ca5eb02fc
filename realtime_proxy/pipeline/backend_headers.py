"""Headers that handlers set for backends: which these may be, and how nobody else sets them."""

from collections.abc import Iterable

from realtime_proxy.config.checks import editable_field
from realtime_proxy.errors import ConfigError, Problem

# What clients have their credentials in, for handlers of any route to see.
_OF_CLIENTS = frozenset(("authorization", "cookie", "proxy-authorization"))
# Of the proxy, of a handshake, or about the body.
_RESERVED = ("content-", "grip-", "sec-websocket-")


def backend_header(name: str, value: str = "") -> None:
    """A check for settings that name one. Raises ConfigError."""
    editable_field(name, value)
    if name.lower().startswith(_RESERVED):
        raise ConfigError([Problem("", f"`{name}` is the proxy's own and can't be set")])


def set_by_handlers_only(names: Iterable[str]) -> frozenset[str]:
    """For `sets_headers`: these names, but for those of credentials.

    Those can't be taken off every request; a handler that sets one takes it away where it acts.
    """
    return frozenset(name.lower() for name in names) - _OF_CLIENTS
