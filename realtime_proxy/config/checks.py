"""What single values of the configuration may be, beyond their type.

A check takes one value (of a list: one element) and raises `ConfigError` saying what is accepted.
The schema names them beside each key; `structure.py` applies them.
"""

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from realtime_proxy.config.addresses import is_host, parse_port_number, parse_tcp
from realtime_proxy.errors import ConfigError, Problem

Check = Callable[..., object]

# What logs may be told to write, from the least to the most.
LEVELS = ("error", "warning", "info", "debug")

ZHTTP_REFUSED = (
    "backends that are connected to by `zhttp/` or `zws/` are not supported; those of `zhttpreq/`, "
    "with a message for each request, are"
)

UNIX = "unix"
_HANDLER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_CALLBACK = re.compile(r"[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*|\[[0-9]+\])*", re.ASCII)
_Z85_KEY = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_METHOD = re.compile(r"[A-Z][A-Z-]*")
_METRIC_PREFIX = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FIELD_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_FORWARDED_RULE = re.compile(r"append|truncate:[0-9]{1,4}")
_CDN_NAME = re.compile(r"[\x21-\x2b\x2d-\x7e](?:[\x20-\x2b\x2d-\x7e]*[\x21-\x2b\x2d-\x7e])?")
_PATH_START = re.compile(r"[\x21-\x7e]*")
# Fields that say where a message ends, what becomes of a connection, or who asks: the proxy's own.
_OWN_FIELDS = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "grip-feature",
        "grip-sig",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
_IPV6_HOST = re.compile(r"\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?")


def at_least(minimum: int) -> Check:
    """A check for numbers that must not be smaller."""

    def check(value: float) -> None:
        if value < minimum:
            raise _wrong(f"{value} is too small; accepted: {minimum} or more")

    return check


def above_zero(value: float) -> None:
    """For times that can't be nothing."""
    if value <= 0:
        raise _wrong(f"{value} is too small; accepted: more than 0")


def one_of(*names: str) -> Check:
    """A check for text that must be one of a few words."""
    accepted = ", ".join(f"`{name}`" if name else "nothing" for name in names)

    def check(value: str) -> None:
        if value not in names:
            raise _wrong(f"`{value}` is not accepted here; accepted: {accepted}")

    return check


def or_empty(parse: Check) -> Check:
    """A check that lets an empty text pass, and leaves the rest to another."""

    def check(value: str) -> None:
        if value:
            parse(value)

    return check


def backend_url(value: str) -> None:
    """`http://HOST:PORT` or `https://HOST:PORT`: where to connect, without a path."""
    try:
        parts = urlsplit(value)
    except ValueError:
        raise _wrong(f"`{value}` is not a URL; accepted: `http://HOST:PORT`") from None
    if value.startswith(("zhttp/", "zws/")):
        raise _wrong(f"`{value}`: {ZHTTP_REFUSED}")
    if value.startswith("zhttpreq/"):
        endpoint = value.removeprefix("zhttpreq/")
        raise _wrong(f'`{value}` is no url; write `zhttpreq = "{endpoint}"` instead')
    if parts.scheme not in {"http", "https"} or not value.isprintable():
        raise _wrong(f"`{value}` does not begin with http:// or https://")
    if "@" in parts.netloc or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise _wrong(f"`{value}` has more than `{parts.scheme}://HOST:PORT`; paths pass unchanged")
    has_port = ":" in parts.netloc.rpartition("]")[2]
    parse_tcp(parts.netloc if has_port else f"{parts.netloc}:80", lowest_port=1)


def route_host(value: str) -> None:
    """A host a request may name: a whole name, an address, or `*` for any."""
    if value == "*" or is_host(value) or is_ipv6_host(value):
        return
    if not value.isascii():
        raise _wrong(f"`{value}` is not ASCII; write it as clients send it (`xn--…`)")
    if "*" in value:
        raise _wrong(f"`{value}`: a host is a whole name; `*` stands alone and is any host")
    raise _wrong(f"`{value}` is not a host name; accepted: a name without port, or `*`")


def page_origin(value: str) -> None:
    """An origin as browsers send it, with `*.` for any host below, or `null`."""
    scheme, separator, rest = value.partition("://")
    if value == "null":
        return
    if scheme not in ("http", "https") or not separator:
        raise _wrong("must be `https://HOST`, `http://HOST:PORT`, `https://*.HOST` or `null`")
    host_and_port(rest.removeprefix("*."))


def host_name(value: str) -> None:
    """For the name of a host, without port."""
    if not is_host(value):
        raise _wrong(f"`{value}` is not a host name; accepted: a name without port")


