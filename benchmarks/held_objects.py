"""What one held connection keeps: its Python objects by type, and its memory by line of code.

    python -m benchmarks.held_objects [--kind stream|response|websocket|plain|all] [--count 1000]

The program runs with tracemalloc, and writes down what there is before and after so many
clients are held. The difference by their number is what each keeps. Objects the collector does not
track (bytes, numbers) are found where tracked ones refer to them. tracemalloc sees all that
Python allocates, tables of sets and dicts included, but not what OpenSSL or the kernel keeps.
"""

import argparse
import contextlib
import gc
import json
import os
import signal
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.backend import Backend
from benchmarks.certificate import make_certificate
from benchmarks.clients import KINDS, Clients, Opening
from benchmarks.proxy import Proxy

OUT = "BENCHMARK_OBJECTS_OUT"
SNAPSHOT_SECONDS = 60.0


def serve() -> None:
    """Be the program; SIGUSR2 has it write down what there is."""
    from realtime_proxy.cli.main import main as program

    signal.signal(signal.SIGUSR2, lambda *_: _write_down(Path(os.environ[OUT])))
    tracemalloc.start()
    program()


def _write_down(out: Path) -> None:
    gc.collect()
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    seen: set[int] = set()
    for tracked in gc.get_objects():
        for each in (tracked, *(o for o in gc.get_referents(tracked) if not gc.is_tracked(o))):
            if id(each) not in seen:
                seen.add(id(each))
                name = f"{type(each).__module__}.{type(each).__qualname__}"
                counts[name] += 1
                sizes[name] += sys.getsizeof(each)
    seen.clear()
    lines = {
        f"{statistic.traceback[0].filename}:{statistic.traceback[0].lineno}": statistic.size
        for statistic in tracemalloc.take_snapshot().statistics("lineno")
        if "tracemalloc" not in statistic.traceback[0].filename
        and "held_objects" not in statistic.traceback[0].filename
    }
    found = {"counts": counts, "sizes": sizes, "lines": lines}
    unfinished = out.with_suffix(".new")
    unfinished.write_text(json.dumps(found))
    unfinished.rename(out)


def measure(kind: str, count: int, *, tls: bool) -> dict[str, dict[str, float]]:
    """Objects and bytes of each of so many clients: `counts`, `sizes` and `lines` by name."""
    with contextlib.ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        out = folder / "found"
        os.environ[OUT] = str(out)
        backend = opened.enter_context(Backend())
        launcher = (sys.executable, "-m", "benchmarks.held_objects", "--serve")
        proxy = opened.enter_context(
            Proxy(backend.port, launcher=launcher, certificate=make_certificate(folder))
        )
        crowd = opened.enter_context(Clients())
        port = proxy.tls_port if tls else proxy.port
        crowd.do("open", Opening(port, 100, kind, tls=tls))  # what the first ones need is shared
        proxy.settle()
        time.sleep(5)  # connections to the backend are given up
        before = _snapshot(proxy, out)
        crowd.do("open", Opening(port, count, kind, tls=tls))
        proxy.settle()
        time.sleep(5)
        after = _snapshot(proxy, out)
    return {
        part: {
            name: (value - before[part].get(name, 0)) / count for name, value in after[part].items()
        }
        for part in after
    }


def _snapshot(proxy: Proxy, out: Path) -> Any:
    out.unlink(missing_ok=True)
    proxy.signal(signal.SIGUSR2)
    deadline = time.monotonic() + SNAPSHOT_SECONDS
    while not out.exists():
        if time.monotonic() > deadline:
            raise RuntimeError("the proxy did not write down what it keeps")
        time.sleep(0.1)
    return json.loads(out.read_text())


def describe(found: dict[str, dict[str, float]]) -> str:
    """Both lists, the largest first."""
    sizes, counts, lines = found["sizes"], found["counts"], found["lines"]
    text = [f"objects: {sum(sizes.values()):.0f} bytes"]
    for name, size in sorted(sizes.items(), key=lambda pair: -pair[1]):
        if counts[name] >= 0.05:
            text.append(f"{counts[name]:6.2f} x {name:<66} {size:6.0f} bytes")
    text.append(f"allocations: {sum(lines.values()):.0f} bytes")
    for name, size in sorted(lines.items(), key=lambda pair: -pair[1]):
        if size >= 8:
            shown = name.partition("site-packages/")[2] or name.rpartition("realtime_proxy/")[2]
            text.append(f"{size:6.0f} bytes  {shown}")
    return "\n".join(text)


def main() -> int:
    """Measure and print."""
    if sys.argv[1:2] == ["--serve"]:
        sys.argv[1:2] = []
        serve()
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kind", choices=(*KINDS, "all"), default="all")
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--tls", action="store_true", help="over TLS")
    given = parser.parse_args()
    for kind in KINDS if given.kind == "all" else (given.kind,):
        print(f"\n== {kind}, {describe(measure(kind, given.count, tls=given.tls))}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
