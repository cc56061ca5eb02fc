import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.wire.event_request import (
    encode_event_head,
    head_content_bytes,
    host_of_head,
    with_host,
)
from realtime_proxy.wire.http1_client import encode_request_head
from realtime_proxy.wire.http1_rules import parse_request_block


def kept(*fields, target=b"/ws?a=b"):
    return encode_request_head(RequestHead(b"POST", target, Headers(fields)))


def test_what_varies_comes_behind_what_is_kept():
    head = encode_event_head(kept((b"Host", b"x"), (b"Cookie", b"c")), b"id", 6, b"Meta-A: b\r\n")
    assert head == (
        b"POST /ws?a=b HTTP/1.1\r\nHost: x\r\nCookie: c\r\n"
        b"Accept: application/websocket-events\r\nConnection-Id: id\r\n"
        b"Content-Type: application/websocket-events\r\nContent-Length: 6\r\n"
        b"Meta-A: b\r\n\r\n"
    )


@pytest.mark.parametrize("fields", [[], [(b"Host", b"x")], [(b"Host", b"x:1"), (b"A", b"b: c")]])
def test_a_head_has_its_host_replaced(fields):
    head = with_host(kept(*fields), b"other:80")
    rest = [field for field in fields if field[0] != b"Host"]
    assert head == kept((b"Host", b"other:80"), *rest)
    assert host_of_head(head) == b"other:80"
    assert host_of_head(kept(*fields)) == (fields[0][1] if fields else b"")


_NAMES = st.text("abcXYZ-_.", min_size=1).map(str.encode)
_VALUES = st.text("abc: ;=", max_size=9).map(str.encode)


@given(st.lists(st.tuples(_NAMES, _VALUES)), st.integers(0, 10**6))
def test_the_size_is_that_of_the_fields(fields, length):
    head = encode_event_head(kept(*fields), b"id", length, b"Grip-Sig: s\r\n")
    method, target, _, headers = parse_request_block(head)
    written = [(name, value.strip()) for name, value in fields]
    assert headers[: len(fields)] == written
    assert len(headers) == len(fields) + 5
    stripped = sum(len(value) - len(value.strip()) for _, value in fields)
    read = RequestHead(method, target, headers)
    assert head_content_bytes(head) == read.content_bytes() + stripped
