"""What is to be reached, row by row, and whether it was: figures in, verdicts out."""

import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

Runs = Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]  # scenario, target, repetitions
_HOLDS: dict[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge}


@attrs.frozen
class Goal:
    """A bound for one figure of ours: by the same figure of a peer, or as it is.

    Without a `bound` the figure is only shown. `quick` says that a short run measures it too.
    """

    row: str
    scenario: str
    metric: str
    peer: str | None
    relation: str = "<="
    bound: float | None = None
    unit: str = ""
    quick: bool = True


@attrs.frozen
class Verdict:
    """What was measured for a goal: with a peer the ratio of medians, and its spread."""

    goal: Goal
    value: float | None
    lowest: float = 0.0
    highest: float = 0.0

    @property
    def is_met(self) -> bool | None:
        """None if there is nothing to judge."""
        if self.value is None or self.goal.bound is None:
            return None
        return _HOLDS[self.goal.relation](self.value, self.goal.bound)


def judge(goal: Goal, runs: Runs) -> Verdict:
    """Hold a goal to what the kit measured."""
    of_scenario = runs.get(goal.scenario, {})
    ours = _figures(of_scenario.get("project", ()), goal.metric)
    if goal.peer is None:
        return verdict(goal, ours)
    theirs = _figures(of_scenario.get(goal.peer, ()), goal.metric)
    if not ours or not theirs or not statistics.median(theirs):
        return Verdict(goal, None)
    ratios = [a / b for a, b in zip(ours, theirs, strict=False) if b]
    ratio = statistics.median(ours) / statistics.median(theirs)
    return Verdict(goal, ratio, min(ratios), max(ratios))


def verdict(goal: Goal, figures: Sequence[float]) -> Verdict:
    """Hold a goal to figures of our own."""
    if not figures:
        return Verdict(goal, None)
    return Verdict(goal, statistics.median(figures), min(figures), max(figures))


def _figures(runs: Sequence[Mapping[str, Any]], metric: str) -> list[float]:
    return [run[metric] for run in runs if metric in run]


def _against_all(
    row: str, scenario: str, pushpin: float, nchan: float, limit: float | None, *, quick: bool
) -> list[Goal]:
    goals = [
        Goal(row, scenario, "cpu", "pushpin", bound=pushpin, quick=quick),
        Goal(row, scenario, "cpu", "nchan", bound=nchan, quick=quick),
    ]
    if limit is not None:
        goals.append(Goal(row, scenario, "cpu", "limit", bound=limit, quick=quick))
    return goals


