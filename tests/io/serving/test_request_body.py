"""A body that a handler looks into: what becomes of it, whatever is put in its place."""

import pytest

from realtime_proxy.errors import OverloadError, ProtocolError
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.net.timers import Timers
from realtime_proxy.serving.request_body import (
    MAX_REMEMBERED_BYTES,
    RequestBody,
    require_repeatable,
)
from realtime_proxy.serving.retained_bodies import RetainedBodies
from realtime_proxy.wire.http1_server import HeadLimits, RequestParser

LIMITS = HeadLimits(max_header_bytes=10_000, max_target_bytes=1_000)


@pytest.fixture
def retained():
    return RetainedBodies(Counters())


@pytest.fixture
def body_of(retained):
    """The body of a request whose first bytes are here."""

    def make(data, length=None):
        parser = RequestParser(LIMITS)
        length = len(data) if length is None else length
        parser.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length + data)
        request = parser.next_request()
        return RequestBody(
            request, parser, None, Timers(), retained, (0, 1.0), on_complete=lambda: None
        )

    return make


async def test_what_was_looked_at_is_still_to_be_taken(body_of, retained):
    body = body_of(b"abc")
    assert await body.peek(3) == await body.peek(3) == b"abc"
    assert await body.peek(2) is None
    assert body.take() == b"abc"
    assert body.take() == b""
    assert (body.remembered, retained.total_bytes) == (b"abc", 3)


async def test_another_takes_its_place_wherever_it_is_needed(body_of, retained):
    body = body_of(b"abc")
    await body.peek(10)
    body.replace(b"de")
    assert await body.peek(10) == b"de"
    assert body.take() == body.remembered == b"de"
    assert retained.total_bytes == 2


async def test_one_that_is_too_large_to_be_repeated_cannot_be_held(body_of):
    body = body_of(b"abc")
    await body.peek(10)
    body.replace(bytes(MAX_REMEMBERED_BYTES))
    require_repeatable(body)
    body.replace(bytes(MAX_REMEMBERED_BYTES + 1))
    with pytest.raises(ProtocolError, match="too large"):
        require_repeatable(body)


async def test_one_for_which_there_is_no_room_cannot_be_held(body_of, retained):
    body = body_of(b"abc")
    retained.max_bytes = 4
    await body.peek(10)
    body.replace(b"abcde")
    with pytest.raises(OverloadError):
        require_repeatable(body)
    assert retained.total_bytes == 0
    assert body.take() == b"abcde"


async def test_what_is_not_all_here_is_not_replaced(body_of):
    """The rest of it would reach the backend as a request of its own."""
    body = body_of(b"abcde", length=9)
    assert await body.peek(2) is None
    with pytest.raises(ValueError, match="not all here"):
        body.replace(b"x")
    assert body.take() == b"abcde"
