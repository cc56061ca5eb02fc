"""A limited number of starts in a period, fair over keys."""

import pytest

from realtime_proxy.sessions.turns import Turns


def test_so_many_start_at_once_and_no_more_in_the_period():
    turns = Turns[str](2, 1.0)
    assert [turns.take(5.0), turns.take(5.5), turns.take(5.9)] == [True, True, False]
    assert [turns.take(6.0), turns.take(6.0), turns.take(6.0)] == [True, True, False]


def test_who_waits_goes_first():
    turns = Turns[str](1, 1.0)
    assert turns.take(0.0)
    turns.wait("a", "first")
    assert not turns.take(1.0)
    assert turns.due(1.0) == ["first"]
    assert not turns.take(1.0)
    assert turns.take(2.0)


def test_keys_take_turns():
    turns = Turns[str](3, 1.0)
    for waiter in ("a1", "a2", "a3", "a4", "b1", "b2", "c1"):
        turns.wait(waiter[0], waiter)
    assert turns.due(0.0) == ["a1", "b1", "c1"]
    assert turns.due(0.5) == []
    assert turns.due(1.0) == ["a2", "b2", "a3"]
    assert turns.due(2.0) == ["a4"]


def test_who_has_left_is_passed_over():
    turns = Turns[str](1, 1.0)
    turns.wait("a", "gone")
    turns.wait("b", "here")
    turns.leave("a", "gone")
    turns.leave("a", "gone")
    turns.leave("b", "never there")
    assert turns.due(0.0) == ["here"]
    turns.leave("b", "here")


@pytest.mark.parametrize(("now", "left"), [(10.25, 0.75), (11.0, 0.0), (12.0, 0.0)])
def test_how_long_it_takes(now, left):
    turns = Turns[str](1, 1.0)
    assert turns.seconds_left(10.0) is None
    assert turns.take(10.0)
    turns.wait("a", "waits")
    assert turns.seconds_left(now) == left
