import pytest
import structlog

from realtime_proxy.channels.fanout import MAX_JOINED_BYTES, fan_out
from realtime_proxy.channels.group import SLICE
from realtime_proxy.channels.registry import Registry
from realtime_proxy.model.item import Action, HttpResponse, HttpStream, Item, WebSocketMessage
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm


def subscribed(registry, *channels, form=WireForm.RAW, **options):
    subscriber = RecordingSubscriber(form, **options)
    for channel in channels:
        registry.subscribe(channel, subscriber, shared=len(channels) > 1)
    return subscriber


def stream(channel, content, action=Action.SEND):
    return Item(channel, http_stream=HttpStream(action, content))


def test_each_subscriber_gets_an_item_in_its_own_form():
    registry = Registry()
    by_form = {form: subscribed(registry, "a", form=form) for form in WireForm}
    item = Item(
        "a",
        http_stream=HttpStream(content=b"s"),
        http_response=HttpResponse(body=b"r"),
        ws_message=WebSocketMessage(content=b"w"),
    )
    assert list(fan_out(registry, [item], 1.0)) == []
    assert by_form[WireForm.RAW].written == [b"s"]
    assert by_form[WireForm.CHUNK].written == [b"1\r\ns\r\n"]
    assert by_form[WireForm.FRAME].written == [b"\x81\x01w"]
    assert by_form[WireForm.RESPONSE].items == [item]


def test_who_is_not_concerned_gets_nothing():
    registry = Registry()
    frames = subscribed(registry, "a", form=WireForm.FRAME)
    other = subscribed(registry, "b")
    list(fan_out(registry, [stream("a", b"s")], 1.0))
    assert not frames.written + frames.items + other.written


def test_what_comes_together_is_written_together():
    registry = Registry()
    subscriber = subscribed(registry, "a", form=WireForm.CHUNK)
    other = subscribed(registry, "b")
    list(fan_out(registry, [stream("a", b"1"), stream("b", b"-"), stream("a", b"2")], 1.0))
    assert subscriber.written == [b"1\r\n1\r\n1\r\n2\r\n"]
    assert other.written == [b"-"]


def test_items_of_several_channels_keep_their_order():
    registry = Registry()
    subscriber = subscribed(registry, "a", "b")
    alone = subscribed(registry, "a")
    items = [stream(channel, b"%d" % number) for number, channel in enumerate("abbaab")]
    list(fan_out(registry, items, 1.0))
    assert b"".join(subscriber.written) == b"012345"
    assert alone.written == [b"034"]


@pytest.mark.parametrize("channels", ["a", "ab"])
def test_an_item_to_act_on_keeps_its_place_among_bytes(channels):
    registry = Registry()
    seen = []

    class Noting(RecordingSubscriber):
        def write(self, data):
            seen.append(data)

        def item_arrived(self, item):
            seen.append(item)

    subscriber = Noting(WireForm.RAW)
    for channel in channels:
        registry.subscribe(channel, subscriber, shared=len(channels) > 1)
    close = stream("a", b"", Action.CLOSE)
    list(fan_out(registry, [stream("a", b"1"), stream("a", b"2"), close, stream("a", b"3")], 1.0))
    assert seen == [b"12", close, b"3"]


def test_a_joined_write_does_not_grow_without_end():
    registry = Registry()
    subscriber = subscribed(registry, "a")
    big = b"x" * (MAX_JOINED_BYTES // 2)
    list(fan_out(registry, [stream("a", big)] * 7, 1.0))
    assert b"".join(subscriber.written) == big * 7
    assert max(map(len, subscriber.written)) <= MAX_JOINED_BYTES + len(big)


def test_a_long_fan_out_lets_others_run():
    registry = Registry()
    for _ in range(SLICE + 1):
        subscribed(registry, "a")
        subscribed(registry, "a", form=WireForm.CHUNK)
    assert len(list(fan_out(registry, [stream("a", b"x")] * 3, 1.0))) == 2


def test_a_subscriber_that_fails_costs_nobody_an_item():
    registry = Registry()

    class Broken(RecordingSubscriber):
        def item_arrived(self, item):
            raise ZeroDivisionError

    registry.subscribe("a", Broken(WireForm.RAW))
    subscriber = subscribed(registry, "a")
    close = stream("a", b"", Action.CLOSE)
    with structlog.testing.capture_logs():
        list(fan_out(registry, [stream("a", b"1"), close, stream("a", b"2")], 1.0))
    assert (subscriber.written, subscriber.items) == ([b"1", b"2"], [close])
