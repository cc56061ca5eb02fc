"""What the garbage collector costs, with the settings of the worker and with others.

    python -m benchmarks.collector [--count 10000]

For each setting a proxy is started, so many streams are opened and one item is published to
them, then requests are proxied. Told are the collector's time and its longest pause (which stops
everybody), and the CPU of opening a stream and of a request.
"""

import argparse
import contextlib
import gc
import json
import os
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

from benchmarks.backend import Backend
from benchmarks.clients import Clients, Opening, wire_bytes
from benchmarks.proxy import Proxy, used

SETTINGS = ("as it is", "default", "frozen at start", "thresholds only", "off")
OUT = "BENCHMARK_COLLECTOR_OUT"
CONTENT = "x" * 100


def serve(setting: str) -> None:
    """Be the program, with this setting, and write down at the end what was collected."""
    from realtime_proxy.app import worker
    from realtime_proxy.cli.main import main as program

    pauses: list[tuple[int, float, int]] = []
    begun_at = 0.0

    def note(phase: str, told: dict[str, int]) -> None:
        nonlocal begun_at
        if phase == "start":
            begun_at = time.perf_counter()
        else:
            seconds = time.perf_counter() - begun_at
            pauses.append((told["generation"], seconds, told["collected"]))

    def begin() -> None:
        gc.callbacks.append(note)

    def nothing(*_: Any) -> None:
        pass

    def collect() -> None:
        gc.collect()
        begin()
        if setting == "off":
            gc.disable()

    is_frozen = setting in ("as it is", "frozen at start")
    has_thresholds = setting in ("as it is", "thresholds only")
    worker.gc = types.SimpleNamespace(  # type: ignore[attr-defined]
        collect=collect,
        freeze=gc.freeze if is_frozen else nothing,
        set_threshold=gc.set_threshold if has_thresholds else nothing,
    )
    with contextlib.suppress(SystemExit):
        program()
    Path(os.environ[OUT]).write_text(json.dumps(pauses))


def measure(setting: str, count: int) -> str:
    """One line about one setting."""
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        contextlib.ExitStack() as opened,
    ):
        out = Path(folder) / "pauses"
        os.environ[OUT] = str(out)
        backend = opened.enter_context(Backend())
        launcher = (sys.executable, "-m", "benchmarks.collector", "--serve", setting)
        with (
            Proxy(backend.port, launcher=launcher) as proxy,
            Clients() as crowd,
            Clients() as other,
        ):
            before = proxy.cpu_seconds()
            crowd.do("open", Opening(proxy.port, count, "stream"))
            opening = sum(used(before, proxy.cpu_seconds()).values()) / count * 1e6
            crowd.begin("drain", wire_bytes("stream", CONTENT) * count, 30)
            proxy.publish("test", CONTENT)
            crowd.result()
            before = proxy.cpu_seconds()
            requests = other.do("pipeline", proxy.port, 200, 50)[1]
            request = sum(used(before, proxy.cpu_seconds()).values()) / requests * 1e6
        pauses = json.loads(out.read_text())
    total = sum(seconds for _, seconds, _ in pauses) * 1e3
    longest = max((seconds for _, seconds, _ in pauses), default=0.0) * 1e3
    runs = [sum(generation == number for generation, _, _ in pauses) for number in range(3)]
    garbage = sum(collected for _, _, collected in pauses)
    return (
        f"{setting:16}  collector {total:6.1f} ms in all, longest pause {longest:5.1f} ms, runs by "
        f"generation {runs}, {garbage} objects collected; stream {opening:.0f} µs, "
        f"request {request:.0f} µs"
    )


def main() -> int:
    """Measure and print."""
    if sys.argv[1:2] == ["--serve"]:
        setting = sys.argv[2]
        sys.argv[1:3] = []
        serve(setting)
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000, help="streams")
    given = parser.parse_args()
    for setting in SETTINGS:
        print(measure(setting, given.count), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
