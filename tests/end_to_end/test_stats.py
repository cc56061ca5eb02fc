"""Statistics and metrics of two workers, whose clients are counted together."""

import json
import time
import urllib.request

import pytest
import zmq

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, RawClient
from realtime_proxy.testing.reserved_ports import reserved_ports

# So many connections that neither worker is without some: one in a million runs.
MANY = 20

CONFIG = """
[stats]
pub = "ipc://{folder}/stats"
format = "json"

[metrics]
listen = "127.0.0.1:{port}"

[[route]]
id = "named"
targets = [{{ url = "{url}" }}]
"""


class Listener:
    """What is told, as kinds and members."""

    def __init__(self, socket):
        self.socket = socket

    def __iter__(self):
        while self.socket.poll(DEADLINE_SECONDS * 1000):
            kind, _, rest = self.socket.recv().partition(b" J")
            yield kind.decode(), json.loads(rest)

    def first(self, kind, *members):
        return next(found for is_of, found in self if is_of == kind and {*members} <= found.keys())

    def wait_until_told(self, program, path):
        """Nothing is kept for those who have not connected yet: make requests until one is told."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not self.socket.poll(10):
            assert time.monotonic() < end, "nothing is told"
            with RawClient(program.address) as client:
                client.request("GET", path)
                client.read_reply()

    def wait_for_visits(self, count):
        """Come back when so many have begun and not ended."""
        visits = set()
        for kind, members in self:
            if kind == "conn":
                assert members["route"] == "named"
                change = visits.discard if "unavailable" in members else visits.add
                change(members["id"])
            if len(visits) == count:
                return
        pytest.fail(f"{len(visits)} visits")


@pytest.fixture
def packets(tmp_path):
    """One who listens from now on."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.linger = 0
        socket.subscribe(b"")
        socket.connect(f"ipc://{tmp_path}/stats")
        yield Listener(socket)


def metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_two_workers_are_counted_together(start_own, backend, path, packets, tmp_path):
    grip = [("Grip-Hold", "stream"), ("Grip-Channel", path)]
    backend.scripts[path] = lambda call: call.respond(fields=grip, body=b"")
    backend.scripts[f"{path}/at-once"] = lambda call: call.respond(body=b"")
    with reserved_ports(1) as [port]:
        text = CONFIG.format(folder=tmp_path, port=port, url=backend.url)
        program = start_own(text, server="workers = 2")
        program.wait_for_log("serving ")
        packets.wait_until_told(program, f"{path}/at-once")
        clients = [RawClient(program.address) for _ in range(MANY)]
        for client in clients:
            client.request("GET", path)
        program.wait_for_subscriptions(path, MANY)
        packets.wait_for_visits(MANY)
        program.publish(path, http_stream={"content": "x"})
        received = packets.first("message")
        assert (received["channel"], received["count"]) == (path, MANY)
        values = metrics(port)
        assert values["message_sent"] == str(MANY)
        assert values["connection_connected"] == str(MANY)
        assert values['realtime_proxy_held_connections{kind="stream",route="named"}'] == f"{MANY}.0"
        for client in clients:
            client.close()
        assert packets.first("sub", "unavailable")["channel"] == path
