"""Where the time goes on each hot path: a profile of a busy worker, by function.

    python -m benchmarks.hot_paths [--seconds 6] [--kit DIR]

Needs py-spy beside this interpreter (`pip install py-spy`), and the right to trace a process. The
load and the backend are those of the benchmark kit, of which a copy is made. For every path it
prints the share of each folder; then two lists, functions by their own share of the samples, and
functions of ours by the share of all samples in which they are on the stack. System calls count
for whoever makes them.
"""

import argparse
import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.proxy import Proxy, free_ports
from benchmarks.run import CHECKOUT, copy_of_kit

SAMPLES_PER_SECOND = 500
_ROOM = re.compile(r"\((?:realtime_proxy/)?(\w+)/")
_LINE = re.compile(r":\d+\)$")
PATHS = ("fan-out, paced", "proxied GET", "opening holds", "WebSocket events")
_CONTENT = "@@%019dxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"


def profile(path: str, kit: Path, folder: Path, seconds: int) -> Counter[tuple[str, ...]]:
    """Samples of one path, by stack, the innermost function last."""
    raw = folder / "samples"
    [backend_port] = free_ports(1)
    with contextlib.ExitStack() as opened:
        backend = [str(kit / "build" / "backend"), str(backend_port)]
        _start(opened, backend)
        proxy = opened.enter_context(Proxy(backend_port))
        port, lasting = str(proxy.port), str(seconds + 3)
        arguments = {
            "fan-out, paced": ("hold", "ws", port, "/ws?ch=test", "1000", "1000000", "60", "64"),
            "proxied GET": ("http", port, "/plain", "32", lasting, "0", "keep"),
            "opening holds": ("hold", "http", port, "/stream?ch=test", "14000", "0", lasting, "64"),
            "WebSocket events": ("echo", port, "/ws", "100", lasting, "50"),
        }[path]
        _start(opened, [str(kit / "build" / "load"), *arguments])
        time.sleep(0 if path == "opening holds" else 1.5)
        pid = str(proxy.processes()[0])
        spy = [
            str(Path(sys.executable).with_name("py-spy")),
            "record",
            "-p",
            pid,
            "-f",
            "raw",
            "-F",
        ]
        spy += ["-d", str(seconds), "-r", str(SAMPLES_PER_SECOND), "-o", str(raw)]
        recording = _start(opened, spy)
        until = time.monotonic() + seconds + 20
        while recording.poll() is None and time.monotonic() < until:
            if path == "fan-out, paced":
                proxy.publish("test", _CONTENT % time.time_ns())
            time.sleep(0.1)
    samples: Counter[tuple[str, ...]] = Counter()
    for line in raw.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        samples[tuple(stack.split(";"))] += int(count)
    return samples


def _start(opened: contextlib.ExitStack, argv: list[str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    opened.callback(process.wait)
    opened.callback(process.kill)
    return process


def describe(samples: Counter[tuple[str, ...]], lines: int) -> str:
    """Both lists side by side."""
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for stack, count in samples.items():
        own[_short(stack[-1])] += count
        for name in {_short(frame) for frame in stack if "realtime_proxy/" in frame}:
            within[name] += count
    total = sum(samples.values()) or 1
    rooms: Counter[str] = Counter()
    for stack, count in samples.items():
        room = _ROOM.search(stack[-1])
        rooms[room[1] if room else "other"] += count
    shares = ", ".join(f"{name} {count / total:.0%}" for name, count in rooms.most_common(10))
    text = [f"{total} samples: {shares}"]
    pairs = zip(own.most_common(lines), within.most_common(lines), strict=False)
    for (mine, a), (ours, b) in pairs:
        text.append(f"{a / total:6.1%}  {mine:<58} {b / total:6.1%}  {ours}")
    return "\n".join(text)


def _short(frame: str) -> str:
    """A frame without its line, and ours without the package."""
    return _LINE.sub(")", frame).replace("(realtime_proxy/", "(")


def main() -> int:
    """Profile and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kit", type=Path, default=CHECKOUT.parent / "shared" / "bench")
    parser.add_argument("--seconds", type=int, default=6, help="of each path")
    parser.add_argument("--lines", type=int, default=24)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        kit = copy_of_kit(given.kit, folder)
        subprocess.run(["make", "-s", "-C", str(kit)], check=True, timeout=120)
        for path in PATHS:
            print(
                f"\n== {path}: {describe(profile(path, kit, folder, given.seconds), given.lines)}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
