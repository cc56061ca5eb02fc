"""What handlers cost: proxied requests on a route without any, with key_auth, jwt_auth, both.

    python -m benchmarks.handlers [--reps 20] [--quick] [--json FILE]

One worker and one configuration: four hosts are four routes to the same backend, which is proxied
to plainly. Each of many connections sends all its requests at once, pipelined; their answers stay
in the kernel until the last has come, so that the load costs nothing while the clock runs. All
requests carry a key and a token, the same on each route, so that what is parsed and forwarded is
the same, too. The routes take turns, in each repetition in another order.

What is compared is CPU time of the proxy for a request: on few cores a backend that answers
meanwhile takes part of the wall time. `loss` is how much of its rate a worker loses that has a
core of its own, `1 - without / with`.
"""

import argparse
import contextlib
import json
import statistics
import sys
from pathlib import Path
from typing import Any

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


def measure(connections: int, requests: int, reps: int) -> dict[str, list[float]]:
    """CPU time of the proxy for a request, in microseconds, by route."""
    token = hs_token({"iss": "adokey", "sub": "u-1", "exp": 4_000_000_000}, SECRET.encode())
    found: dict[str, list[float]] = {name: [] for name in ROUTES}
    with contextlib.ExitStack() as opened:
        backend = opened.enter_context(Backend())
        further = configuration(backend.port)
        proxy = opened.enter_context(Proxy(backend.port, further=further))
        crowd = opened.enter_context(Clients())

        def run(name: str, each: int) -> float:
            wanted = request(name, token.decode())
            before = proxy.cpu_seconds()
            _, count = crowd.do("pipeline", proxy.port, connections, each, wanted)
            return sum(used(before, proxy.cpu_seconds()).values()) / count * 1e6

        for name in ROUTES:
            run(name, 10)  # for warming up
        names = list(ROUTES)
        for _ in range(reps):
            for name in names:
                found[name].append(run(name, requests))
            names = names[1:] + names[:1]
    return found


def figures_of(found: dict[str, list[float]]) -> dict[str, Any]:
    """Each route against the one without handlers, which ran beside it: medians, and all."""
    plain = found["none"]
    return {
        name: {
            "cpu_us": statistics.median(each),
            "added_us": statistics.median(b - a for a, b in zip(plain, each, strict=True)),
            "loss": statistics.median(losses),
            "losses": losses,
        }
        for name, each in found.items()
        if (losses := [1 - a / b for a, b in zip(plain, each, strict=True)])
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--reps", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="two short repetitions")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    reps, requests = (4, 20) if given.quick else (given.reps, 60)
    figures = figures_of(measure(128, requests, reps))
    for name, each in figures.items():
        print(
            f"{name:8}  {each['cpu_us']:6.1f} µs a request, {each['added_us']:+5.1f} µs, "
            f"{each['loss']:6.1%} ({min(each['losses']):.1%}..{max(each['losses']):.1%})"
        )
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
