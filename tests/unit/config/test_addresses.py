import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.config.addresses import (
    ListenerAddress,
    TcpAddress,
    UnixAddress,
    is_loopback,
    is_private,
    parse_address,
    parse_endpoint,
    parse_listener,
    parse_mode,
    parse_port,
)
from realtime_proxy.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", TcpAddress("127.0.0.1", 80)),
        ("localhost:65535", TcpAddress("localhost", 65535)),
        ("my_host:0", TcpAddress("my_host", 0)),
        ("[::1]:7999", TcpAddress("::1", 7999)),
        ("unix:/run/rp.sock", UnixAddress("/run/rp.sock")),
        ("unix:rel?mode=660&user=u&group=g", UnixAddress("rel", 0o660, "u", "g")),
    ],
)
def test_addresses_are_read_and_written(text, address):
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("7999", "lacks a port"),
        ("", "lacks a port"),
        (":80", "no usable host"),
        ("a b:80", "no usable host"),
        ("*:80", "no usable host"),
        ("a:", "port ``"),
        ("a:http", "port `http`"),
        ("a:65536", "65535"),
        ("a:-1", "port `-1`"),
        ("a:²", "port `²`"),
        ("a:" + "9" * 5000, "65535"),
        ("::1:80", "in brackets"),
        ("[::1]80", "not `[V6]:PORT`"),
        ("[::1", "not `[V6]:PORT`"),
        ("[1.2.3.4]:80", "not `[V6]:PORT`"),
        ("unix:", "path of the socket"),
        ("unix:/a?mode=9", "not octal"),
        ("unix:/a?mode=1000", "not octal"),
        ("unix:/a?mode", "is not `mode="),
        ("unix:/a?owner=u", "`owner=u`"),
        ("unix:/a?user=", "`user=`"),
    ],
)
def test_wrong_addresses_say_what_is_accepted(text, problem):
    with pytest.raises(ConfigError) as caught:
        parse_address(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address", "proxied"),
    [
        ("127.0.0.1:80", TcpAddress("127.0.0.1", 80), False),
        ("[::1]:80?proxy_protocol=true", TcpAddress("::1", 80), True),
        ("[::1]:80?proxy_protocol=false", TcpAddress("::1", 80), False),
        ("unix:/a?mode=660", UnixAddress("/a", 0o660), False),
        ("unix:/a?proxy_protocol=true&mode=660", UnixAddress("/a", 0o660), True),
    ],
)
def test_listeners_may_ask_for_proxy_headers(text, address, proxied):
    assert parse_listener(text) == ListenerAddress(address, proxied)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a:80?proxy_protocol=yes", "accepted are `true` and `false`"),
        ("a:80?proxy_protocol", "is not `proxy_protocol=true`"),
        ("a:80?mode=660", "`mode=660`: accepted after `?` are `proxy_protocol=true`"),
        ("a:80?proxy=true", "accepted after `?` are `proxy_protocol=true`"),
        ("unix:/a?x=1", "accepted after `?` are `mode=OCTAL&user=NAME&group=NAME&proxy_protocol"),
        ("unix:?proxy_protocol=true", "path of the socket"),
    ],
)
def test_what_no_listener_is(text, problem):
    with pytest.raises(ConfigError) as caught:
        parse_listener(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", ["a:80?proxy_protocol=true", "unix:/a?proxy_protocol=true"])
def test_only_clients_come_through_load_balancers(text):
    with pytest.raises(ConfigError):
        parse_address(text)


def test_a_bare_port_is_on_all_ipv4_addresses():
    assert parse_port("7999") == TcpAddress("0.0.0.0", 7999)
    assert parse_port("[::]:7999") == TcpAddress("::", 7999)
    assert parse_port("127.0.0.1:7999") == TcpAddress("127.0.0.1", 7999)


@pytest.mark.parametrize("text", ["", "70000", "unix:/a", "x"])
def test_what_is_no_port(text):
    with pytest.raises(ConfigError):
        parse_port(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://127.0.0.1:5560", TcpAddress("127.0.0.1", 5560)),
        ("tcp://*:5560", TcpAddress("*", 5560)),
        ("tcp://[::1]:5560", TcpAddress("::1", 5560)),
        ("ipc:///run/push", UnixAddress("/run/push")),
    ],
)
def test_endpoints(text, address):
    assert parse_endpoint(text) == address


@pytest.mark.parametrize(
    "text", ["127.0.0.1:5560", "udp://a:1", "ipc://", "tcp://*", "tcp://a", ""]
)
def test_wrong_endpoints(text):
    with pytest.raises(ConfigError):
        parse_endpoint(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1"])
def test_loopback(host):
    assert is_loopback(TcpAddress(host, 1))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "*", "10.0.0.1", "a.test", "::ffff:10.0.0.1"])
def test_not_loopback(host):
    assert not is_loopback(TcpAddress(host, 1))


def test_a_unix_socket_is_this_machine_only():
    assert is_loopback(UnixAddress("/run/x"))


@pytest.mark.parametrize(("text", "mode"), [("0", 0), ("660", 0o660), ("0777", 0o777)])
def test_modes(text, mode):
    assert parse_mode(text) == mode


@given(st.text() | st.from_regex(r"\A(unix:|\[|tcp://|ipc://)?[a-z0-9.:\]]*(\?[a-z=&]*)?\Z"))
def test_any_text_is_an_address_or_a_config_error(text):
    for parse in (parse_port, parse_endpoint, parse_mode):
        with contextlib.suppress(ConfigError):
            parse(text)
    with contextlib.suppress(ConfigError):
        address = parse_address(text)
        assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fc00::1",
        "fd00::1",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::ffff:7f00:1",
        "2002:a00:1::",
        "64:ff9b::a00:1",
    ],
)
def test_private_addresses(host):
    assert is_private(host)


@pytest.mark.parametrize(
    "host",
    [
        "1.1.1.1",
        "172.32.0.1",
        "2606:4700::1111",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
        "localhost",
        "",
        "10.0.0.1.example",
        "x%y",
    ],
)
def test_what_is_no_private_address(host):
    assert not is_private(host)
