"""Open files: when they are scarce, and when they no longer are."""

import errno
import os
import resource

import pytest
import trio
from structlog.testing import capture_logs

from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net import descriptors
from realtime_proxy.net.descriptors import Descriptors

SECONDS = 10


@pytest.fixture
def limit(monkeypatch):
    """Sets the limit of open files, for whoever asks for it."""

    def set_to(limit):
        monkeypatch.setattr(resource, "getrlimit", lambda _kind: (limit, limit))

    return set_to


@pytest.fixture(autouse=True)
def _fresh_logger(monkeypatch):
    monkeypatch.setattr(descriptors, "log", descriptors.structlog.get_logger())


@pytest.mark.parametrize(
    ("of", "number", "scarce"),
    [
        (1_024, 895, False),
        (1_024, 896, True),
        (51_000, 50_743, False),
        (51_000, 50_744, True),
        (resource.RLIM_INFINITY, 1_000_000, False),
    ],
)
async def test_a_high_number_tells_that_nearly_all_are_in_use(limit, of, number, scarce):
    limit(of)
    counters = Counters()
    with capture_logs() as logs:
        Descriptors(counters).opened(number)
    assert bool(logs) == bool(counters.limit_open_files) == scarce


async def test_waiting_ends_when_there_are_some_again(limit, autojump_clock, monkeypatch):
    limit(1_024)
    failures = [errno.EMFILE, errno.EMFILE]
    opened = os.open

    def open_some(path, flags):
        if failures:
            raise OSError(failures.pop(), "failed")
        return opened(path, flags)

    counters = Counters()
    made = Descriptors(counters)
    with capture_logs() as logs, trio.fail_after(SECONDS):
        await made.wait()
        made.ran_out("too many")
        made.ran_out("too many")
        monkeypatch.setattr(os, "open", open_some)
        begun_at = trio.current_time()
        await made.wait()
        assert trio.current_time() - begun_at == pytest.approx(3 * descriptors.RETRY_SECONDS)
        await made.wait()
    assert counters.limit_open_files == 1
    assert len(logs) == 1
