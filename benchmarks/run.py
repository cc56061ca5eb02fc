"""All figures beside the peers and beside ourselves, written down with their goals.

    python -m benchmarks.run                   everything: about 45 minutes; writes RESULTS.md
    python -m benchmarks.run --quick           short: about 6 minutes; prints only
    python -m benchmarks.run --only 'hold-*'   some scenarios of the kit, none of our own
    python -m benchmarks.run --only tls_fanout --keep    measure that again, keep all others

The peers and their load come from the benchmark kit, of which a copy is made, as it compiles into
its own folder. Scenarios run one after another, each with a time limit of its own; what has been
measured is kept in --json after every one, so that a run that ends early loses nothing. A peer
that is not installed is left out, and its goals are told as not measured.
"""

import argparse
import datetime as dt
import fnmatch
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import attrs

from benchmarks.goals import scenarios
from benchmarks.proxy import command
from benchmarks.report import Machine, as_markdown

CHECKOUT = Path(__file__).resolve().parents[1]
TARGETS = "pushpin,project,nchan,limit"
SCENARIO_SECONDS = 1_800
OWN_SECONDS = 1_200
OWN = {
    "tls_fanout": (),
    "two_workers": (),
    "handlers": (),
    "idle_connections": ("100000", "--kind", "stream"),
}


def this_machine(repetitions: int, *, quick: bool) -> Machine:
    """What a reader has to know of it."""
    processor = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        processor=processor,
        kernel=platform.release(),
        python=platform.python_version(),
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        load=os.getloadavg()[0],
        repetitions=repetitions,
        quick=quick,
    )


def run_bounded(argv: list[str], seconds: float, cwd: Path) -> bool:
    """Run a command; when it takes too long it is told to end, and given time to clear up."""
    environment = {**os.environ, "REALTIME_PROXY": command()}
    process = subprocess.Popen(argv, cwd=cwd, env=environment)
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        print(f"!! took more than {seconds:g} s: {' '.join(argv)}", file=sys.stderr)
        return False
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def copy_of_kit(kit: Path, folder: Path) -> Path:
    """A copy that may be written to."""
    copied = folder / "kit"
    shutil.copytree(
        kit, copied, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("build")
    )
    copied.chmod(0o755)
    return copied


def run_scenario(kit: Path, name: str, given: argparse.Namespace) -> dict[str, Any]:
    """The repetitions of one scenario of the kit, by target; none if it failed."""
    out = kit / "out.json"
    out.unlink(missing_ok=True)
    argv = [sys.executable, str(kit / "bench.py"), "--scenarios", name, "--json", str(out)]
    argv += ["--targets", given.targets, "--reps", str(given.reps)]
    run_bounded(argv + ["--quick"] * given.quick, SCENARIO_SECONDS, CHECKOUT)
    if not out.exists():
        return {}
    found: dict[str, Any] = json.loads(out.read_text())["runs"].get(name, {})
    return found


def run_own(name: str, folder: Path, *, quick: bool) -> Any:
    """The figures of one script of this folder; none if it failed."""
    out = folder / f"{name}.json"
    argv = [sys.executable, "-m", f"benchmarks.{name}", *OWN[name], "--json", str(out)]
    run_bounded(argv + ["--quick"] * quick, OWN_SECONDS, CHECKOUT)
    return json.loads(out.read_text()) if out.exists() else None


def main() -> int:
    """Measure, and write it down; exit status 1 if something could not be measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kit", type=Path, default=CHECKOUT.parent / "shared" / "bench")
    parser.add_argument("--quick", action="store_true", help="short runs of most rows")
    parser.add_argument("--reps", type=int, default=0, help="repetitions (3; quick: 1)")
    parser.add_argument("--targets", default=TARGETS)
    parser.add_argument("--only", action="append", default=[], metavar="GLOB")
    parser.add_argument("--keep", action="store_true", help="keep what --json has of others")
    parser.add_argument("--json", type=Path, default=CHECKOUT / "build" / "benchmarks.json")
    parser.add_argument("--output", type=Path, help="(RESULTS.md beside this; quick: none)")
    given = parser.parse_args()
    given.reps = given.reps or (1 if given.quick else 3)
    wanted = [*scenarios(quick=given.quick), *OWN]
    if given.only:
        wanted = [name for name in wanted if any(fnmatch.fnmatch(name, g) for g in given.only)]
    machine = this_machine(given.reps, quick=given.quick)
    found: dict[str, Any] = {"machine": {}, "runs": {}, "own": {}}
    if given.keep and given.json.exists():
        found = json.loads(given.json.read_text())
    found["machine"] = attrs.asdict(machine)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    failed = []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        kit = copy_of_kit(given.kit, folder)
        for each in wanted:
            of_own = each in OWN
            print(f"-- {each}", flush=True)
            part = (
                run_own(each, folder, quick=given.quick)
                if of_own
                else run_scenario(kit, each, given)
            )
            if part:
                found["own" if of_own else "runs"][each] = part
            else:
                failed.append(each)
            given.json.write_text(json.dumps(found, indent=1))
    text = as_markdown(machine, found["runs"], found["own"])
    output = given.output
    if output is None and not given.quick and (not given.only or given.keep):
        output = Path(__file__).with_name("RESULTS.md")
    if output is not None:
        output.write_text(text)
    print(text.partition("## How it was measured")[0])
    if failed:
        print(f"could not be measured: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    # Told to end, it ends what it started: the blocks above see to that.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
