"""django-eventstream, unmodified, behind the started program: its clients resume where they were.

The clients are real ones, of Python and of a browser, and reach the proxy through a relay of the
test's own, which cuts them off in mid-stream. What is sent meanwhile is in the site's database
only, and has to arrive once they have come back with `Last-Event-ID`; so has an event of which
the proxy never heard, once the next one shows the gap.
"""

import contextlib
import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from requests_sse import EventSource

from realtime_proxy.testing.browser import is_installed, running_browser
from realtime_proxy.testing.reserved_ports import reserved_ports

SITE = Path(__file__).with_name("eventstream_site.py")
DEADLINE_SECONDS = 20
KEY = "only-for-this-test-make-your-own"
ROUTES = """
[grip]
key = "{key}"

[[route]]
targets = [{{ url = "http://127.0.0.1:{port}", over_http = true }}]
"""
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time


class Site:
    """The site behind the program."""

    def __init__(self, program, port):
        self.program = program
        self.port = port

    def post(self, path, value):
        """Ask the site itself, which a publisher inside of it would do."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        with contextlib.closing(connection):
            connection.request("POST", path, json.dumps(value))
            assert connection.getresponse().status == 200

    def send(self, channel, *data):
        """Send events, which are published once they are stored."""
        self.post(f"/send/{channel}", data)

    def store(self, data):
        """Store an event of which the proxy never hears."""
        self.post("/store", data)


class Relay:
    """Stands between a client and the proxy, and can cut all who are connected."""

    def __init__(self, address):
        self._address = address
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs = []
        self.port = self._listener.getsockname()[1]
        self.connected = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._address)
                self._pairs.append((client, server))
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()
                self.connected.release()

    def cut(self):
        """Reset every client's connection."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listener.close()
        self.cut()


def _pass_on(source, sink):
    with source, contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def site(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    with reserved_ports(1) as (port,):
        yield from _running_site(start, folder, port)


def _running_site(start, folder, port):
    program = start(ROUTES.format(key=KEY, port=port))
    grip_url = f"http://127.0.0.1:{program.control_port}?iss=realtime-proxy&key={KEY}"
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, SITE, str(port), str(folder)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"GRIP_URL": grip_url},
        )
    try:
        _wait_until_it_takes_connections(process, port, folder / "log.txt")
        yield Site(program, port)
        assert "Traceback" not in (folder / "log.txt").read_text()
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_takes_connections(process, port, log):
    end = time.monotonic() + DEADLINE_SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.02)


@pytest.fixture
def relay(site):
    with contextlib.closing(Relay(site.program.address)) as relay:
        yield relay


@pytest.fixture
def client(relay):
    """A client that is connected, and has seen the stream begin."""
    with EventSource(
        f"http://127.0.0.1:{relay.port}/events/",
        timeout=DEADLINE_SECONDS,
        reconnection_time=timedelta(milliseconds=10),
    ) as events:
        assert relay.connected.acquire(timeout=DEADLINE_SECONDS)
        assert next(events).type == "stream-open"
        yield events


def data_of(events, count):
    """The next events' data, leaving out what tells of the stream itself."""
    messages = (event for event in events if event.type == "message")
    return [json.loads(next(messages).data) for _ in range(count)]


def test_events_arrive_in_order(site, client):
    site.send("news", *range(20))
    assert data_of(client, 20) == list(range(20))


def test_cut_client_resumes(site, relay, client):
    site.send("news", "before")
    site.send("sport", "goal")
    assert data_of(client, 2) == ["before", "goal"]
    relay.cut()
    site.send("news", "missed 1", "missed 2")
    site.send("sport", "missed 3")
    assert sorted(data_of(client, 3)) == ["missed 1", "missed 2", "missed 3"]
    site.send("news", "after")
    assert data_of(client, 1) == ["after"]


def test_client_cut_again_and_again(site, relay, client):
    """Events are sent all the time; every one arrives, once, in its channel's order."""
    count = 60

    def send():
        for number in range(count):
            site.send("news", number)

    sender = threading.Thread(target=send)
    sender.start()
    received = []
    while len(received) < count:
        received += data_of(client, 1)
        if len(received) % 20 == 7:
            relay.cut()
    sender.join()
    assert received == list(range(count))


def test_event_that_was_never_published(site, client):
    """The next event shows that one is missing: it comes from the site's store, before that."""
    site.send("news", "first")
    assert data_of(client, 1) == ["first"]
    site.store("lost on the way")
    site.send("news", "last")
    assert data_of(client, 2) == ["lost on the way", "last"]


@pytest.mark.slow
@pytest.mark.skipif(not is_installed, reason="chromium-driver is not installed")
def test_browser_resumes(site, relay, tmp_path):
    with running_browser(tmp_path / "profile") as browser:
        browser.open(f"http://127.0.0.1:{relay.port}/page")
        browser.wait_until("opened === 1")
        site.send("news", "before")
        browser.wait_until("received.length === 1")
        relay.cut()
        site.send("news", "missed 1", "missed 2")
        browser.wait_until("received.length === 3")
        site.send("news", "after")
        browser.wait_until("received.length === 4")
        assert browser.evaluate("received") == ["before", "missed 1", "missed 2", "after"]
