"""How many bytes of bodies are kept."""

from realtime_proxy.metrics.counters import Counters
from realtime_proxy.serving.retained_bodies import RetainedBodies, no_room_for_bodies


def test_only_so_many_are_kept():
    counters = Counters()
    retained = RetainedBodies(counters)
    retained.max_bytes = 100
    assert retained.take(60)
    assert not retained.take(41)
    assert counters.limit_retained_body_bytes == 1
    assert retained.take(40)
    assert retained.take(0)  # most requests have no body
    retained.give_back(60)
    assert retained.take(60)
    assert retained.total_bytes == 100


def test_without_a_limit_any_number_is_kept():
    retained = RetainedBodies(Counters())
    assert retained.take(10**12)


def test_who_is_refused_is_told_to_come_again():
    error = no_room_for_bodies()
    assert (error.status, error.limit) == (503, "server.max_retained_body_bytes")
