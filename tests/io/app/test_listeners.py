import contextlib
import socket

import pytest

from realtime_proxy.app.listeners import listeners_of_slots
from realtime_proxy.config.server_section import Server, Tls
from realtime_proxy.errors import ConfigError

TLS = Tls("127.0.0.1:0", "certificate.pem", "key.pem")


@pytest.fixture
def opened():
    """Opens listeners; closed at the end of the test."""
    with contextlib.ExitStack() as stack:

        def open_them(server, slots):
            slots = listeners_of_slots(server, slots)
            for listeners in slots:
                for listener in listeners:
                    stack.callback(listener.socket.close)
            return slots

        yield open_them


def test_one_process_has_one_socket_for_each_address(opened, tmp_path):
    path = f"unix:{tmp_path}/socket"
    ((plain, local, secure),) = opened(Server(listen=("127.0.0.1:0", path), tls=(TLS,)), 1)
    assert [plain.tls, local.tls, secure.tls] == [None, None, TLS]
    assert not plain.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    assert str(plain) == f"127.0.0.1:{plain.socket.getsockname()[1]}"
    assert str(local) == path


def test_slots_share_an_address_with_a_socket_each(opened):
    first, second = opened(Server(listen=("127.0.0.1:0",), tls=(TLS,)), 2)
    for one, other in zip(first, second, strict=True):
        assert one.socket is not other.socket
        assert one.socket.getsockname() == other.socket.getsockname()
        assert one.tls == other.tls


def test_slots_share_a_unix_socket(opened, tmp_path):
    (first,), (second,) = opened(Server(listen=(f"unix:{tmp_path}/socket",)), 2)
    assert first.socket is second.socket


@pytest.mark.parametrize("slots", [1, 2])
def test_an_address_of_others_is_refused_and_nothing_stays_open(opened, slots):
    ((taken, *_), *_) = opened(Server(listen=("127.0.0.1:0",)), 2)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConfigError, match=f"can't listen on {taken}"):
        listeners_of_slots(Server(listen=(f"127.0.0.1:{port}", str(taken))), slots)
    socket.create_server(("127.0.0.1", port)).close()
