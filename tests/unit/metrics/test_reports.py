import math

from realtime_proxy.metrics.reports import Reports
from realtime_proxy.metrics.tallied import Tallied
from realtime_proxy.metrics.traffic import Traffic

ALL = {
    "connections",
    "minutes",
    "received",
    "sent",
    "http-response-sent",
    "duration",
    *(
        f"{side}-{what}-{way}"
        for side in ("client", "server")
        for what in ("header-bytes", "content-bytes", "messages")
        for way in ("received", "sent")
    ),
}


def started(seconds=10.0):
    reports = Reports(seconds)
    assert reports.tick(0.0) == []
    return reports


def test_all_members_are_there_and_those_of_blocks_only_with_a_value():
    reports = started()
    reports.add(0, Tallied(traffic={"": Traffic(sent=1)}))
    [packet] = reports.tick(10.0)
    assert packet.kind == "report"
    assert set(packet.members) == ALL
    assert packet.members["duration"] == 10_000
    reports.add(0, Tallied(traffic={"r": Traffic(blocks_sent=1)}))
    packets = {packet.members.get("route"): packet.members for packet in reports.tick(20.0)}
    assert set(packets["r"]) == ALL | {"blocks-sent", "route"}


def test_they_are_due_at_once_and_then_after_each_interval():
    reports = Reports(10.0)
    assert reports.due_at == -math.inf
    reports.tick(5.0)
    assert reports.due_at == 15.0
    assert Reports(0.0).due_at == math.inf


def test_counts_are_of_the_interval():
    reports = started()
    reports.add(0, Tallied(traffic={"r": Traffic(sent=3, response_sent=1)}))
    reports.add(1, Tallied(traffic={"r": Traffic(sent=4)}))
    [packet] = reports.tick(10.0)
    assert (packet.members["sent"], packet.members["http-response-sent"]) == (7, 1)
    assert reports.tick(19.9) == []
    [packet] = reports.tick(20.0)
    assert packet.members["sent"] == 0


def test_one_without_anything_is_the_last_until_something_happens():
    reports = started()
    reports.add(0, Tallied(traffic={"r": Traffic(sent=3)}))
    assert [len(reports.tick(10.0 * count)) for count in range(1, 5)] == [1, 1, 0, 0]
    reports.add(0, Tallied(traffic={"r": Traffic(sent=3)}))
    assert len(reports.tick(50.0)) == 1


def test_connections_are_the_most_at_once_over_all_workers():
    reports = started()
    reports.add(0, Tallied(traffic={"r": Traffic()}, connections={"r": (2, 5)}))
    reports.add(1, Tallied(connections={"r": (1, 1)}))
    assert reports.connections("r") == 3
    [packet] = reports.tick(10.0)
    assert packet.members["connections"] == 5
    reports.add(1, Tallied(connections={"r": (4, 4)}))
    [packet] = reports.tick(20.0)
    assert packet.members["connections"] == 6
    reports.forget(1)
    assert reports.connections("r") == 2
    assert reports.tick(30.0)[0].members["connections"] == 6  # they were there
    assert reports.tick(40.0)[0].members["connections"] == 2


def test_none_without_an_interval():
    reports = started(0.0)
    reports.add(0, Tallied(traffic={"r": Traffic(sent=3)}))
    assert reports.tick(1000.0) == []
