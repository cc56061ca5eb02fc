"""The Autobahn cases against the real program, in front of both kinds of backends.

What is not as strict as a case would have it is explained in `docs/conformance.md`.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from websockets.asyncio.server import serve

from realtime_proxy.demo.echo import echo
from realtime_proxy.testing.scripted_backend import ScriptedBackend

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

CLIENT = Path(__file__).with_name("autobahn_client.py")
ROUTES = """
[[route]]
targets = [{{ url = "{url}", over_http = {over_http} }}]
compression = true

[backend]
idle_seconds = 60
"""
SERVER = "max_message_bytes = 17_000_000\nmax_backlog_bytes = 20_000_000"
# A thousand messages each: a few of every kind, or (`make conformance`) all of them.
ALL = os.environ.get("CONFORMANCE") == "all"
PROTOCOL = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
COMPRESSION = ["12.*", "13.*"] if ALL else ["12.*.4", "12.1.11", "13.*.3"]
LOAD = ["9.*"] if ALL else ["9.1.*", "9.2.*", "9.3.4", "9.4.4", "9.5.4", "9.6.4", "9.7.3", "9.8.3"]
# An answer of a backend to events has up to 1 MB (docs/websocket.md), these messages have more.
TOO_LARGE_OVER_HTTP = [
    *(f"9.{group}.{case}" for group in (1, 2) for case in (3, 4, 5, 6)),
    "9.3.*",
    "9.4.*",
    "9.5.*",
    "9.6.*",
]
NON_STRICT = {
    *("3.2", "3.3", "3.4"),
    *("4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5"),
    "5.15",
    *("6.4.3", "6.4.4"),
}


def verdicts(program, path, cases, excluded=()):
    """What came of each case."""
    address = f"ws://127.0.0.1:{program.port}{path}"
    command = [sys.executable, CLIENT, address, ",".join(cases), ",".join(excluded)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=1_500)
    return json.loads(done.stdout)


def check(found, expected_count):
    assert len(found) >= expected_count
    failed = {case: verdict for case, verdict in found.items() if not is_fine(case, *verdict[:2])}
    assert failed == {}


def is_fine(case, behavior, close):
    if close not in ("OK", "INFORMATIONAL"):
        return False
    return behavior in ("OK", "INFORMATIONAL") or (behavior == "NON-STRICT" and case in NON_STRICT)


@pytest.fixture(scope="module")
def over_http(start):
    def script(call):
        answer = echo(call.body, [])
        fields = [(name.decode(), value.decode()) for name, value in answer.headers]
        call.respond(fields=fields, body=answer.body)

    with ScriptedBackend() as backend:
        backend.scripts["/"] = script
        yield start(ROUTES.format(url=backend.url, over_http="true"), server=SERVER)


class Origin:
    """A server of the `websockets` library in a thread, which sends back what it gets."""

    def __init__(self):
        self.started = threading.Event()
        self.url = ""
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.run(),))

    async def run(self):
        self.over = asyncio.Event()
        async with serve(self.handle, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            self.started.set()
            await self.over.wait()

    async def handle(self, connection):
        async for message in connection:
            await connection.send(message)

    def __enter__(self):
        self.thread.start()
        self.started.wait()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join()
        self.loop.close()


@pytest.fixture(scope="module")
def passed_through(start):
    with Origin() as origin:
        yield start(ROUTES.format(url=origin.url, over_http="false"), server=SERVER)


def test_protocol_over_http(over_http):
    check(verdicts(over_http, "/", PROTOCOL), 247)


def test_compression_over_http(over_http):
    check(verdicts(over_http, "/", COMPRESSION), 13)


def test_load_over_http(over_http):
    check(verdicts(over_http, "/", LOAD, TOO_LARGE_OVER_HTTP), 6)


def test_protocol_passed_through(passed_through):
    check(verdicts(passed_through, "/", PROTOCOL), 247)


def test_compression_passed_through(passed_through):
    check(verdicts(passed_through, "/", COMPRESSION), 13)


def test_load_passed_through(passed_through):
    check(verdicts(passed_through, "/", LOAD), 18)
