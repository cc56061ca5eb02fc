"""Many idle held connections: how many fit, what each takes, and whether one item reaches them all.

    python -m benchmarks.idle_connections [N] [--kind stream|response|websocket|plain]
                                          [--workers W] [--quick] [--json FILE]

N is 10,000 unless given; 100,000 takes about two minutes. A process may have so many descriptors
(RLIMIT_NOFILE), so the clients are spread over processes, and the proxy gets as many workers as
N needs. They come from source addresses 127.0.0.x, as each has ports for some 20,000.

Once all are held the proxy is left to settle. Memory is the growth of the PSS of all its
processes; what the kernel keeps for the sockets of both ends is not in it, and told apart. Then one
item is published, and each must get it: a stream and a WebSocket its bytes, a long-poll its
answer. `plain` connections have had an answer and wait for a next request; nothing is published.
Long-polls are not waited for while they are opened, so the time for that is only the clients'.
"""

import argparse
import contextlib
import json
import math
import resource
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.backend import Backend
from benchmarks.clients import KINDS, Clients, Opening, wire_bytes
from benchmarks.proxy import Proxy, used

CONTENT = "x" * 100
SPARE_DESCRIPTORS = 1_500  # of a worker for everything but clients
PER_SOURCE = 20_000
UNEVEN = 0.95  # the kernel does not spread connections quite evenly


def room_of_a_process() -> int:
    """Raise the limit of descriptors as far as it goes; how many clients fit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    allowed = 100_000 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed <= 2 * SPARE_DESCRIPTORS:
        raise SystemExit(f"a process may have only {allowed} descriptors: see ulimit -Hn")
    return allowed - SPARE_DESCRIPTORS


def kernel_bytes() -> int:
    """What the kernel keeps in its slabs and socket buffers, of the whole machine."""
    meminfo = Path("/proc/meminfo").read_text().splitlines()
    slab = sum(int(line.split()[1]) * 1024 for line in meminfo if line.startswith("Slab:"))
    pages = 0
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            pages = int(line.split()[-1])
    return slab + pages * resource.getpagesize()


def measure(count: int, kind: str, workers: int) -> dict[str, Any]:
    """Hold so many connections, and publish to them."""
    room = room_of_a_process()
    workers = workers or math.ceil(count / (room * UNEVEN))
    crowds = math.ceil(count / room)
    share = math.ceil(count / crowds)
    with contextlib.ExitStack() as opened:
        backend = opened.enter_context(Backend())
        proxy = opened.enter_context(
            Proxy(backend.port, workers=workers, max_connections=room * workers)
        )
        proxy.settle()
        memory, kernel, cpu = proxy.memory_bytes(), kernel_bytes(), proxy.cpu_seconds()
        clients = [opened.enter_context(Clients()) for _ in range(crowds)]
        begun_at = time.monotonic()
        left, place = count, 0
        for crowd in clients:
            part = min(share, left)
            sources = tuple(
                f"127.0.0.{2 + number // PER_SOURCE}"
                for number in range(place, place + part, PER_SOURCE)
            )
            crowd.begin("open", Opening(proxy.port, part, kind, sources=sources))
            left -= part
            place += math.ceil(part / PER_SOURCE) * PER_SOURCE
        for crowd in clients:
            crowd.result()
        seconds = time.monotonic() - begun_at
        proxy.settle()
        time.sleep(5)  # connections to the backend are given up meanwhile
        figures = {
            "kind": kind,
            "count": count,
            "workers": workers,
            "client_processes": crowds,
            "open_seconds": seconds,
            "open_cpu_us": sum(used(cpu, proxy.cpu_seconds()).values()) / count * 1e6,
            "bytes_per_connection": (proxy.memory_bytes() - memory) / count,
            "empty_bytes": memory,
            # On both ends, since the clients are on this machine too.
            "kernel_bytes_per_connection": (kernel_bytes() - kernel) / count,
        }
        before = proxy.cpu_seconds()
        time.sleep(5)
        figures["idle_cpu_percent"] = sum(used(before, proxy.cpu_seconds()).values()) / 5 * 100
        if kind != "plain":
            figures |= _publish(proxy, clients, count, kind)
    return figures


def _publish(proxy: Proxy, clients: list[Clients], count: int, kind: str) -> dict[str, Any]:
    """One item to all: who got it, until when, and at which cost."""
    each = 1 if kind == "response" else wire_bytes(kind, CONTENT)
    before = proxy.cpu_seconds()
    for crowd in clients:
        crowd.begin("reach", each, 60)
    begun_at = time.monotonic()
    proxy.publish("test", CONTENT)
    results = [crowd.result() for crowd in clients]
    spent = sum(used(before, proxy.cpu_seconds()).values())
    return {
        "reached": sum(reached for reached, _ in results),
        "reached_seconds": max(last_at for _, last_at in results) - begun_at,
        "delivery_cpu_us": spent / count * 1e6,
    }


def describe(figures: dict[str, Any]) -> str:
    """The figures as text."""
    text = (
        f"{figures['count']} x {figures['kind']}, {figures['workers']} workers, "
        f"{figures['client_processes']} client processes: opened in "
        f"{figures['open_seconds']:.1f} s ({figures['open_cpu_us']:.0f} µs CPU each); "
        f"{figures['bytes_per_connection'] / 1000:.2f} kB each in the proxy, "
        f"{figures['kernel_bytes_per_connection'] / 1000:.1f} kB in the kernel (both ends); "
        f"idle: {figures['idle_cpu_percent']:.1f} % of a core"
    )
    if "reached" in figures:
        text += (
            f"; one item reached {figures['reached']} in {figures['reached_seconds']:.2f} s "
            f"({figures['delivery_cpu_us']:.1f} µs CPU each)"
        )
    return text


def main() -> int:
    """Measure and print; exit status 1 if not everybody was reached."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("count", type=int, nargs="?", default=10_000, metavar="N")
    parser.add_argument("--kind", choices=(*KINDS, "all"), default="stream")
    parser.add_argument("--workers", type=int, default=0, help="0: as few as N allows")
    parser.add_argument("--quick", action="store_true", help="at most 3,000")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    count = min(given.count, 3_000) if given.quick else given.count
    found = []
    for kind in KINDS if given.kind == "all" else (given.kind,):
        found.append(measure(count, kind, given.workers))
        print(describe(found[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))
    return int(any(each.get("reached", count) != count for each in found))


if __name__ == "__main__":
    sys.exit(main())
