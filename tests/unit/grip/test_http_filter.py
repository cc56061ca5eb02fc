"""http-check and http-modify: what is asked, and what a reply means."""

import json

import pytest

from realtime_proxy.errors import FilterError
from realtime_proxy.grip.header_fields import has_control
from realtime_proxy.grip.http_filter import (
    CHECK,
    MAX_CONTENT_BYTES,
    MODIFY,
    FilterReply,
    filter_request,
    filtered_content,
)

META = {"url": "/filter", "name": "Bob"}


def test_a_request():
    request = filter_request(
        MODIFY, META, {"sender": "x"}, {"a": "5", "b": None, "c": ""}, b"content"
    )
    assert (request.url, request.body) == ("/filter", b"content")
    assert list(request.headers) == [
        (b"Sub-Meta", b'{"url":"/filter","name":"Bob"}'),
        (b"Pub-Meta", b'{"sender":"x"}'),
        (b"Grip-Last", b"a; last-id=5"),
        (b"Grip-Last", b"c; last-id="),
    ]


def test_a_check_does_not_show_the_content():
    request = filter_request(CHECK, META, {}, {}, b"content")
    assert request.body == b""
    assert list(request.headers)[1] == (b"Pub-Meta", b"{}")


def test_meta_fits_into_a_header():
    meta = {"url": "x", "a\r\nX: 1": 'ä\x7f\x00"\u2028\U0001f600'}
    value = filter_request(CHECK, meta, {}, {}, b"").headers.get(b"sub-meta")
    assert value.isascii()
    assert not has_control(value)
    assert json.loads(value) == meta


@pytest.mark.parametrize("meta", [{}, {"url": ""}])
def test_a_url_is_needed(meta):
    with pytest.raises(FilterError, match=r"^missing url value$"):
        filter_request(CHECK, meta, {}, {}, b"")


@pytest.mark.parametrize(
    ("name", "reply", "result"),
    [
        (CHECK, FilterReply(200), b"old"),
        (CHECK, FilterReply(204), b"old"),
        (CHECK, FilterReply(200, None, b"new"), b"old"),
        (CHECK, FilterReply(200, None, b"x" * (MAX_CONTENT_BYTES + 1)), b"old"),
        (CHECK, FilterReply(200, b"drop"), None),
        (CHECK, FilterReply(204, b"drop"), None),
        (CHECK, FilterReply(200, b"Drop"), b"old"),
        (CHECK, FilterReply(200, b"send"), b"old"),
        (MODIFY, FilterReply(200, None, b"new"), b"new"),
        (MODIFY, FilterReply(200, None, b""), b""),
        (MODIFY, FilterReply(204), b"old"),
        (MODIFY, FilterReply(200, b"drop", b"new"), None),
        (MODIFY, FilterReply(200, None, b"x" * MAX_CONTENT_BYTES), b"x" * MAX_CONTENT_BYTES),
    ],
)
def test_replies(name, reply, result):
    assert filtered_content(name, reply, b"old") == result


@pytest.mark.parametrize("status", [201, 206, 301, 404, 500])
def test_any_other_status_is_an_error_even_to_drop(status):
    with pytest.raises(FilterError) as raised:
        filtered_content(CHECK, FilterReply(status, b"drop"), b"old")
    assert str(raised.value) == f"unexpected network request status: code={status}"


def test_too_much_content():
    with pytest.raises(FilterError, match=r"^network response exceeded 100000 bytes$"):
        filtered_content(MODIFY, FilterReply(200, None, b"x" * 100_001), b"old")
