"""What a handler puts in place of a body is framed as what it is."""

import pytest

from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.net.timers import Timers
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.serving.peeked_content import PeekedContent
from realtime_proxy.serving.request_body import RequestBody
from realtime_proxy.serving.retained_bodies import RetainedBodies
from realtime_proxy.wire.http1_server import HeadLimits, RequestParser

LIMITS = HeadLimits(max_header_bytes=10_000, max_target_bytes=1_000)


def content_of(fields, data):
    parser = RequestParser(LIMITS)
    parser.feed(b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + data)
    request = parser.next_request()
    retained = RetainedBodies(Counters())
    body = RequestBody(request, parser, None, Timers(), retained, (0, 1.0), lambda: None)
    framed = request.head.headers.without({b"transfer-encoding"})  # which is of the hop
    exchange = Exchange(RequestHead(b"POST", b"/", framed), "r", "http", "127.0.0.1")
    return PeekedContent(body, exchange, chunked=request.framing.chunked), exchange, body


@pytest.mark.parametrize(
    ("fields", "data", "lengths"),
    [
        (b"Content-Length: 3\r\n", b"abc", [b"4"]),
        (b"content-length: 0\r\n", b"", [b"4"]),
        (b"", b"", [b"4"]),
        (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n", []),
    ],
)
async def test_no_byte_of_another_body_is_behind_its_end(fields, data, lengths):
    """What a head does not count would be the backend's next request."""
    content, exchange, body = content_of(fields, data)
    assert await content.read(10) == (b"abc" if data else b"")
    content.replace(b"GET ")
    assert exchange.request.headers.get_all(b"content-length") == lengths
    assert body.take() == b"GET "
