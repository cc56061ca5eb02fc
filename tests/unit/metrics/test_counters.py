import attrs

from realtime_proxy.metrics.counters import Counters


def test_all_totals_begin_at_zero():
    totals = attrs.asdict(Counters())
    assert totals
    assert set(totals.values()) == {0}
