import pytest

from realtime_proxy.channels.channel_tally import ChannelTally
from realtime_proxy.channels.fanout import fan_out
from realtime_proxy.channels.registry import Registry
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.tallied import Delivered, Listened
from realtime_proxy.metrics.tally import Tally, TallyRules
from realtime_proxy.model.item import Action, HttpResponse, HttpStream, Item, WebSocketMessage
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm

ITEM = Item(
    "a",
    "1",
    http_response=HttpResponse(body=b"x" * 5),
    http_stream=HttpStream(content=b"x" * 21),
    ws_message=WebSocketMessage(content=b"x" * 7),
)


class Channels:
    def __init__(self, **rules):
        self.registry = Registry()
        self.calls = []
        self.tally = Tally(TallyRules(**rules), Counters(), lambda: self.calls.append("changed"))
        self.told = ChannelTally(self.tally, self.registry)
        self.registry.on_changed = self.told.changed

    def subscribe(self, form, route_id="", refused=None):
        subscriber = RecordingSubscriber(form, refused, route_id=route_id)
        return self.registry.subscribe("a", subscriber)

    def publish(self, item):
        for _ in fan_out(self.registry, [item], 0.0, lambda _item: None, self.told):
            pass
        return self.tally.take()


@pytest.fixture
def channels():
    return Channels(tells_channels=True, block_bytes=10)


def test_subscribers_are_counted_by_mode(channels):
    places = [
        channels.subscribe(form)
        for form in (WireForm.CHUNK, WireForm.RAW, WireForm.ITEM, WireForm.FRAME)
    ]
    places.append(channels.subscribe(WireForm.RESPONSE))
    assert sorted(channels.tally.take().listened) == [
        Listened("response", "a", 1),
        Listened("stream", "a", 3),
        Listened("ws", "a", 1),
    ]
    for place in places:
        channels.registry.unsubscribe(place)
    assert {told.subscribers for told in channels.tally.take().listened} == {0}


def test_who_comes_and_goes_meanwhile_is_told_of_once(channels):
    stays = channels.subscribe(WireForm.RESPONSE)
    channels.tally.take()
    for _ in range(3):
        channels.registry.unsubscribe(channels.subscribe(WireForm.RESPONSE))
        channels.registry.unsubscribe(channels.subscribe(WireForm.CHUNK))
    told = channels.tally.take().listened
    assert sorted(told) == [Listened("response", "a", 1), Listened("stream", "a", 0)]
    assert channels.tally.take().listened == []
    channels.registry.unsubscribe(stays)
    assert channels.tally.take().listened == [Listened("response", "a", 0)]


def test_a_change_of_subscribers_is_something_to_tell(channels):
    channels.subscribe(WireForm.RESPONSE)
    assert channels.calls == ["changed"]
    channels.subscribe(WireForm.RESPONSE)
    assert channels.calls == ["changed"]
    channels.tally.take()
    channels.subscribe(WireForm.RESPONSE)
    assert channels.calls == ["changed", "changed"]


def test_one_delivery_by_transport_whatever_the_forms(channels):
    for form in (WireForm.CHUNK, WireForm.CHUNK, WireForm.RAW, WireForm.FRAME, WireForm.RESPONSE):
        channels.subscribe(form)
    taken = channels.publish(ITEM)
    assert sorted(taken.delivered) == [
        Delivered("a", "1", "http-response", 1, 1),
        Delivered("a", "1", "http-stream", 3, 9),
        Delivered("a", "1", "ws-message", 1, 1),
    ]
    traffic = taken.traffic[""]
    assert (traffic.sent, traffic.response_sent, traffic.blocks_sent) == (5, 1, 11)
    assert traffic.client_messages_sent == 1
    assert traffic.client_content_bytes_sent == 3 * 21 + 7


def test_nobody_is_no_delivery(channels):
    channels.subscribe(WireForm.FRAME)
    channels.tally.take()
    taken = channels.publish(Item("a", http_stream=HttpStream(content=b"x")))
    assert taken.delivered == []
    assert taken.traffic == {}


def test_routes_are_counted_apart(channels):
    channels.subscribe(WireForm.CHUNK, "one")
    channels.subscribe(WireForm.CHUNK, "two")
    channels.subscribe(WireForm.CHUNK, "two")
    taken = channels.publish(ITEM)
    assert {route: traffic.sent for route, traffic in taken.traffic.items()} == {"one": 1, "two": 2}
    assert taken.delivered == [Delivered("a", "1", "http-stream", 3, 9)]


def test_bytes_are_those_that_all_get_as_they_are(channels):
    channels.subscribe(WireForm.ITEM)
    channels.subscribe(WireForm.CHUNK, refused=frozenset())
    assert channels.publish(ITEM).traffic[""].client_content_bytes_sent == 0
    channels.subscribe(WireForm.CHUNK)
    close = Item("a", http_stream=HttpStream(action=Action.CLOSE))
    assert channels.publish(close).traffic[""].client_content_bytes_sent == 0


def test_for_metrics_alone_channels_are_not_told():
    channels = Channels()
    channels.subscribe(WireForm.CHUNK)
    taken = channels.publish(ITEM)
    assert taken.listened == []
    assert taken.delivered == []
    assert taken.traffic[""].sent == 1


def test_delays_are_observed(channels):
    channels.told.delivered_after(0.2)
    assert channels.tally.take().delivery_seconds.sum_seconds == 0.2
