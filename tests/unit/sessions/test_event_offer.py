import pytest

from realtime_proxy.errors import GripError
from realtime_proxy.grip.websocket_events import Event
from realtime_proxy.model.headers import Headers
from realtime_proxy.sessions.event_offer import accepted_bytes, event_bytes, not_accepted

TEXT, EMPTY, BINARY = Event(b"TEXT", b"abc"), Event(b"TEXT", b""), Event(b"BINARY", b"defg")
CLOSE = Event(b"CLOSE", b"\x03\xe8")


@pytest.mark.parametrize(
    ("value", "count"),
    [(None, None), (b"0", 0), (b"12", 12), (b"-1", None), (b"few", None), (b"9" * 16, None)],
)
def test_accepted_bytes(value, count):
    fields = [] if value is None else [(b"Content-Bytes-Accepted", value)]
    assert accepted_bytes(Headers(fields)) == count


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


def test_an_empty_event_counts_too():
    assert event_bytes(Event(b"DISCONNECT")) == event_bytes(EMPTY) > 0
    assert event_bytes(TEXT) == event_bytes(EMPTY) + 3
