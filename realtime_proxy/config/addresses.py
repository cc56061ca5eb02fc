"""Addresses as people write them: where to listen, and ZeroMQ endpoints.

Text becomes a frozen value here and nowhere else. Names are not resolved, and nothing is opened.
"""

import ipaddress
from urllib.parse import parse_qsl

import attrs

from realtime_proxy.errors import ConfigError, Problem

TCP_FORMS = "`HOST:PORT` or `[V6]:PORT`"
ENDPOINT_FORMS = "`tcp://HOST:PORT` or `ipc://PATH`"
ANY_IPV4 = "0.0.0.0"  # noqa: S104  what a bare port has always meant to Pushpin


@attrs.frozen
class TcpAddress:
    """A TCP address; `host` is a name or a literal without brackets, port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@attrs.frozen
class UnixAddress:
    """A unix socket by its path, with the permissions and owner it is to get (None: unchanged)."""

    path: str
    mode: int | None = None
    user: str | None = None
    group: str | None = None

    def __str__(self) -> str:
        mode = None if self.mode is None else f"{self.mode:o}"
        pairs = (("mode", mode), ("user", self.user), ("group", self.group))
        query = "&".join(f"{name}={value}" for name, value in pairs if value is not None)
        return f"unix:{self.path}?{query}" if query else f"unix:{self.path}"


Address = TcpAddress | UnixAddress
_IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_UNIX_FORMS = "mode=OCTAL&user=NAME&group=NAME"
_PROXY_FORM = "proxy_protocol=true"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052


def parse_address(text: str) -> Address:
    """The address to listen on that a text names: `HOST:PORT`, `[V6]:PORT` or `unix:PATH`."""
    if text.startswith("unix:"):
        path, _, query = text.removeprefix("unix:").partition("?")
        return _unix(path, _options(query, _UNIX_FORMS))
    return parse_tcp(text)


@attrs.frozen
class ListenerAddress:
    """Where clients are waited for, and whether what they come through says who they are."""

    address: Address
    proxy_protocol: bool = False


def parse_listener(text: str) -> ListenerAddress:
    """An address of `[server] listen`: as `parse_address`, and perhaps `?proxy_protocol=true`."""
    place, _, query = text.partition("?")
    is_unix = place.startswith("unix:")
    options = _options(query, f"{_UNIX_FORMS}&{_PROXY_FORM}" if is_unix else _PROXY_FORM)
    proxied = options.pop("proxy_protocol", "false")
    if proxied not in {"true", "false"}:
        raise _wrong(f"`proxy_protocol={proxied}`: accepted are `true` and `false`")
    address = _unix(place.removeprefix("unix:"), options) if is_unix else parse_tcp(place)
    return ListenerAddress(address, proxied == "true")


def parse_tcp(text: str, *, lowest_port: int = 0) -> TcpAddress:
    """The TCP address of `HOST:PORT` or `[V6]:PORT`."""
    if text.startswith("["):
        literal, bracket, rest = text[1:].partition("]")
        if not bracket or not rest.startswith(":") or not _is_ipv6(literal):
            raise _wrong(f"`{text}` is not `[V6]:PORT`, such as `[::1]:7999`")
        return TcpAddress(literal, parse_port_number(rest[1:], lowest_port))
    host, colon, port = text.rpartition(":")
    if not colon:
        raise _wrong(f"`{text}` lacks a port; accepted: {TCP_FORMS}")
    if ":" in host:
        raise _wrong(f"`{text}`: an IPv6 address is written in brackets: `[V6]:PORT`")
    if not is_host(host):
        raise _wrong(f"`{text}` has no usable host; accepted: {TCP_FORMS}")
    return TcpAddress(host, parse_port_number(port, lowest_port))


def parse_port(text: str) -> TcpAddress:
    """The address of `[ADDR:]PORT`, as in `--port`; a bare port is on all IPv4 addresses."""
    if text.isascii() and text.isdigit():
        return TcpAddress(ANY_IPV4, parse_port_number(text))
    return parse_tcp(text)


def parse_endpoint(text: str) -> Address:
    """The address of a ZeroMQ endpoint, `tcp://HOST:PORT` or `ipc://PATH`; `*` is any host."""
    transport, separator, rest = text.partition("://")
    if separator and transport == "ipc" and rest:
        return UnixAddress(rest)
    if not separator or transport != "tcp":
        raise _wrong(f"`{text}` is not a ZeroMQ address; accepted: {ENDPOINT_FORMS}")
    if rest.startswith("*:"):
        return TcpAddress("*", parse_port_number(rest[2:]))
    return parse_tcp(rest)


def parse_port_number(text: str, lowest: int = 0) -> int:
    """A port number of decimal digits within its range."""
    if text.isascii() and text.isdigit() and len(text) <= 5 and lowest <= int(text) <= 65535:
        return int(text)
    raise _wrong(f"port `{text}` is not a number from {max(lowest, 1)} to 65535")


def parse_mode(text: str) -> int:
    """File permissions of octal digits, such as `660`."""
    try:
        mode = int(text, 8) if text.isascii() and text.isdigit() else -1
    except ValueError:
        mode = -1
    if 0 <= mode <= 0o777:
        return mode
    raise _wrong(f"`{text}` is not octal permissions, such as `660`")


def is_loopback(address: Address) -> bool:
    """True if only this machine can reach the address."""
    if isinstance(address, UnixAddress) or address.host.lower() == "localhost":
        return True
    try:
        parsed = ipaddress.ip_address(address.host)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def is_private(host: str) -> bool:
    """True for a literal address of this machine, of a private network, or of a group of hosts.

    Addresses that carry an IPv4 address (mapped, 6to4, NAT64) are what that one is. False for
    names: those have to be looked up first.
    """
    try:
        address: _IpAddress = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        else:
            address = address.ipv4_mapped or address.sixtofour or address
    return not address.is_global or address.is_multicast


def is_host(text: str) -> bool:
    """True if a text can be a host: a name or an IPv4 address, without port, path or blanks."""
    return (
        bool(text) and text.isascii() and text.isprintable() and not set(text) & set(" /:?#@[]*\\")
    )


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _options(query: str, forms: str) -> dict[str, str]:
    """What stands after `?`, where only these forms are accepted."""
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        raise _wrong(f"`{query}` is not `{forms}`") from None
    names = {form.partition("=")[0] for form in forms.split("&")}
    for name, value in options.items():
        if name not in names or not value:
            raise _wrong(f"`{name}={value}`: accepted after `?` are `{forms}`")
    return options


def _unix(path: str, options: dict[str, str]) -> UnixAddress:
    if not path:
        raise _wrong("`unix:` is followed by the path of the socket")
    mode = parse_mode(options["mode"]) if "mode" in options else None
    return UnixAddress(path, mode, options.get("user"), options.get("group"))


def _wrong(message: str) -> ConfigError:
    return ConfigError([Problem("", message)])
