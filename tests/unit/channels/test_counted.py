from realtime_proxy.channels.counted import CountingWriter, counting
from realtime_proxy.channels.fanout import fan_out
from realtime_proxy.channels.registry import Registry
from realtime_proxy.model.connection_record import ConnectionRecord
from realtime_proxy.model.item import HttpStream, Item
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm


def item(content, *, id_=None, prev_id=None):
    return Item("a", id=id_, prev_id=prev_id, http_stream=HttpStream(content=content))


class CountedSubscriber(RecordingSubscriber):
    """One that is written to through a counting writer."""

    def __init__(self):
        super().__init__(WireForm.RAW)
        self.record = ConnectionRecord(0.0)
        self._counting = counting(self, self.record)

    @property
    def writer(self):
        return self._counting


def subscriber_with_record():
    subscriber = CountedSubscriber()
    return subscriber, subscriber.record


def deliver(registry, *items):
    for _ in fan_out(registry, items, 0.0, lambda _item: None):
        pass


def test_messages_and_bytes_are_counted_however_they_are_joined():
    registry = Registry()
    subscriber, record = subscriber_with_record()
    registry.subscribe("a", subscriber)
    deliver(registry, item(b"one"), item(b"three"))
    deliver(registry, item(b"x"))
    assert (record.messages_out, record.bytes_out) == (3, 9)


def test_who_is_not_counted_stays_in_another_group():
    registry = Registry()
    plain, (counted, record) = RecordingSubscriber(WireForm.RAW), subscriber_with_record()
    places = [registry.subscribe("a", each) for each in (plain, counted)]
    assert places[0].group is not places[1].group
    deliver(registry, item(b"one"))
    assert record.messages_out == 1


def test_groups_that_come_to_the_same_position_go_on_counting():
    registry = Registry()
    (first, one), (second, two) = subscriber_with_record(), subscriber_with_record()
    registry.subscribe("a", first, position="1")
    deliver(registry, item(b"x", id_="2", prev_id="1"))
    registry.subscribe("a", second, position="2")
    deliver(registry, item(b"x", id_="3", prev_id="2"))
    assert (one.messages_out, two.messages_out) == (2, 1)


def test_without_a_record_nothing_stands_before_the_writer():
    writer = RecordingSubscriber(WireForm.RAW).writer
    assert counting(writer, None) is writer
    assert isinstance(counting(writer, ConnectionRecord(0.0)), CountingWriter)