def is_ipv6_host(text: str) -> bool:
    """True if a text looks like an IPv6 address, with or without its brackets."""
    return _IPV6_HOST.fullmatch(text) is not None and text.count(":") > 1


def host_and_port(value: str) -> None:
    """What a `Host` field may be: a name or an address, and perhaps a port."""
    if value.startswith("["):
        host, bracket, rest = value[1:].partition("]")
        well_formed = bool(bracket) and is_ipv6_host(host) and rest[:1] in {"", ":"}
    else:
        host, colon, rest = value.partition(":")
        well_formed, rest = is_host(host), colon + rest
    if not well_formed:
        raise _wrong(f"`{value}` is not a host; accepted: `HOST`, `HOST:PORT`, `[V6]:PORT`")
    if rest:
        parse_port_number(rest[1:], 1)


def network(value: str) -> None:
    """An address, a network as `ADDRESS/BITS`, or `unix` for all that come by unix sockets."""
    if value == UNIX:
        return
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        text = f"`{value}` is not an address or network, such as `10.0.0.0/8`: {error}"
        raise _wrong(text) from None


def forwarded_rule(value: str) -> None:
    """A word of the rules for `X-Forwarded-For`."""
    if not _FORWARDED_RULE.fullmatch(value):
        raise _wrong(f"`{value}` is not a rule; accepted: `truncate:N`, `append`")


def cdn_name(value: str) -> None:
    """What may stand in `CDN-Loop`: one element, printable."""
    if not _CDN_NAME.fullmatch(value):
        raise _wrong(f"`{value}` can't stand in `CDN-Loop`; accepted: printable ASCII, no comma")


def via_name(value: str) -> None:
    """A pseudonym in `Via`."""
    if not _FIELD_NAME.fullmatch(value):
        raise _wrong(f"`{value}` can't stand in `Via`; accepted: letters, digits, `-`, `.`, `_`")


def path_start(value: str | None) -> None:
    """What the path of a request may begin with, as it is on the wire."""
    if value is None:
        return
    if not _PATH_START.fullmatch(value) or set(value) & set("?#") or value[:1] not in {"", "/"}:
        raise _wrong(
            f"`{value}` can't begin a path: it begins with `/` and is ASCII without blanks, "
            "`?` or `#` (a blank is `%20`)"
        )


def field_name(value: str) -> None:
    """The name of a header field."""
    if not _FIELD_NAME.fullmatch(value):
        raise _wrong(f"`{value}` is not the name of a header field")


def editable_field(name: str, value: str = "") -> None:
    """A header field that a route may set or remove: not one that is the proxy's own."""
    field_name(name)
    if name.lower() == "host":
        raise _wrong("`Host` is set by `as_host`, or by `host` of a target")
    if name.lower() in _OWN_FIELDS:
        raise _wrong(f"`{name}` is the proxy's own and can't be set or removed")
    if not _FIELD_VALUE.fullmatch(value):
        raise _wrong(f"the value of `{name}` has line ends or other control characters")


def handler_name(value: str) -> None:
    """A handler's name: it becomes a file name, so letters, digits, `_` and `-` only."""
    if not _HANDLER_NAME.fullmatch(value):
        raise _wrong(f"`{value}` is not a handler name; accepted: letters, digits, `_` and `-`")


def is_callback(text: str) -> bool:
    """True for the name of a JavaScript function, as `cb`, `jQuery.cb` or `cbs[3]`: no more code.

    What is more than a name would run in the page of whoever is made to open the link.
    """
    return _CALLBACK.fullmatch(text) is not None


def callback(value: str) -> None:
    """For the JavaScript function that a script calls."""
    if not is_callback(value):
        raise _wrong(f"`{value}` is not the name of a JavaScript function; accepted: `a.b[0]`")


def method(value: str) -> None:
    """For the method of a request."""
    if not _METHOD.fullmatch(value):
        raise _wrong(f"`{value}` is not a method; accepted: capital letters, such as `POST`")


def metric_prefix(value: str) -> None:
    """For what names of metrics begin with."""
    if not _METRIC_PREFIX.fullmatch(value):
        raise _wrong(f"`{value}` does not begin names of metrics; accepted: letters, digits, `_`")


def z85_key(value: str) -> None:
    """A key of CURVE as ZeroMQ writes it."""
    if not _Z85_KEY.fullmatch(value):
        raise _wrong("is no CURVE key; accepted: 40 characters of Z85")


def not_empty(value: str) -> None:
    """For text that must say something."""
    if not value:
        raise _wrong("is empty")


def _wrong(message: str) -> ConfigError:
    return ConfigError([Problem("", message)])
