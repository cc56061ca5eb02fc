"""What handlers cost: proxied requests on a route without any, with key_auth, jwt_auth, both.

    python -m benchmarks.handlers [--rounds 150] [--quick] [--closed-loop] [--json FILE]

One worker and one configuration: four hosts are four routes to the same backend, which is proxied
to plainly. All requests carry a key and a token, the same on each route, so that what is parsed and
forwarded is the same, too; connections are opened beforehand. The routes take turns of some fifty
milliseconds, so that whatever else the machine does meets all of them; each turn is between two of
the route without handlers, and compared with the mean of those. The median of that is told, with
the quartiles, and the range it would be in again nineteen times of twenty.

`loss` is the part of its rate that a worker loses. A worker is one thread: with a core of its own,
and always something to do, its rate is one by the CPU time of a request. So the loss is `1 - CPU
without / CPU with`, by the scheduler's account in nanoseconds, all of the proxy's threads together.
On few cores that is told apart from the work of the backend and of the load better than by the wall
clock. Requests are sent at once, pipelined, and their answers stay in the kernel until the last has
come, so that the load costs nothing while the clock runs.

`--closed-loop` is to see whether it is true: clients send one request after the other, the proxy
has one core to itself, and all others share the rest. What is compared is the rate by the wall
clock, and the CPU time beside it. `busy` is how much of its core the worker had to use: well below
one, it was not the worker that limited the rate.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import attrs

from benchmarks.backend import Backend
from benchmarks.clients import Clients
from benchmarks.proxy import Proxy, used
from realtime_proxy.testing.tokens import hs_token

SECRET = "a secret of thirty-two bytes, or more"
ROUTES = {"none": (), "key_auth": ("key",), "jwt_auth": ("jwt",), "both": ("key", "jwt")}
CONSUMERS = f"""
[handler.key]
use = "key_auth"
[[handler.key.consumers]]
username = "alice"
id = "11"
keys = ["supersecret"]

