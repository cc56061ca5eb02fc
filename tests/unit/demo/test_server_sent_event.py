import pytest

from realtime_proxy.demo.server_sent_event import server_sent_event


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (b"hello", b"data: hello\n\n"),
        (b"", b"data: \n\n"),
        (b"a\nb\r\nc\rd", b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (b"a\n", b"data: a\ndata: \n\n"),
        (b"a\n\nb", b"data: a\ndata: \ndata: b\n\n"),
        ("a\u2028b\x85".encode(), "data: a\u2028b\x85\n\n".encode()),
        (b" id: 5", b"data:  id: 5\n\n"),
    ],
)
def test_event(message, event):
    assert server_sent_event(message) == event
