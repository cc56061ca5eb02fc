"""When a quiet WebSocket client is pinged, and when it is given up."""

import pytest

from realtime_proxy.sessions.silence import Finding, Silence, SilenceRules

RULES = SilenceRules(ping_seconds=25, pong_seconds=20)
NEVER = SilenceRules(ping_seconds=0, pong_seconds=20)
IDLE_SECONDS = 1_800


@pytest.mark.parametrize("unheard", [0, 10, 23.9])
def test_nothing_is_done_before_the_time(unheard):
    finding, wait = RULES.judge(Silence(unheard, 0), IDLE_SECONDS)
    assert finding is Finding.NOTHING
    assert 0 < 25 - unheard - 0.999 <= wait <= 25 - unheard


def test_looks_are_spread():
    waits = {RULES.judge(Silence(0, 0), IDLE_SECONDS)[1] for _ in range(20)}
    assert len(waits) > 1


@pytest.mark.parametrize("unheard", [24.01, 25, 100])
def test_who_was_not_heard_is_pinged(unheard):
    """Whatever it was sent meanwhile: nobody knows whether that arrives."""
    assert RULES.judge(Silence(unheard, 0), IDLE_SECONDS) == (Finding.PING, 20)


@pytest.mark.parametrize("pong_seconds", [20, 60])
def test_who_does_not_answer_is_lost(pong_seconds):
    rules = SilenceRules(25, pong_seconds)
    assert rules.judge(Silence(30, 30, unanswered_seconds=5), IDLE_SECONDS) == (
        Finding.NOTHING,
        pong_seconds - 5,
    )
    over = Silence(25 + pong_seconds, 25, unanswered_seconds=pong_seconds)
    assert rules.judge(over, IDLE_SECONDS) == (Finding.LOST, 0)


def test_who_has_long_to_answer_is_pinged_in_time_all_the_same():
    rules = SilenceRules(ping_seconds=10, pong_seconds=60)
    assert rules.judge(Silence(10, 0), IDLE_SECONDS) == (Finding.PING, 10)
    assert rules.judge(Silence(9.5, 0), IDLE_SECONDS) == (Finding.PING, 10)


@pytest.mark.parametrize("unanswered", [None, 5, 100])
def test_a_stalled_client_is_not_judged(unanswered):
    silence = Silence(100, 0, unanswered_seconds=unanswered, is_stalled=True)
    assert RULES.judge(silence, IDLE_SECONDS) == (Finding.STALLED, 20)


def test_without_pings_only_idleness_counts():
    assert NEVER.judge(Silence(1_000, 100), IDLE_SECONDS) == (Finding.NOTHING, 1_700)
    assert NEVER.judge(Silence(1_000, 100), 0) == (Finding.NOTHING, 0)


@pytest.mark.parametrize("rules", [RULES, NEVER])
@pytest.mark.parametrize("stalled", [False, True])
def test_nothing_either_way_for_too_long_is_the_end(rules, stalled):
    silence = Silence(1_800, 1_800, is_stalled=stalled)
    assert rules.judge(silence, IDLE_SECONDS) == (Finding.IDLE, 0)


def test_the_next_look_is_at_what_comes_first():
    assert RULES.judge(Silence(0, 0), 10) == (Finding.NOTHING, 10)
    assert RULES.judge(Silence(100, 5, is_stalled=True), 10) == (Finding.STALLED, 5)
    assert RULES.judge(Silence(30, 5), 10) == (Finding.PING, 5)
    assert RULES.judge(Silence(30, 5), 0) == (Finding.PING, 20)
    assert RULES.judge(Silence(50, 5, unanswered_seconds=20), 10) == (Finding.LOST, 0)
