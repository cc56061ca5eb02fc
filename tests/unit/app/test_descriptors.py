import resource

import pytest
from structlog.testing import capture_logs

from realtime_proxy.app import descriptors
from realtime_proxy.app.descriptors import raise_descriptor_limit

NO_LIMIT = resource.RLIM_INFINITY


@pytest.fixture
def limits(monkeypatch):
    """The limits of this process, as the test says."""
    limits = {}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits[kind])
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    # Not one that an earlier test has made, for other settings.
    monkeypatch.setattr(descriptors, "log", descriptors.structlog.get_logger())
    return limits


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1_024, NO_LIMIT), (6_000, NO_LIMIT)),
        ((1_024, 524_288), (6_000, 524_288)),
        ((1_024, 6_000), (6_000, 6_000)),
        ((6_000, 6_000), (6_000, 6_000)),
        ((100_000, 524_288), (100_000, 524_288)),
        ((NO_LIMIT, NO_LIMIT), (NO_LIMIT, NO_LIMIT)),
    ],
)
def test_the_limit_is_raised_as_far_as_needed(limits, before, after):
    limits[resource.RLIMIT_NOFILE] = before
    with capture_logs() as logs:
        raise_descriptor_limit(5_000)
    assert limits[resource.RLIMIT_NOFILE] == after
    assert logs == []


def test_what_is_missing_is_told(limits):
    limits[resource.RLIMIT_NOFILE] = (1_024, 4_096)
    with capture_logs() as logs:
        raise_descriptor_limit(5_000)
    assert limits[resource.RLIMIT_NOFILE] == (4_096, 4_096)
    (entry,) = logs
    assert entry["log_level"] == "warning"
    assert (entry["descriptors"], entry["needed"]) == (4_096, 6_000)
