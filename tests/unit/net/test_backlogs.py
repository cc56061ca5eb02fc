"""What may wait for slow clients: how much, how long, and over all."""

import pytest

from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net.backlogs import Backlogs


class Client:
    """One for whom something waits, and who takes what a test says."""

    def __init__(self, backlogs):
        self._backlogs = backlogs
        self.backlog_bytes = 0
        self._moved = False
        self.limit = None

    def owes(self, size):
        is_first = not self.backlog_bytes
        if is_first:
            self._backlogs.begin(self)
        self.backlog_bytes += size
        self._backlogs.grown(self, size, is_first=is_first)

    def takes(self, size):
        self.backlog_bytes -= size
        self._backlogs.total_bytes -= size
        self._moved = True

    def has_moved(self):
        moved, self._moved = self._moved, False
        return moved

    def cut(self, limit):
        self.limit = limit
        left, self.backlog_bytes = self.backlog_bytes, 0
        self._backlogs.end(self, left)


@pytest.fixture
def counters():
    return Counters()


@pytest.fixture
def backlogs(counters):
    made = Backlogs(counters)
    made.max_bytes, made.max_total_bytes, made.max_seconds = 100, 250, 10
    return made


def test_who_owes_too_much_is_cut(backlogs, counters):
    client = Client(backlogs)
    client.owes(90)
    client.owes(10)
    assert client.limit is None
    client.owes(1)
    assert client.limit == "max_backlog_bytes"
    assert (counters.limit_backlog_bytes, counters.backlog_bytes_dropped) == (1, 101)
    assert (len(backlogs), backlogs.total_bytes) == (0, 0)


def test_the_first_that_waits_may_have_any_size(backlogs):
    client = Client(backlogs)
    client.owes(200)
    assert client.limit is None
    client.owes(1)
    assert client.limit == "max_backlog_bytes"


def test_who_takes_nothing_for_too_long_is_cut(backlogs, counters):
    still, moving = Client(backlogs), Client(backlogs)
    still.owes(50)
    moving.owes(50)
    for now in range(12):
        backlogs.look(now)
        if now % 4 == 3:
            moving.takes(1)
    assert (still.limit, moving.limit) == ("max_backlog_seconds", None)
    assert (counters.limit_backlog_seconds, counters.backlog_bytes_dropped) == (1, 50)


def test_time_counts_from_when_something_waits(backlogs):
    client = Client(backlogs)
    backlogs.look(0)
    client.owes(50)
    backlogs.look(100)
    backlogs.look(109)
    assert client.limit is None
    backlogs.look(110)
    assert client.limit == "max_backlog_seconds"


def test_beyond_the_bound_over_all_those_who_owe_most_are_cut(backlogs, counters):
    clients = [Client(backlogs) for _ in range(5)]
    for client, size in zip(clients, (40, 90, 30, 80, 11), strict=True):
        client.owes(size)
    assert [client.limit for client in clients] == [None, "max_total_backlog_bytes", *[None] * 3]
    assert (counters.limit_total_backlog_bytes, counters.backlog_bytes_dropped) == (1, 90)
    assert backlogs.total_bytes == 161


def test_then_some_room_is_made_at_once(backlogs):
    """Else each further byte would look for somebody again."""
    clients = [Client(backlogs) for _ in range(26)]
    for client in clients:
        client.owes(10)
    assert sum(client.limit is not None for client in clients) == 4
    assert backlogs.total_bytes == 220


def test_without_a_bound_over_all_any_number_may_wait(backlogs):
    backlogs.max_total_bytes = 0
    clients = [Client(backlogs) for _ in range(26)]
    for client in clients:
        client.owes(10)
    assert all(client.limit is None for client in clients)
