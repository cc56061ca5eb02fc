import math

import pytest

from realtime_proxy.metrics.packet import Packet
from realtime_proxy.metrics.subscriptions import Subscriptions
from realtime_proxy.metrics.tallied import Listened


def told(count, mode="stream"):
    return [Packet("sub", {"mode": mode, "channel": "a", "ttl": 60, "subscribers": count})]


def gone(mode="stream"):
    return [Packet("sub", {"mode": mode, "channel": "a", "unavailable": True})]


def listened(count, mode="stream"):
    return Listened(mode, "a", count)


@pytest.fixture
def subscriptions():
    return Subscriptions(60, linger_seconds=10.0)


def test_the_first_is_told_at_once_and_further_ones_together(subscriptions):
    assert subscriptions.changed(0, listened(1), 0.0) == told(1)
    assert subscriptions.changed(0, listened(2), 0.1) == []
    assert subscriptions.changed(0, listened(3), 0.5) == []
    assert subscriptions.tick(1.0) == []
    assert subscriptions.tick(1.1) == told(3)
    assert subscriptions.tick(5.0) == []


def test_it_tells_when_the_time_comes_for_something(subscriptions):
    assert subscriptions.due_at == math.inf
    subscriptions.changed(0, listened(1), 0.0)
    assert subscriptions.due_at == 45.0
    subscriptions.changed(0, listened(2), 1.0)
    assert subscriptions.due_at == 2.0
    subscriptions.changed(0, listened(1, "response"), 1.0)
    subscriptions.changed(0, listened(0), 1.0)
    assert subscriptions.due_at == 46.0
    subscriptions.changed(0, listened(0, "response"), 2.0)
    assert subscriptions.due_at == 12.0


def test_it_is_told_again_before_its_time_is_over(subscriptions):
    subscriptions.changed(0, listened(1), 0.0)
    assert subscriptions.tick(44.9) == []
    assert subscriptions.tick(45.0) == told(1)
    assert subscriptions.tick(89.0) == []
    assert subscriptions.tick(90.0) == told(1)


@pytest.mark.parametrize("mode", ["stream", "ws"])
def test_the_last_is_told_at_once(subscriptions, mode):
    subscriptions.changed(0, listened(1, mode), 0.0)
    subscriptions.changed(0, listened(2, mode), 0.1)
    assert subscriptions.changed(0, listened(0, mode), 0.2) == gone(mode)
    assert subscriptions.tick(500.0) == []


def test_long_polls_linger_without_being_told_again(subscriptions):
    subscriptions.changed(0, listened(1, "response"), 0.0)
    assert subscriptions.changed(0, listened(0, "response"), 40.0) == []
    assert subscriptions.tick(49.9) == []
    assert subscriptions.tick(50.0) == gone("response")


def test_a_long_poll_that_comes_back_in_time(subscriptions):
    subscriptions.changed(0, listened(1, "response"), 0.0)
    subscriptions.changed(0, listened(0, "response"), 1.0)
    assert subscriptions.changed(0, listened(1, "response"), 5.0) == told(1, "response")
    assert subscriptions.tick(30.0) == []
    assert subscriptions.tick(50.0) == told(1, "response")


def test_without_lingering_long_polls_are_as_others():
    subscriptions = Subscriptions(60, linger_seconds=0)
    subscriptions.changed(0, listened(1, "response"), 0.0)
    assert subscriptions.changed(0, listened(0, "response"), 1.0) == gone("response")


def test_workers_are_added_up_and_one_that_is_gone_is_not_missed(subscriptions):
    assert subscriptions.changed(0, listened(1), 0.0) == told(1)
    assert subscriptions.changed(1, listened(2), 0.0) == []
    assert subscriptions.tick(1.0) == told(3)
    assert subscriptions.forget(0, 2.0) == []
    assert subscriptions.tick(3.0) == told(2)
    assert subscriptions.forget(1, 4.0) == gone()


def test_who_was_never_told_of_is_not_told_to_be_gone(subscriptions):
    assert subscriptions.changed(0, listened(0), 0.0) == []
    assert subscriptions.forget(0, 0.0) == []
