import socket
import time

import pytest

from realtime_proxy.net.arrival import seconds_since_arrival

TICKS_SECONDS = 0.02  # what the kernel's count may be off by


@pytest.fixture
def pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        one, _ = listener.accept()
    with peer, one:
        yield one, peer


def test_time_since_the_last_data(pair):
    one, peer = pair
    for data in (b"x", b"y"):
        sent_at = time.monotonic()
        peer.sendall(data)
        assert one.recv(1) == data
        ago = seconds_since_arrival(one)
        assert ago <= time.monotonic() - sent_at + TICKS_SECONDS
        while seconds_since_arrival(one) < ago + 2 * TICKS_SECONDS:
            assert time.monotonic() - sent_at < 10
