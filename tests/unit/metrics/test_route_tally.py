from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.tally import Tally, TallyRules


def test_counts_are_taken_and_begin_anew():
    changes = []
    tally = Tally(TallyRules(), Counters(), lambda: changes.append(1))
    route = tally.routes["r"]
    assert tally.routes["r"] is route
    route.failed("timeout")
    route.failed("timeout")
    route.closed("idle")
    assert len(changes) == 1
    traffic = tally.take().traffic["r"]
    assert (traffic.backend_failures, traffic.closed) == ({"timeout": 2}, {"idle": 1})
    route.closed("idle")
    assert len(changes) == 2
    traffic = tally.take().traffic["r"]
    assert (traffic.backend_failures, traffic.closed) == ({}, {"idle": 1})
    assert tally.take().traffic == {}


def test_a_route_without_counts_has_none_to_take():
    assert Tally(TallyRules(), Counters(), lambda: None).routes["r"].take().requests == 0
