"""`RESULTS.md`: figures in, text out."""

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from benchmarks.goals import FIRST_GOALS, GOALS, Verdict, judge, judge_own

_TARGETS = ("project", "pushpin", "nchan", "limit")
_METRICS = (
    ("rate", "/s"), ("cpu", "µs"), ("p50", "ms"), ("p99", "ms"), ("mem", "kB"), ("ok", ""),
    ("p99_x", ""), ("grow_kb", "kB"), ("slow_live", ""), ("mb_s", "MB/s"),
)  # fmt: skip
_NAMES = {"nchan": "nchan / nginx", "limit": "limit (C)", "pushpin": "Pushpin"}
_SIGNS = {"<=": "≤", ">=": "≥"}

_METHOD = """\
`cpu` is the CPU time of all of a server's processes, kernel time included, for one operation;
clients, publisher and backend are not in it. A ratio is our median by that of the peer, with the
lowest and the highest ratio of one repetition behind it; repetitions of the peers take turns, so
that what else the machine does meets all alike. Ratios of `cpu` can be believed on a busy machine,
absolute rates and latencies cannot.

The peers run from the benchmark kit, each as set up there: Pushpin without rate limit; nchan in
one nginx worker, which for plain proxying is nginx alone; `limit` is the least that a C program
must do for the same socket work, and checks nothing. With 1000 and more subscribers on few cores
nearly all of a delivery is the kernel's, with ours as with the others.

Both Pushpin and ours have their statistics on there, as their configuration says, though nobody
listens; the scripts of this folder, told of in the last rows, have none.

One thing to know when reading the WebSocket fan-outs: the kit reads CPU time after its clients have
left, so part of what their leaving costs is in the figure. A proxy that has a backend (Pushpin, and
ours) asks it once for each client that left, with a DISCONNECT; nchan and `limit` have none to
tell. What a delivery costs us without that is told below, as `tls_fanout` measures it.

Another, for all that asks a backend: the kit's clients and its backend write the same header fields
each time, so that ours knows them (`docs/decisions/0014`). With a field in each request that never
comes again, as a number of the request, a proxied GET takes some 20 µs more with few fields, and 30
with those of a browser.
"""
_OWN_METHOD = """\
The last rows compare us with ourselves, by scripts of this folder. `tls_fanout`: one worker, items
in turn to plain and to encrypted clients. `two_workers`: the load lies in the kernel before the
clock matters (clients that are not read while it runs, or requests that all wait), so that only the
server works. For fan-out `wall` is rate by rate, each that of the median item. In proxying the
backend needs a core of its own, which a machine with few cores does not have: there `wall` is only
shown, and `capacity` judged, which is one worker's CPU time for a request by that of the busiest
process with two. `handlers`: CPU time of a plainly proxied request on a route with `key_auth`, with
`jwt_auth` and with both, against one without; `loss` is the part of its rate that a worker loses,
with the range in which the median is nineteen times of twenty. `idle_connections`: growth of PSS
for a held connection, and how many of them one published item reached. Each script's own text says
more.
"""


@attrs.frozen
class Machine:
    """Where and when it was measured."""

    cores: int
    processor: str
    kernel: str
    python: str
    date: str
    load: float
    repetitions: int
    quick: bool


def as_markdown(machine: Machine, runs: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """The whole file."""
    goals = [judge(goal, runs) for goal in GOALS if not machine.quick or goal.quick]
    goals += judge_own(own, machine.cores)
    first = [judge(goal, runs) for goal in FIRST_GOALS]
    parts = [
        "# Results\n\nWritten by `make bench-all`.\n" if not machine.quick else "# Quick results\n",
        _head(machine),
        _summary(goals),
        "## Goals\n",
        _goals(goals),
        "Earlier aims:\n",
        _goals(first),
        "## How it was measured\n",
        _METHOD,
        _OWN_METHOD,
        "## Medians\n",
        *(_medians(name, of_scenario) for name, of_scenario in runs.items()),
    ]
    return "\n".join(parts)


def _head(machine: Machine) -> str:
    short = " Short runs: 2000 connections stand for 10,000 holds." if machine.quick else ""
    return (
        f"{machine.date}, {machine.cores} cores ({machine.processor}), Linux {machine.kernel}, "
        f"Python {machine.python}, loopback, repetitions: {machine.repetitions}, load average at "
        f"the start: {machine.load:.1f}.{short}\n"
    )


def _summary(verdicts: Iterable[Verdict]) -> str:
    judged = [each for each in verdicts if each.goal.bound is not None]
    met = sum(each.is_met is True for each in judged)
    lacking = sum(each.is_met is None for each in judged)
    missed = len(judged) - met - lacking
    return f"Met: {met} of {len(judged)} goals. Missed: {missed}. Not measured: {lacking}.\n"


def _goals(verdicts: Iterable[Verdict]) -> str:
    lines = ["| | scenario | figure | measured | goal | |", "|---|---|---|---|---|---|"]
    before = ""
    for each in verdicts:
        goal = each.goal
        against = f" by {_NAMES.get(goal.peer, goal.peer)}" if goal.peer else ""
        bound = "" if goal.bound is None else _SIGNS[goal.relation] + f" {goal.bound:g}{goal.unit}"
        outcome = {True: "met", False: "**missed**", None: ""}[each.is_met]
        if each.value is None:
            outcome = "not measured"
        row = "" if goal.row == before else goal.row
        before = goal.row
        cells = (row, goal.scenario, goal.metric + against, _measured(each), bound, outcome)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _measured(verdict: Verdict) -> str:
    if verdict.value is None:
        return "-"
    text = _number(verdict.value) + verdict.goal.unit
    if verdict.lowest == verdict.highest:
        return text
    return f"{text} ({_number(verdict.lowest)}..{_number(verdict.highest)})"


def _medians(name: str, of_scenario: Mapping[str, Any]) -> str:
    targets = [target for target in _TARGETS if of_scenario.get(target)]
    lines = [
        f"### {name}\n",
        "| | " + " | ".join(_NAMES.get(target, target) for target in targets) + " |",
        "|---|" + "---|" * len(targets),
    ]
    for metric, unit in _METRICS:
        cells = []
        for target in targets:
            figures = [run[metric] for run in of_scenario[target] if metric in run]
            cells.append(_spread(figures))
        if any(cell != "-" for cell in cells):
            label = f"{metric}, {unit}" if unit else metric
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _spread(figures: list[float]) -> str:
    if not figures:
        return "-"
    median = _number(statistics.median(figures))
    if len(figures) == 1 or min(figures) == max(figures):
        return median
    return f"{median} ({_number(min(figures))}..{_number(max(figures))})"


def _number(value: float) -> str:
    size = abs(value)
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 0.1 or size == 0:
        return f"{value:.2f}"
    return f"{value:.3f}"
