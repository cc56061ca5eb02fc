"""When a keep-alive is due."""

from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.sessions.keep_alive import first_delay, idle_delay

TIMEOUTS = st.integers(1, 10_000)


@given(TIMEOUTS)
def test_a_little_early_but_never_late(timeout):
    assert timeout - 1 < first_delay(timeout) <= timeout


def test_never_in_the_past():
    assert first_delay(0) == 0


def test_not_all_at_once():
    assert len({first_delay(20) for _ in range(50)}) > 40


@given(TIMEOUTS, st.floats(0, 20_000))
def test_idle_waits_for_the_rest_of_the_silence(timeout, silent):
    delay = idle_delay(timeout, silent)
    if silent >= timeout:
        assert delay == 0
    else:
        # Whether it is due now or later: never after the time, nor more than a second before.
        assert max(0, timeout - silent - 1) - 1e-6 <= delay <= timeout - silent
