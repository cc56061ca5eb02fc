"""Two workers against one: fan-out to many WebSockets, and proxied requests.

    python -m benchmarks.two_workers [--count 8000] [--reps 5] [--quick] [--json FILE]

On few cores a load generator takes from two workers the second core that it left to one. So the
load is in the kernel before the clock matters, and the clients only look on while the server works:

Fan-out. The clients are held and then not read. An item is published, and a client process asks
the kernel (FIONREAD, every millisecond) until the item lies in the receive buffer of every
socket; then the next one is published. Only the server runs, wall time counts from the publish to
the last arrival, and the publish, the supervisor and the link to the workers are in it. It is that
of the median item of a round: two workers on two cores lose one of them to whatever else runs for
a moment, which one worker would not notice, and an item that met it says nothing of either.

Proxying. Each of many connections sends all its requests at once, pipelined; the answers stay in
the kernel until the last has come. The backend has to answer meanwhile, and nothing can be done
about the core it takes: with two cores, two workers and a backend share them. So two ratios
are given. `wall` is rate against rate as measured. `capacity` is what the busiest process of the
proxy allows: a request's CPU time in the one worker, against a request's share of CPU time in the
busiest of supervisor and two workers. That is the ratio of rates when every process has a core,
and it counts what several workers cost (dearer requests, an uneven share of the connections).
"""

import argparse
import contextlib
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import attrs

from benchmarks.backend import Backend
from benchmarks.clients import Clients, Opening, wire_bytes
from benchmarks.proxy import Proxy, used

CONTENT = "x" * 100
KIND = "websocket"


@attrs.frozen
class Round:
    """What one round took, per delivery or request: wall time, and CPU of the busiest process."""

    wall_us: float
    busiest_us: float
    all_us: float


@attrs.frozen
class Size:
    """How much is done in a round."""

    clients: int
    items: int
    connections: int
    requests: int


def fan_out(proxy: Proxy, crowd: Clients, size: Size) -> Round:
    """Items, one after the other, to clients that do not read."""
    crowd.do("forget")
    one = wire_bytes(KIND, CONTENT)
    walls = []
    before = proxy.cpu_seconds()
    for number in range(1, size.items + 1):
        crowd.begin("fill", one * number, 30)
        begun_at = time.monotonic()
        proxy.publish("test", CONTENT)
        walls.append(crowd.result() - begun_at)
    time.sleep(0.1)
    spent = used(before, proxy.cpu_seconds())
    crowd.do("drain", one * size.items * size.clients, 30)
    wall = statistics.median(walls) * size.items
    return _round(wall, spent, size.clients * size.items)


def proxied(proxy: Proxy, crowd: Clients, size: Size) -> Round:
    """Requests that all wait already."""
    before = proxy.cpu_seconds()
    wall, count = crowd.do("pipeline", proxy.port, size.connections, size.requests)
    return _round(wall, used(before, proxy.cpu_seconds()), count)


def _round(wall: float, spent: dict[int, float], count: int) -> Round:
    micro = 1e6 / count
    return Round(wall * micro, max(spent.values()) * micro, sum(spent.values()) * micro)


def measure(size: Size, reps: int) -> dict[str, dict[int, list[Round]]]:
    """Rounds of both kinds of work by number of workers, in turn."""
    found: dict[str, dict[int, list[Round]]] = {
        "fan-out": {1: [], 2: []},
        "proxying": {1: [], 2: []},
    }
    for _ in range(reps):
        for workers in (1, 2):
            with contextlib.ExitStack() as opened:
                backend = opened.enter_context(Backend())
                proxy = opened.enter_context(Proxy(backend.port, workers=workers))
                crowd = opened.enter_context(Clients())
                proxied(proxy, crowd, attrs.evolve(size, requests=2))  # for warming up
                found["proxying"][workers].append(proxied(proxy, crowd, size))
                crowd.do("open", Opening(proxy.port, size.clients, KIND))
                proxy.settle()
                fan_out(proxy, crowd, attrs.evolve(size, items=2))
                found["fan-out"][workers].append(fan_out(proxy, crowd, size))
    return found


def ratios(found: dict[int, list[Round]], figure: str) -> dict[str, Any]:
    """One worker's time by that of two: the ratio of medians, and those of each repetition."""
    one, two = ([getattr(each, figure) for each in found[workers]] for workers in (1, 2))
    return {
        "one": statistics.median(one),
        "two": statistics.median(two),
        "ratio": statistics.median(one) / statistics.median(two),
        "ratios": [a / b for a, b in zip(one, two, strict=True)],
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=8_000, help="held clients")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two short repetitions")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    size = Size(given.count, items=20, connections=256, requests=60)
    if given.quick:
        size = Size(min(4_000, given.count), items=10, connections=128, requests=30)
    figures: dict[str, Any] = {}
    for work, found in measure(size, 2 if given.quick else given.reps).items():
        figures[work] = {
            "wall": ratios(found, "wall_us"),
            "capacity": ratios(found, "busiest_us"),
            "cpu": ratios(found, "all_us"),
        }
        for name, each in figures[work].items():
            print(
                f"{work:8}  {name:8}  one {each['one']:7.1f} µs, two {each['two']:7.1f} µs, "
                f"{each['ratio']:.2f}x ({min(each['ratios']):.2f}..{max(each['ratios']):.2f})"
            )
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
