import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from realtime_proxy.config.schema import Stats
from realtime_proxy.metrics.prometheus_text import prometheus_text
from realtime_proxy.metrics.statistics import Statistics
from realtime_proxy.metrics.tallied import Held, Tallied
from realtime_proxy.metrics.traffic import Traffic

LIMITS = {
    "limit_backlog_seconds": 2,
    "limit_open_files": 1,
    "backlog_bytes_dropped": 300,
    "log_records_dropped": 4,
}


@pytest.fixture
def text():
    statistics = Statistics(Stats(), 60.0)
    traffic = Traffic(requests=5, minutes=6, sent=8, closed={"idle": 1})
    traffic.backend_failures["timeout"] = 2
    traffic.backend_seconds.observe(0.02)
    traffic.backend_seconds.observe(100.0)
    tallied = Tallied(
        traffic={'odd "id"': traffic},
        connections={'odd "id"': (3, 4)},
        held=[Held('odd "id"', "stream", 2)],
        counters={"items_published": 7, "items_repeated": 1, "deliveries_dropped": 3} | LIMITS,
        backlog_bytes=9,
    )
    tallied.delivery_seconds.observe(0.002)
    statistics.add(0, tallied, 0.0)
    return prometheus_text(statistics, "pp_").decode()


def test_pushpins_come_first_and_to_the_letter(text):
    assert text.startswith(
        "# HELP pp_request_received Number of requests received\n"
        "# TYPE pp_request_received counter\n"
        "pp_request_received 5\n"
        "# HELP pp_connection_connected Number of concurrent connections\n"
        "# TYPE pp_connection_connected gauge\n"
        "pp_connection_connected 3\n"
        "# HELP pp_connection_minute Number of minutes clients have been connected\n"
        "# TYPE pp_connection_minute counter\n"
        "pp_connection_minute 6\n"
        "# HELP pp_message_received Number of messages received by the publish API\n"
        "# TYPE pp_message_received counter\n"
        "pp_message_received 7\n"
        "# HELP pp_message_sent Number of messages sent to clients\n"
        "# TYPE pp_message_sent counter\n"
        "pp_message_sent 8\n"
    )


def test_ours_can_be_read_by_prometheus(text):
    values = {
        (sample.name.removeprefix("pp_realtime_proxy_"), *sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    route = ("route", 'odd "id"')
    assert values["connections", route] == 3
    assert values["held_connections", ("kind", "stream"), route] == 2
    assert values["requests_total", route] == 5
    assert values["closed_total", ("reason", "idle"), route] == 1
    assert values["backlog_bytes",] == 9
    assert values["items_total", ("outcome", "published")] == 7
    assert values["items_total", ("outcome", "repeated")] == 1
    assert values["items_total", ("outcome", "lost")] == 0
    assert values["limits_total", ("limit", "server.max_backlog_seconds")] == 2
    assert values["limits_total", ("limit", "open_files")] == 1
    assert values["limits_total", ("limit", "route.max_connections")] == 0
    assert values["backlog_dropped_bytes_total",] == 300
    assert values["log_records_dropped_total",] == 4
    assert values["limited_deliveries_total", ("outcome", "dropped")] == 3
    assert values["limited_deliveries_total", ("outcome", "delayed")] == 0
    assert values["deliveries_total", route] == 8
    assert values["delivery_seconds_count",] == 1
    assert values["delivery_seconds_bucket", ("le", "0.001")] == 0
    assert values["delivery_seconds_bucket", ("le", "0.0025")] == 1
    assert values["backend_response_seconds_bucket", ("le", "0.025"), route] == 1
    assert values["backend_response_seconds_bucket", ("le", "60.0"), route] == 1
    assert values["backend_response_seconds_bucket", ("le", "+Inf"), route] == 2
    assert values["backend_response_seconds_sum", route] == 100.02
    assert values["backend_failures_total", ("kind", "timeout"), route] == 2


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_only_the_names_that_pushpin_gives_are_unusual(text):
    command = ["promtool", "check", "metrics"]
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert set(result.stderr.splitlines()) - {""} == {
        f'pp_{name} counter metrics should have "_total" suffix'
        for name in ("request_received", "connection_minute", "message_received", "message_sent")
    }