[handler.jwt]
use = "jwt_auth"
[[handler.jwt.consumers]]
username = "ado"
id = "12"
[[handler.jwt.consumers.jwt]]
key = "adokey"
secret = "{SECRET}"
"""


def configuration(backend_port: int) -> str:
    """The routes by host, and who may pass."""
    routes = [
        f'[[route]]\nhost = "{name}.test"\nhandlers = {json.dumps(handlers)}\n'
        f'targets = [{{ url = "http://127.0.0.1:{backend_port}" }}]\n'
        for name, handlers in ROUTES.items()
    ]
    return "\n".join((CONSUMERS, *routes))


def request(host: str, token: str) -> bytes:
    """As a small client of an API would write it."""
    fields = (
        f"Host: {host}.test",
        "User-Agent: benchmark/1",
        "Accept: */*",
        "Apikey: supersecret",
        f"Authorization: Bearer {token}",
    )
    return "\r\n".join(("GET /plain HTTP/1.1", *fields, "", "")).encode()


@attrs.frozen
class Turn:
    """What one turn of a route took."""

    cpu_us: float  # of a request
    rate: float  # requests a second by the wall clock
    busy: float  # CPU time by wall time


def measure(size: "Size", *, closed_loop: bool) -> dict[str, list[Turn]]:
    """The turns of each route, in rounds."""
    token = hs_token({"iss": "adokey", "sub": "u-1", "exp": 4_000_000_000}, SECRET.encode())
    found: dict[str, list[Turn]] = {name: [] for name in ROUTES}
    with contextlib.ExitStack() as opened:
        backend = opened.enter_context(Backend())
        further = configuration(backend.port)
        proxy = opened.enter_context(Proxy(backend.port, further=further))
        crowd = opened.enter_context(Clients())
        if closed_loop:
            give_a_core(proxy.processes(), [backend.pid, crowd.pid])
        order = "closed_loop" if closed_loop else "pipeline_again"

        def turn(name: str) -> Turn:
            wanted = request(name, token.decode())
            before, begun_at = proxy.cpu_seconds(), time.monotonic()
            crowd.do(order, proxy.port, size.connections, size.each, wanted)
            seconds, count = time.monotonic() - begun_at, size.connections * size.each
            cpu = sum(used(before, proxy.cpu_seconds()).values())
            return Turn(cpu / count * 1e6, count / seconds, cpu / seconds)

        for name in ROUTES:
            turn(name)  # for warming up, and to open connections
        for _ in range(size.rounds):
            for name, turns in found.items():
                if name != "none":
                    found["none"].append(turn("none"))
                    turns.append(turn(name))
        found["none"].append(turn("none"))
    return found


@attrs.frozen
class Size:
    """How many requests in a turn, and how many rounds of turns."""

    connections: int
    each: int
    rounds: int


def give_a_core(those: list[int], others: list[int]) -> None:
    """Have some processes share a core that the others leave to them."""
    first, *rest = sorted(os.sched_getaffinity(0))
    if not rest:
        raise SystemExit("--closed-loop needs two cores")
    for pid in those:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {first})
    for pid in others:
        os.sched_setaffinity(pid, rest)


def figures_of(found: dict[str, list[Turn]]) -> dict[str, Any]:
    """Each route against the turns without handlers before and after it: medians, and all."""
    between = [
        Turn((a.cpu_us + b.cpu_us) / 2, (a.rate + b.rate) / 2, (a.busy + b.busy) / 2)
        for a, b in itertools.pairwise(found["none"])
    ]
    figures: dict[str, Any] = {}
    for place, name in enumerate(found, start=-1):
        each = found[name] if place >= 0 else between
        step = len(found) - 1 if place >= 0 else 1
        pairs = list(zip(between[max(0, place) :: step], each, strict=True))
        losses = [1 - a.cpu_us / b.cpu_us for a, b in pairs]
        figures[name] = {
            "cpu_us": statistics.median(turn.cpu_us for turn in each),
            "added_us": statistics.median(b.cpu_us - a.cpu_us for a, b in pairs),
            "loss": statistics.median(losses),
            "rate_loss": statistics.median(1 - b.rate / a.rate for a, b in pairs),
            "rate": statistics.median(turn.rate for turn in each),
            "busy": statistics.median(turn.busy for turn in each),
            "within": range_of_median(losses),
            "quartiles": statistics.quantiles(losses, n=4)[::2],
            "losses": losses,
        }
    return figures


def range_of_median(values: list[float]) -> tuple[float, float]:
    """Where the median of more such values is, nineteen times of twenty: by their order alone."""
    ordered, middle = sorted(values), len(values) // 2
    apart = math.ceil(0.98 * math.sqrt(len(values)))
    return ordered[max(0, middle - apart)], ordered[min(len(values) - 1, middle + apart)]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--quick", action="store_true", help="a few short rounds")
    parser.add_argument("--closed-loop", action="store_true", help="by the rate on a core")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    connections, each = (32, 48) if given.closed_loop else (128, 4)
    size = Size(connections, 4, 12) if given.quick else Size(connections, each, given.rounds)
    figures = figures_of(measure(size, closed_loop=given.closed_loop))
    for name, figure in figures.items():
        quartiles = "..".join(f"{value:.1%}" for value in figure["quartiles"])
        within = "..".join(f"{value:.1%}" for value in figure["within"])
        print(
            f"{name:8}  {figure['cpu_us']:6.1f} µs a request, {figure['added_us']:+5.1f} µs, "
            f"{figure['loss']:6.1%} (median within {within}, quartiles {quartiles})"
        )
        if given.closed_loop:
            print(
                f"{'':8}  {figure['rate']:6.0f} requests/s, {figure['rate_loss']:.1%} less, "
                f"busy {figure['busy']:.2f}"
            )
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
