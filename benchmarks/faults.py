"""Everything that goes wrong at once to a running proxy: does the rest go on being served?

    python -m benchmarks.faults [--clients 1000] [--seconds 10]

Streams are held open, and one after the other: the backend is killed and comes back, a publisher is
killed, some clients stop reading, open files run out, and a publisher sends ten times what can be
delivered. All others have to get every item, new requests have to be answered, memory has to stay
where it is, and what somebody did not get has to be in a metric. It takes about three times
`--seconds`, and no more than two minutes. Everything is on loopback, and ends by itself.
"""

import argparse
import contextlib
import http.client
import multiprocessing
import os
import re
import resource
import selectors
import signal
import socket
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

import attrs
import zmq

from benchmarks.backend import Backend
from benchmarks.proxy import Proxy, free_ports

MARK = b"#"  # one in each item, and nowhere else
STILL_SHARE = 0.05
CONTENT = MARK + b"x" * 99
LARGE_CONTENT = MARK + b"x" * 49_999
# Readers are on the same machine, and do not always keep up with a flood.
MOST_CUT_SHARE = 0.1
LIMITS = "max_backlog_bytes", "max_backlog_seconds", "max_total_backlog_bytes"
PATIENCE_SECONDS = 20.0
CATCH_UP_SECONDS = 60.0
TELL_SECONDS = 1.5  # after which all is in the metrics
MEASURED_ITEMS = 20_000
FILES_LEFT = 40
OVERLOAD = 10
# Of the memory before the flood: what waits in line, in ZeroMQ and for slow clients.
MAX_GROWTH_BYTES = 200_000_000
_HOST = "127.0.0.1"