_ROWS = ("fan-out, WebSockets, paced", "fan-out, HTTP streams, paced", "delivery latency, p99")
GOALS: tuple[Goal, ...] = (
    *_against_all(_ROWS[0], "fanout-ws-1000", 0.15, 1.2, 1.5, quick=True),
    *_against_all(_ROWS[0], "fanout-ws-10000", 0.15, 1.2, 1.5, quick=False),
    Goal(_ROWS[1], "fanout-stream-1000", "cpu", "pushpin", bound=0.3),
    Goal(_ROWS[1], "fanout-stream-10000", "cpu", "pushpin", bound=0.3, quick=False),
    *_against_all("burst, WebSockets", "fanout-ws-1000-burst", 0.02, 0.15, None, quick=True),
    Goal("burst, HTTP streams", "fanout-stream-1000-burst", "cpu", "pushpin", bound=0.25),
    *(
        Goal(_ROWS[2], f"fanout-{kind}-{count}", "p99", "pushpin", bound=0.25, quick=count == 1000)
        for kind in ("ws", "stream")
        for count in (1_000, 10_000)
    ),
    *(
        Goal("opening a hold", f"hold-{kind}-10000", metric, "pushpin", relation, bound)
        for kind in ("stream", "ws")
        for metric, relation, bound in (("cpu", "<=", 0.12), ("rate", ">=", 5.0))
    ),
    *(
        Goal("memory of a held connection", f"hold-{kind}-10000", "mem", peer, "<=", bound, unit)
        for kind in ("stream", "ws")
        for peer, bound, unit in (("pushpin", 0.04, ""), (None, 2.0, " kB"))
    ),
    Goal("proxied GET, keep-alive", "http-get", "cpu", "pushpin", bound=0.12),
    Goal("proxied GET, keep-alive", "http-get", "cpu", "nchan", bound=5.0),
    Goal("download of 1 MiB", "http-1m", "cpu", "pushpin", bound=0.03),
    Goal("download of 1 MiB", "http-1m", "cpu", "nchan", bound=1.0),
    Goal("WebSocket-over-HTTP echo, 100 clients", "echo-100", "cpu", "pushpin", bound=0.12),
    Goal("long-poll cycle, paced", "poll-200-paced", "cpu", "pushpin", bound=0.12),
    Goal("long-poll cycle, paced", "poll-200-paced", "ok", None, ">=", 1.0),
    Goal("publish intake, ZeroMQ", "intake-zmq", "cpu", "pushpin", bound=0.3),
    *(
        Goal("slow consumers", f"slow-{kind}-60", metric, peer, relation, bound, unit, quick=False)
        for kind in ("ws", "stream")
        for metric, peer, relation, bound, unit in (
            ("ok", None, ">=", 1.0, ""),
            ("p99_x", None, "<=", None, ""),
            ("grow_kb", None, "<=", None, " kB"),
            ("cpu", "pushpin", "<=", None, ""),
        )
    ),
)
# What the core had to reach before; kept, so that it stays reached.
FIRST_GOALS: tuple[Goal, ...] = (
    Goal("fan-out, WebSockets, paced", "fanout-ws-1000", "cpu", "pushpin", bound=0.2),
    Goal("opening a hold", "hold-stream-10000", "cpu", "pushpin", bound=0.3),
    Goal("opening a hold", "hold-ws-10000", "cpu", "pushpin", bound=0.3),
    Goal("proxied GET, keep-alive", "http-get", "cpu", "pushpin", bound=0.5),
    Goal("memory of a held connection", "hold-stream-10000", "mem", None, "<=", 3.0, " kB"),
    Goal("memory of a held connection", "hold-ws-10000", "mem", None, "<=", 3.0, " kB"),
)


def scenarios(*, quick: bool) -> list[str]:
    """What the kit has to run, in the order of the rows."""
    return list(dict.fromkeys(goal.scenario for goal in GOALS if goal.quick or not quick))


def judge_own(own: Mapping[str, Any], cores: int) -> list[Verdict]:
    """Hold what the scripts of this folder measured to its goals."""
    found: list[Verdict] = []
    for kind, figures in own.get("tls_fanout", {}).items():
        goal = Goal("TLS fan-out against plain", f"tls_fanout, {kind}", "cpu", "plain", "<=", 1.4)
        ratios = figures["ratios"]
        found.append(Verdict(goal, figures["ratio"], min(ratios), max(ratios)))
        for name in ("plain", "tls"):
            shown = Goal(goal.row, goal.scenario, f"cpu of a delivery, {name}", None, unit=" µs")
            found.append(verdict(shown, figures[name]))
    for work, by_metric in own.get("two_workers", {}).items():
        for metric in ("wall", "capacity"):
            # Proxying in wall time needs a core for the backend, too.
            is_judged = work == "fan-out" or metric == "capacity" or cores > 3
            goal = Goal(
                "two workers against one", f"two_workers, {work}", metric, "one worker", ">=",
                1.6 if is_judged else None,
            )  # fmt: skip
            figures = by_metric[metric]
            ratios = figures["ratios"]
            found.append(Verdict(goal, figures["ratio"], min(ratios), max(ratios)))
    for name, figures in own.get("handlers", {}).items():
        if name == "none":
            continue
        bound = 0.15 if name == "both" else None
        goal = Goal(
            "handlers on a route", f"handlers, {name}", "loss of rate", "no handlers", "<=", bound
        )
        found.append(Verdict(goal, figures["loss"], *figures["within"]))
        shown = Goal(goal.row, goal.scenario, "cpu of a request, added", None, unit=" µs")
        found.append(verdict(shown, [figures["added_us"]]))
    for figures in own.get("idle_connections", ()):
        name = f"idle_connections, {figures['count']} x {figures['kind']}"
        memory = figures["bytes_per_connection"] / 1024
        goal = Goal("idle connections", name, "mem", None, "<=", 2.0, " kB")
        found.append(verdict(goal, [memory]))
        if "reached" in figures:
            reached = Goal("idle connections", name, "reached", None, ">=", 1.0)
            found.append(verdict(reached, [figures["reached"] / figures["count"]]))
    return found
