import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.wire.event_stream import is_event_stream, retry_field


@pytest.mark.parametrize(
    ("content_type", "is_one"),
    [
        (b"text/event-stream", True),
        (b"Text/Event-Stream ; charset=utf-8", True),
        (b"text/event-streams", False),
        (b"text/plain; text/event-stream", False),
        (b"", False),
    ],
)
def test_a_body_of_events_is_announced_by_its_type(content_type, is_one):
    assert is_event_stream(Headers([(b"Content-Type", content_type)])) is is_one


def test_without_a_type_it_is_none():
    assert not is_event_stream(Headers())


def test_a_time_to_come_back_is_a_block_of_its_own():
    """Readers that look at whole blocks only see it, too."""
    assert retry_field(2_500) == b"retry: 2500\n\n"