class Crowd:
    """Streams that are read by a thread, each with the number of items that it has got."""

    def __init__(self, port: int, count: int) -> None:
        self.items: dict[socket.socket, int] = {}
        self.ended: set[socket.socket] = set()
        self.still: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        for _ in range(count):
            stream = socket.create_connection((_HOST, port), PATIENCE_SECONDS)
            stream.sendall(b"GET /stream?channel=test HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = b""
            while b"\r\n\r\n" not in head:
                head += stream.recv(65_536)
            stream.setblocking(False)
            self.items[stream] = head.count(MARK)
            self._selector.register(stream, selectors.EVENT_READ)
        self._is_over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join()
        for stream in self.items:
            stream.close()

    def _run(self) -> None:
        while not self._is_over:
            for key, _ in self._selector.select(0.1):
                stream = key.fileobj
                if stream in self.still:
                    self._selector.unregister(stream)
                    continue
                try:
                    data = stream.recv(262_144)
                except ConnectionResetError:
                    data = b""
                self.items[stream] += data.count(MARK)
                if not data:
                    self.ended.add(stream)
                    self._selector.unregister(stream)

    def stop_reading(self, count: int) -> None:
        """So many take nothing from now on."""
        self.still.update(list(self.items)[:count])

    def readers(self) -> list[socket.socket]:
        """Those who go on reading."""
        gone = self.still | self.ended
        return [stream for stream in self.items if stream not in gone]

    def wait_until_equal(self, count: int) -> bool:
        """True once all readers have exactly so many items, False if they never do."""
        end = time.monotonic() + CATCH_UP_SECONDS
        while any(self.items[stream] != count for stream in self.readers()):
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True


@attrs.define
class Run:
    """A proxy under faults, what was published, and what went wrong."""

    proxy: Proxy
    metrics_port: int
    crowd: Crowd
    sent: int = 0
    memory: list[int] = attrs.field(factory=list)
    faults: list[str] = attrs.field(factory=list)

    def check(self, is_so: bool, what: str) -> None:
        """Note what is not as it should be."""
        print(f"   {'ok' if is_so else 'FAULT'}: {what}", flush=True)
        if not is_so:
            self.faults.append(what)

    def begin(self, what: str) -> None:
        """Print what comes next, with the memory so far."""
        self.memory.append(self.proxy.memory_bytes())
        print(f"{what} (memory {self.memory[-1] / 1e6:.1f} MB)", flush=True)

    def publish(self, count: int, content: bytes = CONTENT) -> None:
        """Publish items from here, a thousand a second at most."""
        for _ in range(count):
            self.proxy.publish("test", content.decode())
            self.sent += 1
            time.sleep(0.001)

    def all_have_all(self, who: str = "all") -> None:
        """Check that everybody who reads has everything."""
        self.check(self.crowd.wait_until_equal(self.sent), f"{who} have all {self.sent} items")

    def cut(self) -> float:
        """How many clients were cut for being slow, by the metrics."""
        return sum(self.count("limits_total", limit=f"server.{limit}") for limit in LIMITS)

    def count(self, name: str, **labels: str) -> float:
        """A metric as of now, summed over what is not said."""
        time.sleep(TELL_SECONDS)
        with urllib.request.urlopen(f"http://{_HOST}:{self.metrics_port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        found = [
            float(line.rpartition(" ")[2])
            for line in lines
            if re.match(rf"realtime_proxy_{name}(\{{| )", line)
            and all(label in line for label in wanted)
        ]
        return sum(found)


def status_of(port: int, timeout_seconds: float = PATIENCE_SECONDS) -> int:
    """The status of a new request on a new connection; 0 if there is none in time."""
    connection = http.client.HTTPConnection(_HOST, port, timeout=timeout_seconds)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/plain")
            return connection.getresponse().status
        except OSError:
            return 0


def backend_dies(run: Run, backend: Backend) -> Backend:
    """Streams need no backend; requests get an answer all the same."""
    run.begin("The backend is killed")
    os.kill(backend.pid, signal.SIGKILL)
    backend.__exit__()
    run.publish(100)
    run.check(status_of(run.proxy.port) == 502, "a request is answered 502")
    run.all_have_all()
    run.check(run.count("backend_failures_total") > 0, "failures are counted")
    backend = Backend(backend.port)
    run.check(status_of(run.proxy.port) == 200, "a request is answered once it is back")
    return backend


def publisher_dies(run: Run, pull: str) -> None:
    """What a publisher had still to send is lost with it; nothing else is."""
    run.begin("A publisher is killed")
    before = run.count("items_total", outcome="published")
    publisher = multiprocessing.get_context("fork").Process(
        target=_flood, args=(pull, 1_000, 60.0, None), daemon=True
    )
    publisher.start()
    time.sleep(1.0)
    os.kill(publisher.pid or 0, signal.SIGKILL)
    publisher.join()
    time.sleep(1.0)
    run.sent += int(run.count("items_total", outcome="published") - before)
    run.publish(100)
    run.all_have_all("of what came, and of what others send,")


def clients_stop(run: Run) -> None:
    """Those who take nothing are cut, and are as many as are counted."""
    run.begin(f"{STILL_SHARE:.0%} of the clients stop reading")
    count = max(1, int(len(run.crowd.items) * STILL_SHARE))
    run.crowd.stop_reading(count)
    end = time.monotonic() + 2 * PATIENCE_SECONDS
    cut = 0.0
    while cut < count and time.monotonic() < end:
        run.publish(20, LARGE_CONTENT)
        run.crowd.wait_until_equal(run.sent)
        cut = run.cut()
    closed = run.count("closed_total", reason="client-too-slow")
    run.check(cut == count == closed, f"{count} are cut, {cut:.0f} and {closed:.0f} are counted")
    run.check(run.count("backlog_dropped_bytes_total") > 0, "what waited for them is counted")
    run.all_have_all("all others")


def files_run_out(run: Run) -> None:
    """New clients wait, those who are there are served, and it passes."""
    run.begin("Open files run out")
    pid = run.proxy.processes()[-1]
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    known = http.client.HTTPConnection(_HOST, run.proxy.port, timeout=PATIENCE_SECONDS)
    known.connect()
    known.request("GET", "/plain")
    known.getresponse().read()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + FILES_LEFT, hard))
    waiting = [
        socket.create_connection((_HOST, run.proxy.port), PATIENCE_SECONDS)
        for _ in range(2 * FILES_LEFT)
    ]
    before = sum(run.proxy.cpu_seconds().values())
    time.sleep(1.0)
    spent = sum(run.proxy.cpu_seconds().values()) - before
    run.check(spent < 0.5, f"nobody spins ({spent:.2f} s CPU in a second)")
    known.request("GET", "/plain")
    run.check(known.getresponse().status == 200, "who was there is served")
    run.publish(100)
    run.all_have_all()
    run.check(run.count("limits_total", limit="open_files") > 0, "it is counted")
    for client in waiting:
        client.close()
    run.check(status_of(run.proxy.port) == 200, "new clients are served once there are some again")
    known.close()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def flood(run: Run, pull: str, seconds: float) -> None:
    """Publishers wait, or know what they could not send; clients get all that was taken."""
    run.begin("The rate of delivery is measured")
    begun_at = time.monotonic()
    for _ in range(MEASURED_ITEMS):
        run.proxy.publish("test", CONTENT.decode())
    run.sent += MEASURED_ITEMS
    run.all_have_all()
    rate = int(MEASURED_ITEMS / (time.monotonic() - begun_at))
    run.begin(f"{OVERLOAD} times {rate} items a second are published")
    before, published = run.memory[-1], run.count("items_total", outcome="published")
    context = multiprocessing.get_context("fork")
    results, theirs = context.Pipe()
    process = context.Process(
        target=_flood, args=(pull, OVERLOAD * rate, seconds, theirs), daemon=True
    )
    process.start()
    answered, slowest = 0, 0.0
    while not results.poll(0.2):
        asked_at = time.monotonic()
        answered += status_of(run.proxy.port) == 200
        slowest = max(slowest, time.monotonic() - asked_at)
        run.memory.append(run.proxy.memory_bytes())
    sent, refused = results.recv()
    process.join()
    run.sent += sent
    run.check(answered > 0, f"{answered} requests were answered, the slowest in {slowest:.2f} s")
    print(f"   {sent} items were taken; {refused} stayed with the publisher, which knows")
    run.all_have_all()
    taken = run.count("items_total", outcome="published") - published
    run.check(taken == sent, f"{taken:.0f} are counted")
    grown = max(run.memory) - before
    run.check(grown < MAX_GROWTH_BYTES, f"memory grew by no more than {grown / 1e6:.1f} MB")


