"""What TLS adds to a delivery: server CPU per delivery, encrypted against plain.

    python -m benchmarks.tls_fanout [--count 500] [--reps 5] [--quick] [--json FILE]

One worker holds as many plain clients as encrypted ones, of one kind at a time, each on a channel
of its own. Items go to the one channel, then to the other, in turn, so that whatever else happens
on the machine meets both. They are paced, so that none are joined. The clients are in a process
of their own which takes the bytes off the sockets and opens the TLS records afterwards, to see
that everything came. CPU is the server's own, from /proc/PID/task/*/schedstat.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.backend import Backend
from benchmarks.certificate import make_certificate
from benchmarks.clients import Clients, Opening, wire_bytes
from benchmarks.proxy import Proxy, used

CONTENT = "x" * 100
PER_SECOND = 5.0


def measure(kind: str, count: int, rounds: int, items: int) -> dict[str, list[float]]:
    """Microseconds of CPU per delivery in each round, plain and encrypted."""
    found: dict[str, list[float]] = {"plain": [], "tls": []}
    with contextlib.ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        backend = opened.enter_context(Backend())
        proxy = opened.enter_context(Proxy(backend.port, certificate=make_certificate(folder)))
        crowds = {name: opened.enter_context(Clients()) for name in found}
        for name, crowd in crowds.items():
            tls = name == "tls"
            port = proxy.tls_port if tls else proxy.port
            crowd.do("open", Opening(port, count, kind, channel=name, tls=tls))
        proxy.settle()
        for number in range(rounds + 1):
            for name, crowd in crowds.items():
                cost = _round(proxy, crowd, name, kind, count, 2 if number == 0 else items)
                if number:  # the first is for warming up
                    found[name].append(cost)
    return found


def _round(proxy: Proxy, crowd: Clients, name: str, kind: str, count: int, items: int) -> float:
    crowd.do("forget")
    expected = wire_bytes(kind, CONTENT) * count * items
    crowd.begin("drain", expected, items / PER_SECOND + 20)
    before = proxy.cpu_seconds()
    begun_at = time.monotonic()
    for number in range(items):
        proxy.publish(name, CONTENT)
        time.sleep(max(0.0, begun_at + (number + 1) / PER_SECOND - time.monotonic()))
    total, _ = crowd.result()
    spent = sum(used(before, proxy.cpu_seconds()).values())
    if total != expected:
        raise RuntimeError(f"{total} of {expected} bytes came to the {name} clients")
    return spent / (count * items) * 1e6


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=500, help="clients of each sort")
    parser.add_argument("--reps", type=int, default=5, help="rounds of each sort")
    parser.add_argument("--items", type=int, default=20, help="items in a round")
    parser.add_argument("--quick", action="store_true", help="two short rounds")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    rounds, items = (2, 8) if given.quick else (given.reps, given.items)
    figures: dict[str, Any] = {}
    for kind in ("stream", "websocket"):
        found = measure(kind, given.count, rounds, items)
        pairs = zip(found["tls"], found["plain"], strict=True)
        ratios = [tls / plain for tls, plain in pairs]
        ratio = statistics.median(found["tls"]) / statistics.median(found["plain"])
        figures[kind] = {**found, "ratio": ratio, "ratios": ratios}
        print(
            f"{kind:9}  {given.count} + {given.count} clients, {rounds} rounds of {items} items: "
            f"plain {statistics.median(found['plain']):.1f} µs, "
            f"TLS {statistics.median(found['tls']):.1f} µs per delivery, "
            f"ratio {ratio:.2f} ({min(ratios):.2f}..{max(ratios):.2f})"
        )
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
