"""Which hosts requests to a port of ours may name."""

import socket

import pytest

from realtime_proxy.config.addresses import TcpAddress, UnixAddress
from realtime_proxy.net.own_hosts import OwnHosts

HOSTS = OwnHosts.of(TcpAddress("Control.example", 5561), ("Push.Example",))


@pytest.mark.parametrize(
    "host",
    [
        *(b"127.0.0.1", b"127.0.0.1:5561", b"10.1.2.3:80", b"[::1]:5561", b"[::ffff:1.2.3.4]"),
        *(b"localhost", b"LOCALHOST:5561", b"localhost.", b"a.localhost:1", b"proxy:5561", b""),
        *(b"control.example:5561", b"push.example", b"PUSH.example.:5561"),
    ],
)
def test_own_hosts(host: bytes) -> None:
    assert HOSTS.include(host)


@pytest.mark.parametrize(
    "host",
    [
        *(b"evil.example", b"evil.example:5561", b"push.example.evil.example", b"x.push.example"),
        *(b"127.0.0.1.evil.example", b"localhost.evil.example", b"evil.example.", b"1.2.3"),
        *(b"push.example:80:80", b"push.example:x", b"a.\xff"),
    ],
)
def test_other_hosts(host: bytes) -> None:
    assert not HOSTS.include(host)


def test_this_machine() -> None:
    assert HOSTS.include(socket.gethostname().upper().encode() + b":5561")


@pytest.mark.parametrize("hosts", [OwnHosts(None), OwnHosts.of(UnixAddress("/run/socket"))])
def test_any_host(hosts: OwnHosts) -> None:
    assert hosts.include(b"push.example:5561")