def _flood(pull: str, rate: int, seconds: float, results: Any) -> None:
    """Send at a rate; how many were taken, and how many were not."""
    parent = os.getppid()
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.sndhwm = 1_000
        push.linger = int(PATIENCE_SECONDS * 1_000)
        push.connect(pull)
        item = b'J{"channel":"test","formats":{"http-stream":{"content":"%b"}}}' % CONTENT
        sent = refused = 0
        begun_at = time.monotonic()
        while (passed := time.monotonic() - begun_at) < seconds and os.getppid() == parent:
            for _ in range(int(rate * passed) - sent - refused):
                try:
                    push.send(item, zmq.NOBLOCK)
                    sent += 1
                except zmq.Again:
                    refused += 1
            time.sleep(0.002)
    if results is not None:
        results.send((sent, refused))


def endure(clients: int, seconds: float) -> list[str]:
    """All of it; what was not as it should be."""
    (metrics_port,) = free_ports(1)
    backend = Backend()
    further = (
        f'[metrics]\nlisten = "{_HOST}:{metrics_port}"\n[backend]\nconnect_timeout_seconds = 2\n'
    )
    try:
        with (
            Proxy(backend.port, further=further) as proxy,
            Crowd(proxy.port, clients) as crowd,
        ):
            run = Run(proxy, metrics_port, crowd)
            run.begin(f"{clients} streams are open")
            run.publish(100)
            run.all_have_all()
            backend = backend_dies(run, backend)
            publisher_dies(run, proxy.pull)
            clients_stop(run)
            files_run_out(run)
            flood(run, proxy.pull, seconds)
            run.begin("The end")
            print("   memory in MB:", *(f"{size / 1e6:.1f}" for size in run.memory))
            readers = len(crowd.ended - crowd.still)
            counted = run.cut() - len(crowd.still)
            run.check(readers == counted, f"{readers} who read were cut, {counted:.0f} are counted")
            run.check(readers <= MOST_CUT_SHARE * clients, "nearly all are there in the end")
            return run.faults
    finally:
        backend.__exit__()


def main() -> int:
    """Run and print; exit status 1 if anything was not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    faults = endure(min(given.clients, 5_000), min(given.seconds, 30.0))
    print(f"faults: {len(faults)}")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
