"""A connection handed from one task to another, over a unix socket as between processes."""

import array
import socket
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net.backlogs import Backlogs
from realtime_proxy.net.client_socket import ClientSocket
from realtime_proxy.net.handover import HandedOverSocket, Parcel

LARGE = b"x" * 500_000


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "socket")


@pytest.fixture
def listener(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        yield listener


@pytest.fixture
def client():
    """A client, and the end of its connection that is handed over."""
    near, far = socket.socketpair()
    near.settimeout(10)
    with near, far:
        yield near, far


def open_descriptors():
    return list(Path("/proc/self/fd").iterdir())


async def accept(listener):
    await trio.lowlevel.wait_readable(listener)
    return listener.accept()[0]


async def handed_over(listener, path, parcel):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(parcel.send, path)
        stream = await accept(listener)
        stream.setblocking(False)
        return await Parcel.receive(stream)


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n\n", LARGE])
async def test_a_connection_goes_with_all_that_is_known_of_it(listener, path, client, data):
    near, far = client
    parcel = Parcel(far, "10.0.0.1", True, b"\x00\xff certificate\n", data)
    received = await handed_over(listener, path, parcel)
    with received.raw:
        assert received.raw.fileno() != far.fileno()
        assert (received.peer, received.tls) == ("10.0.0.1", True)
        assert (received.certificate, received.data) == (parcel.certificate, data)
        assert not received.raw.getblocking()
        far.close()
        near.sendall(b"go on")
        assert received.raw.recv(10) == b"go on"


async def test_nobody_listens(path, client):
    with pytest.raises(OSError, match="No such file"):
        await Parcel(client[1], "", False, b"", b"").send(path)


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"{}\n", "required field"), (b"", "malformed|truncated"), (b"x\n", "malformed")],
)
async def test_what_makes_no_sense_is_not_taken(client, data, problem):
    near, far = socket.socketpair()
    before = open_descriptors()
    with near:
        rights = array.array("i", [client[1].fileno()])
        near.sendmsg([data or b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        near.shutdown(socket.SHUT_WR)
        far.setblocking(False)
        with pytest.raises(ValueError, match=problem):
            await Parcel.receive(far)
    assert len(open_descriptors()) == len(before) - 2


async def test_a_parcel_without_a_connection():
    near, far = socket.socketpair()
    with near:
        near.sendall(b"{}")
        near.shutdown(socket.SHUT_WR)
        far.setblocking(False)
        with pytest.raises(ValueError, match="no descriptor"):
            await Parcel.receive(far)


async def test_a_parcel_that_never_ends(client):
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    rights = array.array("i", [client[1].fileno()])
    near.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])

    async def send_on():
        with trio.socket.from_stdlib_socket(near) as stream, suppress(BrokenPipeError):
            while True:
                await stream.send(LARGE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_on)
        with pytest.raises(ValueError, match="too large"):
            await Parcel.receive(far)


async def test_the_certificate_is_that_of_the_client(client, watcher):
    _, far = client
    far.setblocking(False)
    parcel = Parcel(far, "", True, b"der", b"")
    taken = HandedOverSocket(parcel, watcher, Backlogs(Counters()))
    assert taken.client_certificate.der == b"der"
    assert taken.plain_socket is far
    assert isinstance(taken, ClientSocket)
    taken.close()


async def test_a_client_without_a_certificate(client, watcher):
    _, far = client
    taken = HandedOverSocket(Parcel(far, "", False, b"", b""), watcher, Backlogs(Counters()))
    assert taken.client_certificate is None
    taken.close()
