import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.sessions.events_answer import MIN_POLL_SECONDS, poll_seconds, read_answer

EVENTS = (b"Content-Type", b"application/websocket-events")


@pytest.mark.parametrize(
    ("value", "count"),
    [(None, None), (b"0", 0), (b"12", 12), (b"-1", None), (b"few", None), (b"9" * 16, None)],
)
def test_how_much_is_accepted(value, count):
    fields = [EVENTS] if value is None else [EVENTS, (b"content-bytes-accepted", value)]
    assert read_answer(Headers(fields)) == (True, count, ())


def test_the_first_count_is_what_is_accepted():
    fields = [(b"Content-Bytes-Accepted", b"3"), (b"Content-Bytes-Accepted", b"4")]
    assert read_answer(Headers(fields))[1] == 3


@pytest.mark.parametrize(
    ("types", "has_events"),
    [
        ([], False),
        ([b"text/plain"], False),
        ([b"application/websocket-events-x"], False),
        ([b"Application/WebSocket-Events ; charset=utf-8"], True),
        ([b"text/plain", b"application/websocket-events"], True),
    ],
)
def test_an_answer_with_events_says_so(types, has_events):
    fields = Headers([(b"content-type", each) for each in types])
    assert read_answer(fields)[0] == has_events


def test_settings_are_given_in_their_order():
    settings = [(b"Set-Meta-A", b"1"), (b"KEEP-ALIVE-INTERVAL", b"30"), (b"set-meta-a", b"")]
    fields = Headers([settings[0], EVENTS, settings[1], (b"Meta-B", b"2"), settings[2]])
    assert read_answer(fields) == (True, None, tuple(settings))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"60", 60), (b"1", MIN_POLL_SECONDS), (b"0", None), (b"-5", None), (b"x", None), (b"", None)],
)
def test_how_often_to_poll(value, seconds):
    assert poll_seconds(value) == seconds
