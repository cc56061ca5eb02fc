import pytest

from realtime_proxy.config.schema import Stats
from realtime_proxy.metrics.packet import Packet
from realtime_proxy.metrics.statistics import Statistics
from realtime_proxy.metrics.tallied import Delivered, Held, Listened, Tallied, Visit, Visited
from realtime_proxy.metrics.traffic import Traffic


@pytest.fixture
def statistics():
    return Statistics(Stats(report_interval_seconds=1), 60.0, merges=True)


def test_activity_and_counts_are_told_only_when_there_are_some(statistics):
    traffic = {"r": Traffic(activity=3, requests=2), "": Traffic(activity=1, requests=1)}
    assert statistics.add(0, Tallied(traffic=traffic), 0.0) == [
        Packet("activity", {"route": "r", "count": 3}),
        Packet("activity", {"count": 1}),
        Packet("counts", {"requests-received": 3}),
    ]
    assert statistics.add(0, Tallied(traffic={"r": Traffic(sent=1)}), 0.0) == []


def test_connections_have_the_members_that_have_a_value(statistics):
    visits = [Visit("1", "", "http", "", tls=False), Visit("2", "r", "ws", "::1", tls=True)]
    visited = [Visited(visit, ended) for ended in (False, True) for visit in visits]
    assert statistics.add(0, Tallied(visited=visited), 0.0) == [
        Packet("conn", {"id": "1", "type": "http", "ttl": 120}),
        Packet(
            "conn",
            {
                "route": "r",
                "id": "2",
                "type": "ws",
                "peer-address": "::1",
                "ssl": True,
                "ttl": 120,
            },
        ),
        Packet("conn", {"id": "1", "unavailable": True}),
        Packet("conn", {"route": "r", "id": "2", "unavailable": True}),
    ]


def test_the_first_that_is_due_is_what_is_waited_for(statistics):
    statistics.tick(0.0)
    assert statistics.due_at == 1.0
    statistics.add(0, Tallied(listened=[Listened("ws", "a", 1)]), 0.5)
    assert statistics.due_at == 1.0
    statistics.add(0, Tallied(delivered=[Delivered("a", "1", "ws-message", 1, 0)]), 0.5)
    assert statistics.due_at == 0.8
    statistics.tick(1.0)
    statistics.add(0, Tallied(listened=[Listened("ws", "a", 2)]), 0.6)
    assert statistics.due_at == 1.6


def test_what_takes_time_is_told_by_and_by(statistics):
    statistics.tick(0.0)
    tallied = Tallied(
        traffic={"r": Traffic(sent=3)},
        listened=[Listened("ws", "a", 1)],
        delivered=[Delivered("a", "1", "ws-message", 3, 0)],
    )
    assert [packet.kind for packet in statistics.add(0, tallied, 0.0)] == ["sub"]
    assert [packet.kind for packet in statistics.tick(0.3)] == ["message"]
    assert [packet.kind for packet in statistics.tick(1.0)] == ["report"]
    assert [packet.kind for packet in statistics.forget(0, 1.0)] == ["sub"]


def test_received_items_count_where_no_route_is_named(statistics):
    statistics.add(0, Tallied(counters={"items_published": 4, "blocks_published": 6}), 0.0)
    assert statistics.totals[""].received == 4
    assert statistics.totals[""].blocks_received == 6


def test_what_is_now_is_added_up_over_workers_and_goes_with_them(statistics):
    for worker in range(2):
        tallied = Tallied(
            connections={"r": (2, 2)}, held=[Held("r", "stream", 1)], backlog_bytes=10
        )
        tallied.counters["items_lost"] = 1
        tallied.delivery_seconds.observe(0.1)
        statistics.add(worker, tallied, 0.0)
    assert statistics.connections() == {"r": 4}
    assert statistics.held() == {("r", "stream"): 2}
    assert statistics.backlog_bytes() == 20
    statistics.forget(0, 0.0)
    assert statistics.connections() == {"r": 2}
    assert statistics.held() == {("r", "stream"): 1}
    assert statistics.backlog_bytes() == 10
    assert statistics.counters["items_lost"] == 2
    assert sum(statistics.delivery_seconds.counts) == 2
