import pytest

from realtime_proxy.serving import poll_line
from realtime_proxy.serving.poll_line import PollLine


class Poll:
    def __init__(self, asked, *, is_over=False):
        self._asked = asked
        self._is_over = is_over

    def begin_asking(self, *, urgent):
        if not self._is_over:
            self._asked.append((self, urgent))
        return not self._is_over


@pytest.fixture(autouse=True)
def _room_for_two(monkeypatch):
    monkeypatch.setattr(poll_line, "MAX_ASKING", 2)


@pytest.fixture
def asked():
    return []


@pytest.fixture
def polls(asked):
    return [Poll(asked) for _ in range(5)]


def test_so_many_ask_at_once_and_the_others_when_these_are_done(asked, polls):
    line = PollLine()
    for poll in polls:
        line.enter(poll, urgent=False)
    assert [poll for poll, _ in asked] == polls[:2]
    line.leave(polls[1])
    line.leave(polls[1])
    assert [poll for poll, _ in asked] == polls[:3]


def test_urgent_ones_are_first(asked, polls):
    line = PollLine()
    for poll in polls[:4]:
        line.enter(poll, urgent=False)
    line.enter(polls[4], urgent=True)
    line.leave(polls[0])
    assert asked[2:] == [(polls[4], True)]
    line.leave(polls[1])
    assert asked[3:] == [(polls[2], False)]


def test_those_that_are_over_take_no_room(asked, polls):
    line = PollLine()
    for poll in (Poll(asked, is_over=True), polls[0], Poll(asked, is_over=True), *polls[1:]):
        line.enter(poll, urgent=True)
    assert [poll for poll, _ in asked] == polls[:2]
