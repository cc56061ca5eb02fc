from realtime_proxy.channels.registry import Registry
from realtime_proxy.channels.scope import Scope
from realtime_proxy.model.item import HttpStream, Item, WebSocketMessage
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm

STREAM = Item("a", http_stream=HttpStream(content=b"x"))


def test_subscribers_of_one_form_share_a_group():
    registry = Registry()
    raw = [registry.subscribe("a", RecordingSubscriber(WireForm.RAW)) for _ in range(2)]
    chunk = registry.subscribe("a", RecordingSubscriber(WireForm.CHUNK))
    personal = registry.subscribe("a", RecordingSubscriber(WireForm.RAW, refused=frozenset()))
    shared = registry.subscribe("a", RecordingSubscriber(WireForm.RAW), shared=True)
    elsewhere = registry.subscribe("b", RecordingSubscriber(WireForm.RAW))
    assert raw[0].group is raw[1].group
    groups = [raw[0].group, chunk.group, personal.group, shared.group]
    assert list(registry.groups("a")) == groups
    assert [group.personal for group in groups] == [False, False, True, False]
    assert [group.is_shared for group in groups] == [False, False, False, True]
    assert list(registry.groups("b")) == [elsewhere.group]
    assert len({id(group) for group in (*groups, elsewhere.group)}) == 5


def test_a_channel_nobody_listens_to_is_forgotten():
    registry = Registry()
    deserted = []
    registry.on_deserted = deserted.append
    first = registry.subscribe("a", RecordingSubscriber(WireForm.RAW), shared=True)
    second = registry.subscribe("a", RecordingSubscriber(WireForm.CHUNK))
    assert registry.has_subscribers("a")
    registry.unsubscribe(first)
    assert (len(registry), deserted) == (1, [])
    registry.unsubscribe(second)
    assert (len(registry), deserted) == (0, ["a"])
    assert not registry.has_subscribers("a")
    assert list(registry.groups("a")) == []


def test_leaving_twice_forgets_nobody_else():
    registry = Registry()
    deserted = []
    registry.on_deserted = deserted.append
    first = registry.subscribe("a", RecordingSubscriber(WireForm.RAW))
    registry.unsubscribe(first)
    registry.subscribe("a", RecordingSubscriber(WireForm.RAW))
    registry.unsubscribe(first)
    assert registry.has_subscribers("a")
    assert deserted == ["a"]


def test_a_channel_emptied_within_a_fan_out_can_be_joined_at_once():
    registry = Registry()

    class Renewing(RecordingSubscriber):
        place = None

        def item_arrived(self, item):
            super().item_arrived(item)
            registry.unsubscribe(self.place)
            self.place = registry.subscribe("a", self)

    subscriber = Renewing(WireForm.RESPONSE)
    subscriber.place = registry.subscribe("a", subscriber)
    for _ in range(2):
        for group in registry.groups("a"):
            list(group.hand_over(STREAM))
    assert len(subscriber.items) == 2
    assert [len(group) for group in registry.groups("a")] == [1]


def test_the_groups_given_out_do_not_change_with_the_channel():
    registry = Registry()
    registry.subscribe("a", RecordingSubscriber(WireForm.RAW))
    groups = registry.groups("a")
    registry.subscribe("a", RecordingSubscriber(WireForm.CHUNK))
    assert len(list(groups)) == 1


def test_counting_those_whom_an_item_concerns():
    registry = Registry()
    for form in (WireForm.RAW, WireForm.RAW, WireForm.CHUNK, WireForm.FRAME, WireForm.RESPONSE):
        registry.subscribe("a", RecordingSubscriber(form))
    assert registry.count(STREAM) == 3
    assert registry.count(Item("a", ws_message=WebSocketMessage(content=b"x"))) == 1
    assert registry.count(Item("a")) == 0
    assert registry.count(Item("b", http_stream=HttpStream(content=b"x"))) == 0


# -- positions -----------------------------------------------------------------------------------


def test_subscribers_at_one_position_share_a_group():
    registry = Registry()
    places = [
        registry.subscribe("a", RecordingSubscriber(WireForm.RAW), position=position)
        for position in ("1", "1", "2", "", None)
    ]
    assert places[0].group is places[1].group
    assert len({id(place.group) for place in places}) == 4
    assert [place.group.position for place in places] == ["1", "1", "2", "", None]


def move(registry, place, prev_id, item_id):
    assert registry.moves_on(place.group, Item("a", id=item_id, prev_id=prev_id))


def test_groups_that_come_to_one_position_are_joined():
    registry = Registry()
    few, many, one = (RecordingSubscriber(WireForm.RAW) for _ in range(3))
    first = registry.subscribe("a", few, position="1")
    second = registry.subscribe("a", many, position="2")
    third = registry.subscribe("a", one, position="2")
    move(registry, first, "1", "2")
    registry.settle()
    assert first.group is second.group is third.group
    list(first.group.write_all(b"x", 5.0))
    assert [subscriber.written for subscriber in (few, many, one)] == [[b"x"]] * 3
    for place in (first, second, third):
        registry.unsubscribe(place)
    assert not registry.has_subscribers("a")


