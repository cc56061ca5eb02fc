import pytest

from realtime_proxy.errors import GripError
from realtime_proxy.grip.websocket_events import Event, encode_events
from realtime_proxy.sessions.event_offer import left_of, not_accepted

TEXT, EMPTY, BINARY = Event(b"TEXT", b"abc"), Event(b"TEXT", b""), Event(b"BINARY", b"defg")
CLOSE = Event(b"CLOSE", b"\x03\xe8")


@pytest.mark.parametrize(
    ("events", "count", "kept"),
    [
        ([TEXT, BINARY], 7, []),
        ([TEXT, BINARY], 3, [BINARY]),
        ([TEXT, BINARY], 4, [Event(b"BINARY", b"efg")]),
        ([TEXT, BINARY], 0, [TEXT, BINARY]),
        ([EMPTY, TEXT, EMPTY], 0, [TEXT, EMPTY]),
        ([TEXT, CLOSE], 2, [Event(b"TEXT", b"c"), CLOSE]),
        ([TEXT, CLOSE], 5, []),
        ([TEXT, Event(b"DISCONNECT")], 3, []),
    ],
)
def test_what_is_left(events, count, kept):
    assert not_accepted(events, count) == kept


@pytest.mark.parametrize(("events", "count"), [([TEXT], 4), ([], 1), ([TEXT, CLOSE], 3)])
def test_what_can_not_have_been_accepted(events, count):
    with pytest.raises(GripError):
        not_accepted(events, count)


def test_what_is_left_is_written_as_it_was_offered():
    assert left_of(encode_events([TEXT, EMPTY, BINARY]), 4) == ([b"BINARY 3\r\nefg\r\n"], 3)
    assert left_of(encode_events([EMPTY, TEXT, EMPTY, CLOSE]), 0) == (
        [b"TEXT 3\r\nabc\r\n", b"TEXT\r\n", b"CLOSE 2\r\n\x03\xe8\r\n"],
        5,
    )
    assert left_of(b"", 0) == ([], 0)
