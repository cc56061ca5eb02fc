"""What holds for all tests: none fails because its machine has other things to do."""

import shutil

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")

_REAL = pytest.param(
    "real",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(
            not shutil.which("redis-server"),
            reason="there is no redis-server (Debian: redis-server)",
        ),
    ],
)


@pytest.fixture(scope="session", params=["stand-in", _REAL])
def redis_kind(request):
    """Which Redis a test is to start (`testing.real_redis.start_redis`)."""
    return request.param
