"""Thousands of streams whose links are due at once keep no item waiting."""

import contextlib
import itertools
import socket
import threading
import time

import pytest

from realtime_proxy.testing.raw_client import RawClient
from realtime_proxy.testing.scripted_backend import ScriptedBackend

STREAMS = 2_000
DUE_SECONDS = 5
# What the backend takes for an answer, and how long an item may be on its way meanwhile.
ANSWER_SECONDS = 0.05
MOST_SECONDS = 1.0

ROUTES = """
[[route]]
targets = [{{ url = "{url}" }}]
"""


class Backend:
    """Holds streams of one channel, each with a link of its own that is due after a while."""

    def __init__(self):
        self.checked = set()
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def answer(self, call):
        name, _, number = call.target.partition("?")
        fields = [("Grip-Hold", "stream"), ("Grip-Channel", "idle; prev-id=1")]
        if name == "/plain":
            call.respond(200, [("Grip-Hold", "stream"), ("Grip-Channel", "plain")], b"open")
            return
        seconds = DUE_SECONDS
        if name == "/next":
            seconds = 600
            self._check(number)
        link = f"</next?{number}>; rel=next; timeout={seconds}"
        body = b"open" if name == "/idle" else b""
        call.respond(200, [*fields, ("Grip-Link", link)], body)

    def _check(self, number):
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        time.sleep(ANSWER_SECONDS)
        with self._lock:
            self._at_once -= 1
            self.checked.add(number)


def open_streams(address, count, stack):
    """So many clients, each of which has got the beginning of its stream."""
    clients = []
    for number in range(count):
        raw = stack.enter_context(socket.create_connection(address))
        raw.settimeout(30)
        raw.sendall(f"GET /idle?{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        clients.append(raw)
        if number % 50 == 49:  # no more than the backend's threads can take
            for each in clients[-50:]:
                read_until(each, b"4\r\nopen\r\n")
    return clients


def read_until(raw, end):
    data = b""
    while not data.endswith(end):
        part = raw.recv(65_536)
        assert part, data
        data += part
    return data


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("many_descriptors")
def test_items_are_delivered_while_thousands_of_links_are_due(start):
    backend = Backend()
    with ScriptedBackend(backend.answer) as server, contextlib.ExitStack() as stack:
        program = start(
            ROUTES.format(url=server.url), publish="update_on_first_subscription = false"
        )
        clients = open_streams(program.address, STREAMS, stack)
        watched = stack.enter_context(RawClient(program.address))
        watched.request("GET", "/plain")
        watched.read_head()
        assert watched.read_chunk() == b"open"
        slowest = 0.0
        end = time.monotonic() + 120
        for count in itertools.count():
            began = time.monotonic()
            program.publish("plain", http_stream={"content": f"{count}"})
            assert watched.read_chunk() == b"%d" % count
            slowest = max(slowest, time.monotonic() - began)
            if len(backend.checked) == STREAMS:
                break
            assert time.monotonic() < end, len(backend.checked)
            time.sleep(0.01)
        assert slowest < MOST_SECONDS
        assert backend.most_at_once <= 200
        program.publish("idle", fields={"id": "2", "prev-id": "1"}, http_stream={"content": "x"})
        for raw in clients:
            assert read_until(raw, b"1\r\nx\r\n") == b"1\r\nx\r\n"
        print(f"slowest item: {slowest * 1000:.0f} ms, at once: {backend.most_at_once}")
