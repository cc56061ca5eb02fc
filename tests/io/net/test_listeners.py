import grp
import os
import pwd
import socket
import stat

import pytest

from realtime_proxy.config.addresses import TcpAddress, UnixAddress
from realtime_proxy.errors import ConfigError
from realtime_proxy.net.listeners import (
    open_listener,
    open_listeners,
)

SECONDS = 10

# -- opening -------------------------------------------------------------------------------


@pytest.fixture
def listen(sockets):
    """Opens a listener that is closed at the end of the test."""

    def make(address):
        sockets.append(open_listener(address))
        return sockets[-1]

    return make


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_listening_on_tcp(listen, host):
    listener = listen(TcpAddress(host, 0))
    with socket.create_connection(listener.getsockname()[:2], SECONDS):
        raw, _ = listener.accept()
        raw.close()
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_listening_on_all_of_v6_leaves_v4_free(listen):
    port = listen(TcpAddress("::", 0)).getsockname()[1]
    assert listen(TcpAddress("0.0.0.0", port)).getsockname()[1] == port


def test_an_address_in_use_is_refused(listen):
    port = listen(TcpAddress("127.0.0.1", 0)).getsockname()[1]
    with pytest.raises(ConfigError, match=f"127.0.0.1:{port}: Address already in use") as caught:
        listen(TcpAddress("127.0.0.1", port))
    assert caught.value.problems[0].key_path == "server.listen"


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_refused(listen, host):
    with pytest.raises(ConfigError, match="can't listen on"):
        listen(TcpAddress(host, 0))


def test_several_listeners_share_one_port(sockets):
    sockets += open_listeners(TcpAddress("127.0.0.1", 0), 3)
    assert len({listener.fileno() for listener in sockets}) == 3
    assert len({listener.getsockname() for listener in sockets}) == 1


def test_nobody_connects_to_the_one_that_only_tries_the_port(sockets, monkeypatch):
    listening = []

    class Watched(socket.socket):
        def listen(self, backlog):
            listening.append(self)
            super().listen(backlog)

    monkeypatch.setattr(socket, "socket", Watched)
    sockets += open_listeners(TcpAddress("127.0.0.1", 0), 2)
    assert listening == sockets


def test_a_port_that_others_share_is_refused_nevertheless(sockets):
    sockets += open_listeners(TcpAddress("127.0.0.1", 0), 2)
    with pytest.raises(ConfigError, match="in use"):
        open_listeners(TcpAddress(*sockets[0].getsockname()), 2)


def test_listening_on_a_path(listen, tmp_path):
    path = tmp_path / "socket"
    listener = listen(UnixAddress(str(path), mode=0o640))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        raw, _ = listener.accept()
        raw.close()


def test_a_path_may_get_an_owner(listen, tmp_path):
    path = tmp_path / "socket"
    user, group = os.getuid(), os.getgid()
    names = pwd.getpwuid(user).pw_name, grp.getgrgid(group).gr_name
    listen(UnixAddress(str(path), user=names[0], group=names[1]))
    assert (path.stat().st_uid, path.stat().st_gid) == (user, group)


@pytest.mark.parametrize("who", [{"user": "no such user"}, {"group": "no such group"}])
def test_an_owner_who_does_not_exist_is_refused(listen, tmp_path, who):
    with pytest.raises(ConfigError, match="no such user or group"):
        listen(UnixAddress(str(tmp_path / "socket"), **who))


def test_a_path_left_over_is_taken(listen, tmp_path):
    address = UnixAddress(str(tmp_path / "socket"))
    listen(address).close()
    listen(address)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address.path)


def test_a_path_that_somebody_listens_on_is_refused(listen, tmp_path):
    address = UnixAddress(str(tmp_path / "socket"))
    listen(address)
    with pytest.raises(ConfigError, match="in use"):
        listen(address)


def test_a_path_whose_listener_is_busy_is_refused_without_waiting(sockets, listen, tmp_path):
    path = str(tmp_path / "socket")
    busy = socket.socket(socket.AF_UNIX)
    sockets.append(busy)
    busy.bind(path)
    busy.listen(0)
    for _ in range(2):  # more than its queue takes
        client = socket.socket(socket.AF_UNIX)
        sockets.append(client)
        client.setblocking(False)
        try:
            client.connect(path)
        except BlockingIOError:
            break
    with pytest.raises(ConfigError, match="in use"):
        listen(UnixAddress(path))


def test_a_file_that_is_no_socket_is_left_alone(listen, tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="in use"):
        listen(UnixAddress(str(path)))
    assert path.read_text() == "precious"


def test_a_path_in_no_folder_is_refused(listen, tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        listen(UnixAddress(str(tmp_path / "none" / "socket")))
