"""Where credentials are found in requests, and how they are taken out."""

import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.pipeline.request_credentials import (
    arguments,
    bearer_of_subprotocols,
    cookies,
    headers_without_bearer,
    headers_without_cookies,
    is_preflight,
    subprotocols,
    target_without,
)


def test_arguments():
    found = [(name, value) for name, value, _ in arguments(b"/a?b=1&c=%20+&d&%62=2")]
    assert found == [(b"b", b"1"), (b"c", b"  "), (b"d", b""), (b"b", b"2")]
    assert list(arguments(b"/a")) == []
    assert target_without(b"/a?b=1&c=%20+&d&%62=2", {b"b"}) == b"/a?c=%20+&d"
    assert target_without(b"/a?b=1", {b"b"}) == b"/a"
    assert target_without(b"/a?", {b"b"}) == b"/a?"


def test_cookies():
    headers = Headers([(b"Cookie", b'a=1; b="2"'), (b"cookie", b" c=3")])
    assert [pair[:2] for pair in cookies(headers)] == [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]
    assert headers_without_cookies(headers, {b"b"}) == [(b"Cookie", b"a=1; c=3")]
    assert headers_without_cookies(headers, {b"x"}) is headers
    assert headers_without_cookies(headers, {b"a", b"b", b"c"}) == []


@pytest.mark.parametrize(
    ("lines", "token", "left"),
    [
        ([b"bearer, abc"], b"abc", []),
        ([b"Bearer", b"abc", b"chat"], b"abc", [b"chat"]),
        ([b"chat, bearer, abc, v2"], b"abc", [b"chat", b"v2"]),
        ([b"chat"], None, [b"chat"]),
        ([b"chat, bearer"], None, [b"chat"]),
        ([], None, []),
    ],
)
def test_subprotocols(lines, token, left):
    headers = Headers([(b"A", b"b"), *((b"Sec-WebSocket-Protocol", line) for line in lines)])
    assert bearer_of_subprotocols(headers, b"bearer") == token
    kept = headers_without_bearer(headers, b"bearer")
    assert subprotocols(kept) == left
    assert kept.get(b"a") == b"b"
    assert kept.has(b"sec-websocket-protocol") == bool(left)


def test_preflights():
    asks = Headers([(b"Access-Control-Request-Method", b"PUT")])
    assert is_preflight(RequestHead(b"OPTIONS", b"/", asks))
    assert not is_preflight(RequestHead(b"OPTIONS", b"/", Headers()))
    assert not is_preflight(RequestHead(b"GET", b"/", asks))
