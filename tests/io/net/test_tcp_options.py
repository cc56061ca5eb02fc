"""What connections get of their listener."""

import socket

import pytest

from realtime_proxy.config.addresses import TcpAddress, UnixAddress
from realtime_proxy.net.listeners import open_listener
from realtime_proxy.net.tcp_options import TcpOptions

OPTIONS = TcpOptions(50_000, 40_000, 120.0, 1.5)


@pytest.fixture
def accepted(sockets):
    """A connection that was accepted by a listener with these options."""

    def make(*options):
        listener = open_listener(TcpAddress("127.0.0.1", 0))
        sockets.append(listener)
        for each in options:
            each.apply(listener)
        sockets.append(socket.create_connection(listener.getsockname()))
        raw, _ = listener.accept()
        sockets.append(raw)
        return raw

    return make


def tcp(raw, name):
    return raw.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))


def test_a_connection_has_the_options_of_its_listener(accepted):
    raw = accepted(OPTIONS)
    assert tcp(raw, "TCP_NODELAY")
    assert tcp(raw, "TCP_NOTSENT_LOWAT") == 50_000
    assert tcp(raw, "TCP_USER_TIMEOUT") == 1_500
    assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 40_000
    assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert [tcp(raw, f"TCP_KEEP{name}") for name in ("IDLE", "INTVL", "CNT")] == [120, 30, 4]


def test_the_kernel_may_have_its_own_way(accepted):
    usual = accepted(TcpOptions(0, 0, 0.0, 60.0))
    assert tcp(usual, "TCP_NODELAY")
    assert not usual.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_others_may_be_given_later(accepted):
    raw = accepted(OPTIONS, TcpOptions(0, 0, 0.0, 60.0))
    assert tcp(raw, "TCP_USER_TIMEOUT") == 60_000
    assert not raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_times_that_the_kernel_does_not_take_are_as_near_as_can_be(accepted):
    raw = accepted(TcpOptions(0, 0, 0.2, 60.0))
    assert tcp(raw, "TCP_KEEPIDLE") == 1
    raw = accepted(TcpOptions(0, 0, 100_000.0, 60.0))
    assert tcp(raw, "TCP_KEEPIDLE") == 32_767


def test_a_path_has_none(sockets, tmp_path):
    listener = open_listener(UnixAddress(str(tmp_path / "socket")))
    sockets.append(listener)
    OPTIONS.apply(listener)


def test_a_listener_that_is_closed_before_a_stop_has_none():
    listener = open_listener(TcpAddress("127.0.0.1", 0))
    listener.close()
    OPTIONS.apply(listener)
