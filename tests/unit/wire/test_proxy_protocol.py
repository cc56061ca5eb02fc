import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.errors import ProxyHeaderError
from realtime_proxy.wire.proxy_protocol import MAX_HEADER_BYTES, ProxyHeader, read_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
ports = st.integers(0, 65_535)


def version_1(source, port):
    """A header as a load balancer writes it."""
    return f"PROXY TCP{source.version} {source} {source} {port} 80\r\n".encode()


def version_2(source, port, more=b"", command=0x21):
    family = 0x11 if source.version == 4 else 0x21
    block = source.packed * 2 + port.to_bytes(2) + b"\0P" + more
    return SIGNATURE + bytes((command, family)) + len(block).to_bytes(2) + block


def plain(address):
    mapped = address.ipv4_mapped if address.version == 6 else None
    return str(mapped or address)


@given(addresses, ports, st.binary(max_size=50), st.binary(max_size=300))
def test_what_a_load_balancer_says(source, port, rest, more):
    for header in (version_1(source, port), version_2(source, port, more)):
        assert read_proxy_header(header + rest) == ProxyHeader(plain(source), len(header))


@given(addresses, ports, st.binary(max_size=300))
def test_it_may_come_in_pieces(source, port, more):
    for header in (version_1(source, port), version_2(source, port, more)):
        for size in range(len(header)):
            assert read_proxy_header(header[:size]) is None


begins = st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"])


@given(begins, st.binary(max_size=200))
def test_anything_is_a_header_or_refused_and_never_waited_for_long(begin, rest):
    data = begin + rest
    try:
        header = read_proxy_header(data)
    except ProxyHeaderError:
        return
    if header is None:
        assert len(data) < MAX_HEADER_BYTES
        data += b"x" * (MAX_HEADER_BYTES - len(data))
        with contextlib.suppress(ProxyHeaderError):
            assert read_proxy_header(data) is not None
    else:
        assert 8 <= header.size <= len(data)
        assert read_proxy_header(data[: header.size]) == header
        if header.source is not None:
            ipaddress.ip_address(header.source)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
        b"PROXY UNKNOWN \x80 whatever\r\n",
        version_2(ipaddress.ip_address("1.2.3.4"), 1, command=0x20),
        SIGNATURE + b"\x20\x00\x00\x00",
        SIGNATURE + b"\x20\xff\x00\x02ab",
        SIGNATURE + b"\x21\x00\x00\x00",
        SIGNATURE + b"\x21\x00\x00\x03abc",
        SIGNATURE + b"\x21\x31\x00\xd8" + b"p" * 216,
        SIGNATURE + b"\x21\x12\x00\x0c" + b"\x01" * 12,
    ],
)
def test_nobody_is_named(header):
    assert read_proxy_header(header + b"GET") == ProxyHeader(None, len(header))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"PROXY\r\n",
        b"PROXY \r\n",
        b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 host 1 2\r\n",
        b"PROXY TCP4 \xe9 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + b" " * 100,
        b"PROXY UNKNOWN" + b" " * 100,
        b"PROXY UNKNOWNS\r\n",
        SIGNATURE + b"\x11\x11\x00\x0c" + b"\x01" * 12,
        SIGNATURE + b"\x22\x11\x00\x0c" + b"\x01" * 12,
        SIGNATURE + b"\x21\x41\x00\x0c" + b"\x01" * 12,
        SIGNATURE + b"\x21\x13\x00\x0c" + b"\x01" * 12,
        SIGNATURE + b"\x21\x11\x00\x0b" + b"\x01" * 11,
        SIGNATURE + b"\x21\x21\x00\x0c" + b"\x01" * 12,
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_what_is_no_header_is_refused(data):
    with pytest.raises(ProxyHeaderError):
        read_proxy_header(data)
