import contextlib
import socket

import pytest
import structlog

from realtime_proxy.config.addresses import TcpAddress, UnixAddress
from realtime_proxy.errors import ConfigError
from realtime_proxy.net import listening_sockets
from realtime_proxy.net.listeners import open_listener, open_listeners
from realtime_proxy.net.listening_sockets import ListeningSockets, is_listening


@pytest.fixture
def closing():
    with contextlib.ExitStack() as stack:

        def close_at_the_end(*opened):
            for one in opened:
                stack.callback(one.close)
            return opened

        yield close_at_the_end


def port_of(one):
    return one.getsockname()[1]


def inherit(*sockets):
    """Copies of sockets, as another process gets them."""
    return [socket.socket(fileno=one.dup().detach()) for one in sockets]


def test_without_any_inherited_they_are_opened(closing):
    sockets = ListeningSockets()
    (one,) = closing(sockets.open(TcpAddress("127.0.0.1", 0), "a.key"))
    assert is_listening(one)
    assert sockets.all() == [one]
    with pytest.raises(ConfigError) as caught:
        sockets.open(TcpAddress("127.0.0.1", port_of(one)), "a.key")
    assert caught.value.problems[0].key_path == "a.key"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "*"])
def test_an_inherited_one_is_taken_by_its_address(closing, host):
    (old,) = closing(open_listener(TcpAddress(host, 0)))
    sockets = ListeningSockets(inherit(old))
    (new,) = closing(sockets.open(TcpAddress(host, port_of(old)), "a.key"))
    assert new.getsockname() == old.getsockname()
    assert new.gettimeout() == 0.0
    assert sockets.all() == [new]


def test_a_path_is_an_address_too(closing, tmp_path):
    for path in (str(tmp_path / "socket"), "@abstract-of-this-test"):
        (old,) = closing(open_listener(UnixAddress(path)))
        (new,) = closing(ListeningSockets(inherit(old)).open(UnixAddress(path, mode=0o600), "key"))
        assert new.getsockname() == old.getsockname()


def test_one_for_all_addresses_of_both_kinds_serves_those_of_the_older(closing):
    """Service managers open `[::]:PORT` when they are asked for a port."""
    (both,) = closing(open_listener(TcpAddress("*", 0)))
    sockets = ListeningSockets(inherit(both))
    (new,) = closing(sockets.open(TcpAddress("0.0.0.0", port_of(both)), "a.key"))
    assert new.getsockname() == both.getsockname()


def test_those_of_other_addresses_are_left(closing, monkeypatch):
    monkeypatch.setattr(listening_sockets, "log", structlog.get_logger())
    (other,) = closing(open_listener(TcpAddress("127.0.0.1", 0)))
    (rest,) = inherit(other)
    sockets = ListeningSockets([rest])
    (one,) = closing(sockets.open(TcpAddress("127.0.0.1", 0), "a.key"))
    assert port_of(one) != port_of(other)
    with structlog.testing.capture_logs() as logs:
        sockets.close_rest()
    assert rest.fileno() == -1
    assert logs[0]["event"] == "inherited socket is not used"


def test_all_that_share_an_address_are_taken_together(closing):
    old = closing(*open_listeners(TcpAddress("127.0.0.1", 0), 3))
    sockets = ListeningSockets(inherit(*old))
    new = closing(*sockets.open_several(TcpAddress("127.0.0.1", port_of(old[0])), 2, "a.key"))
    assert len(new) == 3
    assert sockets.all() == list(new)


def test_what_is_closed_is_not_handed_on(closing):
    sockets = ListeningSockets()
    one = sockets.open(TcpAddress("127.0.0.1", 0), "a.key")
    one.close()
    assert sockets.all() == []


def test_which_sockets_take_connections(closing):
    listening = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listening.getsockname())
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    closing(listening, client, datagrams)
    assert [is_listening(one) for one in (listening, client, datagrams)] == [True, False, False]
