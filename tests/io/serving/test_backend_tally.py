import pytest

from realtime_proxy.backend.response import LocalResponse
from realtime_proxy.errors import (
    BackendBlocked,
    BackendError,
    BackendMisbehaved,
    BackendTimeout,
    BackendUnreachable,
)
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.tally import Tally, TallyRules
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response
from realtime_proxy.serving.backend_tally import BackendTally

HEADERS = Headers([(b"Name", b"value")])


@pytest.fixture
def tally():
    return Tally(TallyRules(), Counters(), lambda: None)


def test_both_ways_are_counted(tally):
    times = iter([1.0, 1.5])
    counts = BackendTally(tally, "r", times.__next__)
    counts.asked(RequestHead(b"GET", b"/?a", HEADERS), 7)
    response = counts.answered(LocalResponse(Response(200, HEADERS, b"12345"), "somewhere"))
    assert (response.head.status, response.length, response.source) == (200, 5, "somewhere")
    assert not response.complete
    assert response.take() == b"12345"
    assert response.complete
    traffic = tally.take().traffic["r"]
    assert traffic.server_header_bytes_sent == 3 + 3 + 9
    assert traffic.server_content_bytes_sent == 7
    assert traffic.server_header_bytes_received == 3 + 2 + 9
    assert traffic.server_content_bytes_received == 5
    assert traffic.backend_seconds.sum_seconds == 0.5


async def test_what_comes_later_counts_later(tally):
    counts = BackendTally(tally, "r", lambda: 0.0)
    response = counts.answered(LocalResponse(Response(200, HEADERS, b"12345"), "somewhere"))
    tally.take()
    assert await response.read() == b"12345"
    assert tally.take().traffic["r"].server_content_bytes_received == 5
    assert response.trailers == Headers()
    response.close()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BackendUnreachable("x"), "unreachable"),
        (BackendBlocked(), "blocked"),
        (BackendTimeout("x"), "timeout"),
        (BackendMisbehaved("x"), "misbehaved"),
        (BackendError("x"), "other"),
    ],
)
def test_failures_are_counted_by_kind(tally, error, kind):
    BackendTally(tally, "r", lambda: 0.0).failed(error)
    assert tally.take().traffic["r"].backend_failures == {kind: 1}
