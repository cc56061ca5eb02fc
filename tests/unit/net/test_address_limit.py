"""Connections by the address that they come from."""

import pytest

from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net.address_limit import AddressLimit


def limit_of(most, trusted=(), peers=()):
    limit = AddressLimit(Counters())
    limit.adopt(most, trusted.__contains__, peers)
    return limit


def test_one_address_does_not_count_for_another():
    limit = limit_of(2)
    assert [limit.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert limit.enter("192.0.2.2")


def test_who_leaves_makes_room():
    limit = limit_of(1)
    assert limit.enter("192.0.2.1")
    limit.leave("192.0.2.1")
    assert limit.enter("192.0.2.1")
    assert not limit.enter("192.0.2.1")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ],
)
def test_of_version_6_it_is_the_network_that_counts(first, second, same):
    limit = limit_of(1)
    assert limit.enter(first)
    assert limit.enter(second) != same


@pytest.mark.parametrize("peer", ["", "127.0.0.1", "127.1.2.3", "::1", "10.0.0.1"])
def test_behind_this_machine_and_trusted_proxies_there_are_many(peer):
    limit = limit_of(1, trusted=["10.0.0.1"])
    assert all(limit.enter(peer) for _ in range(3))
    limit.leave(peer)


def test_without_a_limit_there_may_be_any_number():
    limit = limit_of(0)
    assert all(limit.enter("192.0.2.1") for _ in range(3))
    limit.leave("192.0.2.1")


def test_a_limit_that_comes_later_counts_those_who_are_there():
    limit = limit_of(0)
    limit.adopt(2, lambda _peer: False, ["192.0.2.1", "192.0.2.1", "127.0.0.1"])
    assert not limit.enter("192.0.2.1")
    limit.leave("192.0.2.1")
    assert limit.enter("192.0.2.1")


def test_nothing_is_kept_of_those_who_are_gone():
    limit = limit_of(5)
    for number in range(100):
        limit.enter(f"192.0.2.{number}")
    for number in range(100):
        limit.leave(f"192.0.2.{number}")
    limit.leave("192.0.2.1")
    assert not limit._counts


def test_those_for_whom_there_is_no_room_are_counted():
    counters = Counters()
    limit = AddressLimit(counters)
    limit.adopt(1, lambda _peer: False, ["192.0.2.1"])
    limit.enter("192.0.2.1")
    limit.enter("192.0.2.2")
    assert counters.limit_connections_per_address == 1


def test_who_was_let_in_elsewhere_counts_without_being_refused():
    limit = limit_of(1)
    for _ in range(2):
        limit.move_in("192.0.2.1")
    limit.leave("192.0.2.1")
    assert not limit.enter("192.0.2.1")
    limit.leave("192.0.2.1")
    assert limit.enter("192.0.2.1")
