import pytest
import structlog

from realtime_proxy.channels.fanout import MAX_JOINED_BYTES, Update, ask_for_updates, fan_out
from realtime_proxy.channels.group import SLICE
from realtime_proxy.channels.registry import Registry
from realtime_proxy.channels.scope import Scope
from realtime_proxy.model.item import Action, HttpResponse, HttpStream, Item, WebSocketMessage
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm


def subscribed(registry, *channels, form=WireForm.RAW, **options):
    subscriber = RecordingSubscriber(form, **options)
    for channel in channels:
        registry.subscribe(channel, subscriber, shared=len(channels) > 1)
    return subscriber


def deliver(registry, items):
    return fan_out(registry, items, 1.0, lambda _item: None)


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
    assert list(deliver(registry, [item])) == []
    assert by_form[WireForm.RAW].written == [b"s"]
    assert by_form[WireForm.CHUNK].written == [b"1\r\ns\r\n"]
    assert by_form[WireForm.FRAME].written == [b"\x81\x01w"]
    assert by_form[WireForm.RESPONSE].items == [item]


def test_who_is_not_concerned_gets_nothing():
    registry = Registry()
    frames = subscribed(registry, "a", form=WireForm.FRAME)
    other = subscribed(registry, "b")
    list(deliver(registry, [stream("a", b"s")]))
    assert not frames.written + frames.items + other.written


def test_what_comes_together_is_written_together():
    registry = Registry()
    subscriber = subscribed(registry, "a", form=WireForm.CHUNK)
    other = subscribed(registry, "b")
    list(deliver(registry, [stream("a", b"1"), stream("b", b"-"), stream("a", b"2")]))
    assert subscriber.written == [b"1\r\n1\r\n1\r\n2\r\n"]
    assert other.written == [b"-"]


def test_items_of_several_channels_keep_their_order():
    registry = Registry()
    subscriber = subscribed(registry, "a", "b")
    alone = subscribed(registry, "a")
    items = [stream(channel, b"%d" % number) for number, channel in enumerate("abbaab")]
    list(deliver(registry, items))
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
    list(deliver(registry, [stream("a", b"1"), stream("a", b"2"), close, stream("a", b"3")]))
    assert seen == [b"12", close, b"3"]


