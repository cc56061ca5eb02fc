import pytest

from realtime_proxy.cli.connection_table import age, amount, in_order, plain_lines, printable
from realtime_proxy.testing.admin_server import ONE


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.0, "0s"), (59.9, "59s"), (60.0, "1m00s"), (3_599.0, "59m59s"), (3_600.0, "1h00m")),
        *((86_399.0, "23h59m"), (86_400.0, "1d00h"), (1e7, "115d17h")),
    ],
)
def test_ages(seconds, text):
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((None, "-"), (0, "0"), (999, "999"), (1_000, "1.0k"), (9_949, "9.9k"), (9_950, "10k")),
        *((123_456, "123k"), (1_500_000, "1.5M"), (2_000_000_000, "2.0G")),
    ],
)
def test_amounts(count, text):
    assert amount(count) == text


def test_nothing_of_a_name_reaches_the_terminal_as_a_command():
    assert printable("n\u00fcws") == "n\u00fcws"
    assert printable("a\x1b[2Jb\n\u202e") == "a\\x1b[2Jb\\n\\u202e"


def test_lines_have_columns():
    other = ONE | {"channels": [], "consumer": "alice", "bytes_sent": None, "age_seconds": 5.0}
    titles, first, second = plain_lines([ONE, other])
    assert titles.split() == [
        *("KIND", "ROUTE", "CLIENT", "CONSUMER", "CHANNELS", "AGE", "SENT", "MESSAGES"),
        *("BACKLOG", "WORKER", "ID", "URI"),
    ]
    assert first.split() == [
        *("sse", "events", "192.0.2.1", "-", "news", "1m05s", "1.2k", "3", "0", "0"),
        *("worker_1:7", "http://a/events?token=***"),
    ]
    assert second.split()[3:8] == ["alice", "-", "5s", "-", "3"]
    assert titles.index("AGE") + 3 == first.index("1m05s") + 5
    assert titles.index("URI") == first.index("http://")


def test_nobody_is_a_line_of_titles():
    assert len(plain_lines([])) == 1


@pytest.mark.parametrize(
    ("sort", "first"),
    [("age", "old"), ("bytes", "much"), ("messages", "many"), ("backlog", "slow")],
)
def test_the_most_comes_first(sort, first):
    connections = [
        ONE | {"id": "none", "bytes_sent": None, "age_seconds": 0.0, "messages_sent": 0},
        ONE | {"id": "old", "age_seconds": 100.0},
        ONE | {"id": "much", "bytes_sent": 10_000},
        ONE | {"id": "many", "messages_sent": 5},
        ONE | {"id": "slow", "backlog_bytes": 1},
    ]
    assert in_order(connections, sort)[0]["id"] == first