def test_groups_that_follow_each_other_are_not_joined():
    """One comes to where the other was."""
    registry = Registry()
    first = registry.subscribe("a", RecordingSubscriber(WireForm.RAW), position="1")
    second = registry.subscribe("a", RecordingSubscriber(WireForm.RAW), position="2")
    move(registry, first, "1", "2")
    move(registry, second, "2", "3")
    registry.settle()
    assert (first.group.position, second.group.position) == ("2", "3")
    for place, position in ((first, "2"), (second, "3")):
        later = registry.subscribe("a", RecordingSubscriber(WireForm.RAW), position=position)
        assert later.group is place.group


def test_a_group_without_position_takes_in_one_that_has_lost_its():
    registry = Registry()
    plain = registry.subscribe("a", RecordingSubscriber(WireForm.RAW))
    counting = registry.subscribe("a", RecordingSubscriber(WireForm.RAW), position="1")
    move(registry, counting, "1", None)
    registry.settle()
    assert plain.group is counting.group


def test_a_group_that_is_left_while_it_moves_is_forgotten():
    registry = Registry()
    place = registry.subscribe("a", RecordingSubscriber(WireForm.RAW), position="1")
    move(registry, place, "1", "2")
    registry.unsubscribe(place)
    again = registry.subscribe("a", RecordingSubscriber(WireForm.RAW), position="1")
    registry.settle()
    assert list(registry.groups("a")) == [again.group]
    registry.unsubscribe(again)
    assert registry.names() == []


def test_polls_that_leave_are_told_of():
    registry = Registry()
    told = []
    registry.on_poll_left = lambda channel: told.append(("poll left", channel))
    registry.on_deserted = lambda channel: told.append(("deserted", channel))
    poll = registry.subscribe("a", RecordingSubscriber(WireForm.RESPONSE))
    stream = registry.subscribe("a", RecordingSubscriber(WireForm.RAW))
    last = registry.subscribe("a", RecordingSubscriber(WireForm.RESPONSE))
    for place in (poll, stream, last, last):
        registry.unsubscribe(place)
    assert told == [("poll left", "a"), ("poll left", "a"), ("deserted", "a")]


def test_subscribers_are_counted_by_kind():
    registry = Registry()
    for form in WireForm:
        registry.subscribe("a", RecordingSubscriber(form))
    assert registry.subscribers("a") == {"http-stream": 4, "response": 1, "websocket": 3}
    assert registry.subscribers("b") == {}


# -- scopes --------------------------------------------------------------------------------------


NORTH, SOUTH = Scope("agency", ("north",)), Scope("agency", ("south",))


def scoped(registry, scope, channel="a", position=None, **options):
    subscriber = RecordingSubscriber(scope=scope, **options)
    return registry.subscribe(channel, subscriber, position=position)


def published(agency=None, number="1", prev=None, channel="a"):
    meta = {} if agency is None else {"agency": agency}
    return Item(channel, number, prev, http_stream=HttpStream(content=b"x"), meta=meta)


def test_scopes_have_groups_of_their_own_and_an_item_finds_them():
    registry = Registry()
    north = [scoped(registry, NORTH) for _ in range(3)]
    south = scoped(registry, SOUTH)
    everywhere = scoped(registry, None)
    assert len({place.group for place in (*north, south, everywhere)}) == 3
    assert set(registry.groups_for(published("north"))) == {north[0].group, everywhere.group}
    assert registry.count(published("north")) == 4
    assert registry.count(published()) == 1
    assert registry.count_of_route(published("south"), "") == 2
    assert registry.subscribers("a") == {"http-stream": 5}
    assert registry.count(published("north", channel="b")) == 0


def test_the_last_of_a_scope_leaves_no_trace():
    registry = Registry()
    north, south, everywhere = (scoped(registry, scope) for scope in (NORTH, SOUTH, None))
    registry.unsubscribe(north)
    assert registry.count(published("north")) == 1
    assert registry.missing_scope(published()) == "agency"
    registry.unsubscribe(south)
    assert registry.missing_scope(published()) == ""
    assert registry.groups_for(published()) == [everywhere.group]
    registry.unsubscribe(everywhere)
    assert not registry.has_subscribers("a")
    again = scoped(registry, NORTH)
    assert registry.groups_for(published("north")) == [again.group]


def test_those_who_meet_at_a_position_are_found_together():
    registry = Registry()
    behind, ahead = (scoped(registry, NORTH, position=position) for position in ("1", "2"))
    other = scoped(registry, SOUTH, position="1")
    item = published("north", "2", "1")
    assert registry.bystanders(item) == [other.group]
    for group in (behind.group, other.group):
        assert registry.moves_on(group, item)
    registry.settle()
    assert behind.group is ahead.group
    assert registry.groups_for(published("north")) == [behind.group]
    assert len(behind.group) == 2
    registry.unsubscribe(behind)
    registry.unsubscribe(ahead)
    assert registry.groups_for(published("north")) == []
    assert registry.groups_for(published("south")) == [other.group]
