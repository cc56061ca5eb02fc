from random import Random

import pytest

from realtime_proxy.model.drain_plan import DrainPlan

COUNT, SECONDS = 2_000, 20.0


@pytest.fixture
def plan():
    return DrainPlan.of(COUNT, SECONDS, Random(1))


def test_every_client_has_a_moment_within_the_time(plan):
    assert len(plan.moments) == COUNT
    assert all(0 <= moment <= SECONDS for moment in plan.moments)


@pytest.mark.parametrize("parts", [2, 10, 40, 200])
def test_no_part_of_the_time_has_more_than_its_share(plan, parts):
    counts = [0] * parts
    for moment in plan.moments:
        counts[min(parts - 1, int(moment / SECONDS * parts))] += 1
    assert set(counts) == {COUNT // parts}


def test_who_gets_which_moment_is_random(plan):
    other = DrainPlan.of(COUNT, SECONDS, Random(2))
    assert list(plan.moments) != sorted(plan.moments)
    early = {index for index, moment in enumerate(plan.moments) if moment < SECONDS / 2}
    early_in_other = {index for index, moment in enumerate(other.moments) if moment < SECONDS / 2}
    # Of those early in one, half are early in the other: 500 of 1,000, give or take.
    assert 400 < len(early & early_in_other) < 600


def test_moments_are_no_grid(plan):
    gaps = [b - a for a, b in zip(sorted(plan.moments), sorted(plan.moments)[1:], strict=False)]
    assert max(gaps) > 1.5 * SECONDS / COUNT > 0.5 * SECONDS / COUNT > min(gaps)


def test_there_may_be_nobody_or_no_time():
    assert DrainPlan.of(0, SECONDS, Random(1)).moments == ()
    assert DrainPlan.of(3, 0.0, Random(1)).moments == (0.0, 0.0, 0.0)


def test_a_latecomer_ends_in_what_is_left_of_the_time(plan):
    random = Random(1)
    moments = [plan.late(15.0, random) for _ in range(1_000)]
    assert 15.0 <= min(moments) < 15.1
    assert 19.9 < max(moments) <= SECONDS


def test_one_who_comes_after_the_time_ends_at_once(plan):
    assert plan.late(SECONDS + 1, Random(1)) == SECONDS
