"""application/websocket-events: what is written, what is read, what is refused."""

import pytest
from gripcontrol import decode_websocket_events

from realtime_proxy.errors import GripError
from realtime_proxy.grip.websocket_events import (
    Event,
    close_content,
    decode_events,
    encode_events,
    has_events,
    parse_close_content,
)
from realtime_proxy.model.headers import Headers


@pytest.mark.parametrize(
    ("event", "wire"),
    [
        (Event(b"OPEN"), b"OPEN\r\n"),
        (Event(b"DISCONNECT"), b"DISCONNECT\r\n"),
        (Event(b"TEXT", b"hello"), b"TEXT 5\r\nhello\r\n"),
        (Event(b"TEXT", b""), b"TEXT\r\n"),
        (Event(b"BINARY", b"\r\n" * 13), b"BINARY 1a\r\n" + b"\r\n" * 14),
        (Event(b"PING", b""), b"PING\r\n"),
        (Event(b"PONG", b"x"), b"PONG 1\r\nx\r\n"),
        (Event(b"CLOSE", b"\x03\xe8bye"), b"CLOSE 5\r\n\x03\xe8bye\r\n"),
        (Event(b"CLOSE"), b"CLOSE\r\n"),
    ],
)
def test_one_event_both_ways(event, wire):
    assert encode_events([event]) == wire
    assert decode_events(wire) == [event]


def test_several_events_keep_their_order():
    events = [Event(b"OPEN"), Event(b"TEXT", b"a"), Event(b"TEXT", b"b"), Event(b"CLOSE")]
    assert decode_events(encode_events(events)) == events


def test_a_backend_library_reads_what_is_written():
    body = encode_events([Event(b"OPEN"), Event(b"TEXT", b"hi"), Event(b"TEXT", b"")])
    got = [(event.type, event.content) for event in decode_websocket_events(body)]
    assert got == [("OPEN", None), ("TEXT", b"hi"), ("TEXT", None)]


def test_nothing_is_no_event():
    assert decode_events(b"") == []
    assert encode_events([]) == b""


@pytest.mark.parametrize(
    ("wire", "events"),
    [
        (b"TEXT 0\r\n\r\n", [Event(b"TEXT", b"")]),
        (b"TEXT 1A\r\n" + b"x" * 26 + b"\r\n", [Event(b"TEXT", b"x" * 26)]),
        (b"TEXT 0001\r\nx\r\n", [Event(b"TEXT", b"x")]),
        (b"SPARE 3\r\nabc\r\nSPARE\r\nOPEN\r\n", [Event(b"OPEN")]),
        (b"open\r\n", []),
    ],
)
def test_other_spellings_that_are_read(wire, events):
    assert decode_events(wire) == events


@pytest.mark.parametrize(
    "wire",
    [
        b"OPEN",
        b"OPEN\n",
        b"\r\n",
        b" 1\r\nx\r\n",
        b"TEXT \r\n",
        b"TEXT g\r\n",
        b"TEXT 0x1\r\nx\r\n",
        b"TEXT -1\r\nx\r\n",
        b"TEXT +1\r\nx\r\n",
        b"TEXT 1_0\r\n" + b"x" * 16 + b"\r\n",
        b"TEXT 1 \r\nx\r\n",
        b"TEXT  1\r\nx\r\n",
        b"TEXT 5\r\nhel",
        b"TEXT 5\r\nhello",
        b"TEXT 5\r\nhello\r",
        b"TEXT 5\r\nhello\n\n",
        b"TEXT 4\r\nhello\r\n",
        b"TEXT 6\r\nhello\r\n",
        b"SPARE 9\r\nabc\r\n",
        b"TEXT ffffffffffffffff\r\nx\r\n",
        b"TEXT " + b"0" * 5000 + b"\r\n",
    ],
)
def test_what_is_refused(wire):
    with pytest.raises(GripError):
        decode_events(wire)
    with pytest.raises(GripError):
        decode_events(b"OPEN\r\n" + wire)


def test_the_error_says_where():
    with pytest.raises(GripError, match="at byte 6"):
        decode_events(b"OPEN\r\nTEXT x\r\n")


@pytest.mark.parametrize(
    ("code", "reason", "content"),
    [(None, "", None), (1000, "", b"\x03\xe8"), (4123, "é", b"\x10\x1b\xc3\xa9")],
)
def test_close_content_both_ways(code, reason, content):
    assert close_content(code, reason) == content
    assert parse_close_content(content) == (code, reason)


def test_close_code_0_means_none():
    assert parse_close_content(b"\x00\x00") == (None, "")


def test_close_reason_in_another_encoding_is_repaired():
    assert parse_close_content(b"\x03\xe8\xff") == (1000, "\ufffd")


def test_close_of_one_byte_is_refused():
    with pytest.raises(GripError):
        parse_close_content(b"\x03")


@pytest.mark.parametrize(
    ("types", "answer"),
    [
        ([], False),
        ([b"text/plain"], False),
        ([b"application/websocket-events"], True),
        ([b"text/plain", b" Application/WebSocket-Events ; a=b"], True),
    ],
)
def test_whatever_says_that_it_has_events(types, answer):
    assert has_events(Headers((b"Content-Type", kind) for kind in types)) == answer