def test_a_joined_write_does_not_grow_without_end():
    registry = Registry()
    subscriber = subscribed(registry, "a")
    big = b"x" * (MAX_JOINED_BYTES // 2)
    list(deliver(registry, [stream("a", big)] * 7))
    assert b"".join(subscriber.written) == big * 7
    assert max(map(len, subscriber.written)) <= MAX_JOINED_BYTES + len(big)


def test_a_long_fan_out_lets_others_run():
    registry = Registry()
    for _ in range(SLICE + 1):
        subscribed(registry, "a")
        subscribed(registry, "a", form=WireForm.CHUNK)
    assert len(list(deliver(registry, [stream("a", b"x")] * 3))) == 2


def test_a_subscriber_that_fails_costs_nobody_an_item():
    registry = Registry()

    class Broken(RecordingSubscriber):
        def item_arrived(self, item):
            raise ZeroDivisionError

    registry.subscribe("a", Broken(WireForm.RAW))
    subscriber = subscribed(registry, "a")
    close = stream("a", b"", Action.CLOSE)
    with structlog.testing.capture_logs():
        list(deliver(registry, [stream("a", b"1"), close, stream("a", b"2")]))
    assert (subscriber.written, subscriber.items) == ([b"1", b"2"], [close])


# -- positions -----------------------------------------------------------------------------------


def numbered(number, prev, channel="a", action=Action.SEND):
    payload = HttpStream(action, b"%d" % number)
    return Item(channel, id=str(number), prev_id=prev and str(prev), http_stream=payload)


def counting(registry, position, *channels, **options):
    subscriber = RecordingSubscriber(options.pop("form", WireForm.RAW), **options)
    places = [
        registry.subscribe(channel, subscriber, shared=len(channels) > 1, position=position)
        for channel in channels
    ]
    return subscriber, places


def test_items_that_follow_are_delivered_as_ever_and_others_are_told_of():
    registry = Registry()
    plain = subscribed(registry, "a")
    behind, places = counting(registry, "1", "a")
    ahead, _ = counting(registry, "3", "a")
    gap = numbered(4, 3)
    list(deliver(registry, [numbered(2, 1), gap, numbered(3, 2)]))
    assert plain.written == [b"243"]
    assert (behind.written, behind.missed) == ([b"2", b"3"], [gap])
    assert places[0].group.position == "3"
    assert (ahead.written, [item.id for item in ahead.missed]) == ([b"4"], ["2", "3"])


def test_what_comes_before_a_gap_is_written_before_it_is_told():
    registry = Registry()
    seen = []

    class Noting(RecordingSubscriber):
        def write(self, data):
            seen.append(data)

        def fell_behind(self, item):
            seen.append(item.id)

    for channels in ("a", "ab"):
        subscriber = Noting(WireForm.RAW)
        for channel in channels:
            registry.subscribe(channel, subscriber, shared=len(channels) > 1, position="1")
        list(deliver(registry, [numbered(2, 1), numbered(9, 8)]))
        assert seen == [b"2", "9"]
        seen.clear()
        registry = Registry()


def test_items_of_other_forms_and_those_that_are_withheld():
    registry = Registry()
    subscriber, places = counting(registry, "1", "a", refused=frozenset("a"))
    list(deliver(registry, [Item("a", id="x", prev_id="w", ws_message=WebSocketMessage())]))
    assert places[0].group.position == "1"
    list(deliver(registry, [numbered(2, 1)]))
    assert (subscriber.written, subscriber.missed) == ([], [])
    assert places[0].group.position == "2"


def test_whoever_catches_up_is_with_the_others_after_the_round():
    registry = Registry()
    one, first = counting(registry, "1", "a")
    other, second = counting(registry, "2", "a")
    list(deliver(registry, [numbered(2, 1)]))
    list(deliver(registry, [numbered(3, 2)]))
    assert first[0].group is second[0].group
    assert (one.written, other.written) == ([b"2", b"3"], [b"3"])


def test_the_id_of_an_item_is_told_before_anybody_gets_it():
    registry = Registry()
    seen = []

    class Noting(RecordingSubscriber):
        def item_arrived(self, item):
            seen.append("arrived")

    registry.subscribe("a", Noting(WireForm.RESPONSE))
    item = Item("a", http_response=HttpResponse())
    list(fan_out(registry, [item, Item("b")], 1.0, lambda item: seen.append(item.channel)))
    assert seen == ["a", "arrived", "b"]


@pytest.mark.parametrize("of_websockets", [False, True])
def test_updates_are_for_holds_or_for_websockets(of_websockets):
    registry = Registry()
    by_form = {form: subscribed(registry, "a", form=form) for form in WireForm}
    elsewhere = subscribed(registry, "b")
    list(ask_for_updates(registry, [Update("a", of_websockets), Update("c", of_websockets)]))
    updates = {form: subscriber.updates for form, subscriber in by_form.items()}
    assert updates == {form: form.is_websocket == of_websockets for form in WireForm}
    assert elsewhere.updates == 0


def test_others_run_between_many_items_for_few():
    """Their writes are joined, so that these alone would never let anybody in."""
    registry = Registry()
    subscriber = subscribed(registry, "a")
    items = [stream("a", b"%d " % number) for number in range(4 * SLICE)]
    assert len(list(deliver(registry, items))) > 4
    assert b"".join(subscriber.written) == b"".join(item.http_stream.content for item in items)


# -- scopes --------------------------------------------------------------------------------------


NORTH, SOUTH = Scope("agency", ("north",)), Scope("agency", ("south",))


def meant(for_whom, number=0, prev=None):
    fields = {"id": str(number), "prev_id": prev and str(prev)} if number else {}
    content = HttpStream(content=b"%d" % number)
    return Item("a", http_stream=content, meta={"agency": for_whom}, **fields)


def test_an_item_goes_to_those_it_is_for_and_is_encoded_once_for_them(monkeypatch):
    registry = Registry()
    north = [subscribed(registry, "a", scope=NORTH) for _ in range(3)]
    south = subscribed(registry, "a", scope=SOUTH)
    encoded = []
    encode = WireForm.RAW.encode
    monkeypatch.setattr(WireForm.RAW, "encode", lambda item: encoded.append(item) or encode(item))
    list(deliver(registry, [meant("north", 1), stream("a", b"for nobody")]))
    assert [one.written for one in north] == [[b"1"]] * 3
    assert not south.written
    assert len(encoded) == 1


def test_items_for_others_are_no_gap_for_those_who_count():
    registry = Registry()
    north, [place] = counting(registry, "1", "a", scope=NORTH)
    list(deliver(registry, [meant("south", 2, 1), meant("north", 3, 2), meant("south", 4, 3)]))
    assert north.written == [b"3"]
    assert place.group.position == "4"
    assert north.missed == []


def test_who_falls_behind_by_an_item_for_others_is_told_nothing_of_it():
    registry = Registry()
    told = []

    class Told(RecordingSubscriber):
        def fell_behind(self, item):
            told.append((list(self.written), item))

    place = registry.subscribe("a", Told(WireForm.RAW, scope=NORTH), position="1")
    list(deliver(registry, [meant("north", 2, 1), meant("south", 4, 3)]))
    assert told == [([b"2"], Item("a", "4", "3"))]
    assert place.group.position == "2"


def test_who_keeps_items_keeps_the_places_of_those_for_others():
    registry = Registry()
    keeping = subscribed(registry, "a", form=WireForm.KEPT, scope=NORTH)
    script = subscribed(registry, "a", form=WireForm.ITEM, scope=NORTH)
    own, other = meant("north", 2, 1), meant("south", 3, 2)
    list(deliver(registry, [own, other, Item("a", "4", "3", ws_message=WebSocketMessage())]))
    assert keeping.items == [own, Item("a", "3", "2")]
    assert script.items == [own]
