import contextlib
import socket
import threading

import pytest
import trio

from realtime_proxy.config.addresses import TcpAddress, UnixAddress
from realtime_proxy.net import accepted_connections
from realtime_proxy.net.accepted_connections import send_away
from realtime_proxy.net.listeners import open_listener

SECONDS = 10


@pytest.fixture(params=["127.0.0.1", "0.0.0.0", "*", "::1", "unix"])
def pair(request, tmp_path):
    """A listener, a connection that it has accepted, and its peer."""
    path = str(tmp_path / "socket")
    address = UnixAddress(path) if request.param == "unix" else TcpAddress(request.param, 0)
    with open_listener(address) as listener, contextlib.ExitStack() as opened:
        if request.param == "unix":
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(path)
        else:
            host = "::1" if request.param == "::1" else "127.0.0.1"
            peer = socket.create_connection((host, listener.getsockname()[1]), SECONDS)
        accepted, _ = listener.accept()
        opened.callback(accepted.close)
        opened.callback(peer.close)
        yield listener, accepted, peer


async def test_all_that_was_sent_arrives(pair):
    listener, accepted, peer = pair
    peer.sendall(b"x" * 10_000)

    def end_when_told():
        assert peer.recv(1) == b""
        peer.sendall(b"y" * 10_000)  # what it could not know before
        peer.close()

    received = []

    def read():
        accepted.settimeout(SECONDS)
        while data := accepted.recv(65_536):
            received.append(data)
        accepted.close()

    threads = [threading.Thread(target=work) for work in (end_when_told, read)]
    for thread in threads:
        thread.start()
    with trio.fail_after(SECONDS):
        await send_away(listener)
    for thread in threads:
        thread.join()
    assert b"".join(received) == b"x" * 10_000 + b"y" * 10_000


async def test_an_end_waits_for_a_pause(pair, monkeypatch):
    listener, accepted, peer = pair
    has_data, looks = accepted_connections._has_data, threading.Semaphore(0)
    monkeypatch.setattr(
        accepted_connections, "_has_data", lambda one: (looks.release(), has_data(one))[1]
    )
    peer.sendall(b"half ")
    accepted.settimeout(SECONDS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_away, listener)
        for _ in range(2):  # the first look is over when there is a second
            assert await trio.to_thread.run_sync(looks.acquire, True, SECONDS)
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):  # what waits to be read is part of a message, maybe
            peer.recv(1)
        peer.settimeout(SECONDS)
        peer.sendall(b"whole")
        assert await trio.to_thread.run_sync(read_some, accepted, len(b"half whole"))
        assert await trio.to_thread.run_sync(peer.recv, 1) == b""
        peer.close()
        assert await trio.to_thread.run_sync(accepted.recv, 1) == b""
        accepted.close()


def read_some(sock, size):
    return sock.recv(size, socket.MSG_WAITALL) == b"half whole"


async def test_one_who_never_pauses_is_ended_all_the_same(pair, monkeypatch):
    monkeypatch.setattr(accepted_connections, "_PATIENCE_WITH_DATA_SECONDS", 0.05)
    listener, accepted, peer = pair
    peer.sendall(b"never read")
    peer.settimeout(SECONDS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_away, listener)
        assert await trio.to_thread.run_sync(peer.recv, 1) == b""
        peer.close()
        accepted.close()


async def test_one_who_stays_is_not_waited_for_without_end(pair, monkeypatch):
    monkeypatch.setattr(accepted_connections, "_PATIENCE_SECONDS", 0.1)
    with trio.fail_after(SECONDS):
        await send_away(pair[0])


async def test_connections_of_other_listeners_stay(pair):
    _, accepted, peer = pair
    with open_listener(TcpAddress("127.0.0.1", 0)) as other, trio.fail_after(SECONDS):
        await send_away(other)
    accepted.sendall(b"x")
    assert peer.recv(1) == b"x"
