import pytest

from realtime_proxy.metrics.histogram import BOUNDS_SECONDS, Histogram


def test_a_duration_counts_up_to_its_bound():
    histogram = Histogram()
    for seconds in (0.0, 0.001, 0.0011, 60.0, 61.0):
        histogram.observe(seconds)
    assert histogram.counts[0] == 2
    assert histogram.counts[1] == 1
    assert histogram.counts[len(BOUNDS_SECONDS) - 1] == 1
    assert histogram.counts[-1] == 1
    assert histogram.sum_seconds == 121.0021


def test_two_are_added_up():
    one, other = Histogram(), Histogram()
    one.observe(0.02)
    other.observe(0.02)
    other.observe(100.5)
    one.add(other)
    assert sum(one.counts) == 3
    assert one.counts[-1] == 1
    assert one.sum_seconds == pytest.approx(100.54)
