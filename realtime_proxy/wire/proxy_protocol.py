"""The PROXY protocol, versions 1 and 2: how a load balancer says whose connection it passes on.

Specified by HAProxy's `doc/proxy-protocol.txt`, whose sections are named here.
"""

import re
from ipaddress import IPv4Address, IPv6Address

import attrs

from realtime_proxy.errors import ProxyHeaderError

# What a header may come to. Version 2 could have 64 kB, of certificates and the like in its TLVs.
MAX_HEADER_BYTES = 4_096

_Address = IPv4Address | IPv6Address

_V1_BEGINS = b"PROXY "
_V1_MAX_BYTES = 107  # with the line's end (2.1)
_V1_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?")
_V1_KNOWN = re.compile(rb"PROXY TCP([46]) (\S+) (\S+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})")
_MAX_PORT = 65_535

_V2_BEGINS = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED_BYTES = 16
_V2_LOCAL, _V2_PROXY = 0x20, 0x21  # version and command
_V2_MAX_FAMILY, _V2_MAX_TRANSPORT = 3, 2
# By family and transport, those with an address that is of use here, and how long all are (2.2).
_V2_ADDRESSES: dict[int, tuple[type[IPv4Address | IPv6Address], int, int]] = {
    0x11: (IPv4Address, 4, 12),
    0x21: (IPv6Address, 16, 36),
}


@attrs.frozen
class ProxyHeader:
    """A header of `size` bytes. `source` is the address of the client whose connection it is.

    It is None where that is the connection's own: for health checks of the load balancer (LOCAL),
    and where it does not know either (UNKNOWN, UNSPEC, unix sockets).
    """

    source: str | None
    size: int


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header that a connection begins with; None while more of it has to come.

    It is complete within `MAX_HEADER_BYTES`. Raises ProxyHeaderError for anything else.
    """
    if data.startswith(_V1_BEGINS):
        return _read_v1(data)
    if data.startswith(_V2_BEGINS):
        return _read_v2(data)
    if data and not _V1_BEGINS.startswith(data) and not _V2_BEGINS.startswith(data):
        raise ProxyHeaderError("it does not begin with a PROXY header")
    return None


def _read_v1(data: bytes) -> ProxyHeader | None:
    line, end, _ = data[:_V1_MAX_BYTES].partition(b"\r\n")
    if not end:
        if len(data) >= _V1_MAX_BYTES:
            raise ProxyHeaderError("the line of its PROXY header is too long")
        return None
    size = len(line) + len(end)
    if _V1_UNKNOWN.fullmatch(line):
        return ProxyHeader(None, size)
    known = _V1_KNOWN.fullmatch(line)
    if known is None or max(int(known[4]), int(known[5])) > _MAX_PORT:
        raise ProxyHeaderError("the line of its PROXY header makes no sense")
    kind = IPv4Address if known[1] == b"4" else IPv6Address
    try:
        source, _ = (kind(known[index].decode("ascii")) for index in (2, 3))
    except ValueError as error:
        raise ProxyHeaderError("an address in its PROXY header makes no sense") from error
    return ProxyHeader(_plain(source), size)


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_FIXED_BYTES:
        return None
    command, family, length = data[12], data[13], int.from_bytes(data[14:16])
    size = _V2_FIXED_BYTES + length
    if command not in (_V2_LOCAL, _V2_PROXY):
        raise ProxyHeaderError(f"version and command 0x{command:02x} of its PROXY header unknown")
    if size > MAX_HEADER_BYTES:
        raise ProxyHeaderError(f"its PROXY header has {size} bytes")
    if len(data) < size:
        return None
    if command == _V2_LOCAL:
        return ProxyHeader(None, size)
    if family >> 4 > _V2_MAX_FAMILY or family & 0xF > _V2_MAX_TRANSPORT:
        raise ProxyHeaderError(f"family 0x{family:02x} of its PROXY header unknown")
    if family not in _V2_ADDRESSES:
        return ProxyHeader(None, size)
    kind, address_bytes, addresses_bytes = _V2_ADDRESSES[family]
    if length < addresses_bytes:
        raise ProxyHeaderError("its PROXY header is too short for its addresses")
    source = kind(data[_V2_FIXED_BYTES : _V2_FIXED_BYTES + address_bytes])
    return ProxyHeader(_plain(source), size)


def _plain(address: _Address) -> str:
    """The address as sockets and rules have it: an IPv4 address that is mapped is one."""
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or address)
    return str(address)
