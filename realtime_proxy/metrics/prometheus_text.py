"""The page of the metrics port: Pushpin's few metrics to the letter, then ours.

Pushpin's counters have no `_total`, which prometheus-client insists on, so they are written here.
"""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from realtime_proxy.metrics.histogram import BOUNDS_SECONDS, Histogram
from realtime_proxy.metrics.statistics import Statistics

_ITEMS = {
    "published": "items_published",
    "refused": "items_refused",
    "repeated": "items_repeated",
    "unordered": "items_unordered",
    "lost": "items_lost",
    "skipped": "items_skipped",
    "turned_away": "publishes_refused",
}
# By the key of the configuration that has the limit.
_LIMITS = {
    "server.max_connections": "limit_connections",
    "server.max_connections_per_address": "limit_connections_per_address",
    "server.max_backlog_bytes": "limit_backlog_bytes",
    "server.max_backlog_seconds": "limit_backlog_seconds",
    "server.max_total_backlog_bytes": "limit_total_backlog_bytes",
    "server.max_retained_body_bytes": "limit_retained_body_bytes",
    "route.max_connections": "limit_route_connections",
    "publish.max_queued_bytes": "limit_queued_bytes",
    "log.max_repeats_per_second": "log_lines_left_out",
    "open_files": "limit_open_files",
}
_PUSHPIN: tuple[tuple[str, str, str, Callable[[Statistics], int]], ...] = (
    ("request_received", "counter", "Number of requests received", lambda s: _sum(s, "requests")),
    (
        "connection_connected",
        "gauge",
        "Number of concurrent connections",
        lambda s: sum(s.connections().values()),
    ),
    (
        "connection_minute",
        "counter",
        "Number of minutes clients have been connected",
        lambda s: _sum(s, "minutes"),
    ),
    (
        "message_received",
        "counter",
        "Number of messages received by the publish API",
        lambda s: _sum(s, "received"),
    ),
    (
        "message_sent",
        "counter",
        "Number of messages sent to clients",
        lambda s: _sum(s, "sent"),
    ),
)


def prometheus_text(statistics: Statistics, prefix: str) -> bytes:
    """All metrics in the text format of Prometheus, `prefix` before every name."""
    blocks = [
        f"# HELP {prefix}{name} {text}\n"
        f"# TYPE {prefix}{name} {kind}\n"
        f"{prefix}{name} {value(statistics)}\n"
        for name, kind, text, value in _PUSHPIN
    ]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(statistics, f"{prefix}realtime_proxy_"))
    return "".join(blocks).encode() + generate_latest(registry)


class _Collector(Collector):
    """Our own metrics."""

    def __init__(self, statistics: Statistics, prefix: str) -> None:
        self._statistics = statistics
        self._prefix = prefix

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        yield from self._of_clients()
        yield from self._of_items()
        yield from self._of_backends()
        yield from self._of_limits()

    def _of_clients(self) -> Iterator[Metric]:
        statistics = self._statistics
        connections = self._gauge("connections", "Clients that are served or held.", "route")
        for route, count in statistics.connections().items():
            connections.add_metric([route], count)
        yield connections
        held = self._gauge("held_connections", "Clients that are held open.", "route", "kind")
        for labels, count in statistics.held().items():
            held.add_metric(labels, count)
        yield held
        backlog = self._gauge("backlog_bytes", "Bytes that wait for slow clients.")
        backlog.add_metric([], statistics.backlog_bytes())
        yield backlog
        requests = self._counter("requests", "Requests and WebSockets of clients.", "route")
        closed = self._counter(
            "closed", "Requests and holds that have ended, by the reason.", "route", "reason"
        )
        for route, traffic in statistics.totals.items():
            requests.add_metric([route], traffic.requests)
            for reason, count in traffic.closed.items():
                closed.add_metric([route, reason], count)
        yield requests
        yield closed

    def _of_items(self) -> Iterator[Metric]:
        statistics = self._statistics
        items = self._counter("items", "Published items, by what became of them.", "outcome")
        for outcome, name in _ITEMS.items():
            items.add_metric([outcome], statistics.counters[name])
        yield items
        deliveries = self._counter("deliveries", "Items times their receivers.", "route")
        for route, traffic in statistics.totals.items():
            deliveries.add_metric([route], traffic.sent)
        yield deliveries
        limited = self._counter(
            "limited_deliveries", "Deliveries that a limit has kept back.", "outcome"
        )
        for outcome in ("delayed", "dropped"):
            limited.add_metric([outcome], statistics.counters[f"deliveries_{outcome}"])
        yield limited
        delay = self._histogram(
            "delivery_seconds", "From an item's arrival until it is written to all its receivers."
        )
        _add(delay, [], statistics.delivery_seconds)
        yield delay

    def _of_backends(self) -> Iterator[Metric]:
        delay = self._histogram(
            "backend_response_seconds", "From a request until the head of its response.", "route"
        )
        failures = self._counter(
            "backend_failures", "Requests that a backend has not answered.", "route", "kind"
        )
        for route, traffic in self._statistics.totals.items():
            if any(traffic.backend_seconds.counts):
                _add(delay, [route], traffic.backend_seconds)
            for kind, count in traffic.backend_failures.items():
                failures.add_metric([route, kind], count)
        yield delay
        yield failures

    def _of_limits(self) -> Iterator[Metric]:
        counters = self._statistics.counters
        limits = self._counter("limits", "How often a limit was reached.", "limit")
        for key, name in _LIMITS.items():
            limits.add_metric([key], counters[name])
        yield limits
        dropped = self._counter(
            "backlog_dropped_bytes", "Bytes that waited for clients that were too slow."
        )
        dropped.add_metric([], counters["backlog_bytes_dropped"])
        yield dropped
        records = self._counter(
            "log_records_dropped", "Records that a log's collector has not taken in time."
        )
        records.add_metric([], counters["log_records_dropped"])
        yield records

    def _gauge(self, name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(self._prefix + name, text, labels=labels)

    def _counter(self, name: str, text: str, *labels: str) -> CounterMetricFamily:
        return CounterMetricFamily(self._prefix + name, text, labels=labels)

    def _histogram(self, name: str, text: str, *labels: str) -> HistogramMetricFamily:
        return HistogramMetricFamily(self._prefix + name, text, labels=labels)


def _sum(statistics: Statistics, name: str) -> int:
    return sum(getattr(traffic, name) for traffic in statistics.totals.values())


def _add(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    """Prometheus counts everything up to a bound, not between two."""
    buckets, total = [], 0
    for bound, count in zip((*map(str, BOUNDS_SECONDS), "+Inf"), histogram.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    family.add_metric(labels, buckets, histogram.sum_seconds)
