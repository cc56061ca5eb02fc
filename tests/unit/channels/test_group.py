import pytest
import structlog

from realtime_proxy.channels.group import SLICE, Group
from realtime_proxy.model.item import Action, HttpResponse, HttpStream, Item
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm

ITEM = Item("a", http_stream=HttpStream(content=b"x"))
CLOSE = Item("a", http_stream=HttpStream(Action.CLOSE))
RESPONSE = Item("a", http_response=HttpResponse(body=b"x"))


def deliver(group, item=ITEM, now=1.0):
    """Let an item go round, by the way that its group and its kind ask for."""
    data = None if group.personal else group.form.encode(item)
    if data is None:
        return group.hand_over(item)
    return group.write_all(data, now)


def group_of(*subscribers, form=WireForm.RAW, personal=False, position=None):
    group = Group("a", (form, personal, False, position, False, "", None))
    return group, [group.join(subscriber) for subscriber in subscribers]


def subscribers(count, form=WireForm.RAW, **options):
    return [RecordingSubscriber(form, **options) for _ in range(count)]


def test_all_members_get_an_item_once():
    members = subscribers(3)
    group, _ = group_of(*members)
    list(deliver(group))
    assert [member.written for member in members] == [[b"x"]] * 3
    assert not any(member.items for member in members)


@pytest.mark.parametrize("leaver", [0, 1, 2])
def test_who_has_left_gets_nothing_and_the_others_all(leaver):
    members = subscribers(3)
    group, places = group_of(*members)
    group.leave(places[leaver])
    assert len(group) == 2
    list(deliver(group))
    assert [len(member.written) for member in members] == [int(at != leaver) for at in range(3)]


def test_leaving_twice_takes_nobody_else_out():
    members = subscribers(2)
    group, places = group_of(*members)
    group.leave(places[0])
    group.leave(places[0])
    list(deliver(group))
    assert len(group) == 1
    assert members[1].written == [b"x"]


def test_who_leaves_is_told_whether_others_are_left():
    group, places = group_of(*subscribers(2))
    assert group.leave(places[0])
    assert not group.leave(places[1])


def test_leaving_twice_within_a_fan_out_counts_once():
    members = subscribers(SLICE + 2)
    group, places = group_of(*members)
    for _ in deliver(group):
        group.leave(places[0])
        group.leave(places[0])
        assert len(group) == SLICE + 1
    assert len(group) == SLICE + 1


def test_a_fan_out_yields_between_slices_only():
    group, _ = group_of(*subscribers(SLICE * 2 + 1))
    assert len(list(deliver(group))) == 2
    group, _ = group_of(*subscribers(SLICE))
    assert list(deliver(group)) == []


def test_who_leaves_between_slices_gets_nothing_more_and_who_joins_nothing_yet():
    members = subscribers(SLICE + 2)
    late = RecordingSubscriber(WireForm.RAW)
    group, places = group_of(*members)
    for _ in deliver(group):
        group.leave(places[0])
        group.leave(places[SLICE])
        group.join(late)
    assert len(members[0].written) == 1
    assert members[SLICE].written == []
    assert members[SLICE + 1].written == [b"x"]
    assert late.written == []
    list(deliver(group))
    assert late.written == [b"x"]
    assert len(group) == SLICE + 1


class Leaving(RecordingSubscriber):
    """Takes others, and perhaps itself, out of the group when an item arrives."""

    def item_arrived(self, item):
        super().item_arrived(item)
        for place in self.to_leave:
            place.group.leave(place)


@pytest.mark.parametrize("leavers", [[0], [0, 1], [1, 2], [2], [0, 1, 2]])
def test_leaving_while_an_item_arrives(leavers):
    members = [Leaving(WireForm.RESPONSE) for _ in range(3)]
    group, places = group_of(*members, form=WireForm.RESPONSE)
    for member in members:
        member.to_leave = ()
    members[0].to_leave = [places[at] for at in leavers]
    list(deliver(group, RESPONSE))
    assert [len(member.items) for member in members] == [
        1 if at == 0 or at not in leavers else 0 for at in range(3)
    ]
    assert len(group) == 3 - len(leavers)
    list(deliver(group, RESPONSE))
    assert [len(member.items) for member in members] == [
        1 if at == 0 and at in leavers else 0 if at in leavers else 2 for at in range(3)
    ]


def test_joining_while_an_item_arrives_is_for_the_next():
    late = RecordingSubscriber(WireForm.RESPONSE)

    class Inviting(RecordingSubscriber):
        def item_arrived(self, item):
            super().item_arrived(item)
            if len(self.items) == 1:
                group.join(late)

    group, _ = group_of(Inviting(WireForm.RESPONSE), form=WireForm.RESPONSE)
    list(deliver(group, RESPONSE))
    assert late.items == []
    list(deliver(group, RESPONSE))
    assert late.items == [RESPONSE]


def test_an_item_that_is_more_than_bytes_is_handed_over():
    members = subscribers(2)
    group, _ = group_of(*members)
    list(deliver(group, CLOSE))
    assert [(member.items, member.written) for member in members] == [([CLOSE], [])] * 2


def test_a_personal_group_gives_to_each_what_stands_before_it():
    glad = RecordingSubscriber(WireForm.RAW, refused=frozenset())
    barred = RecordingSubscriber(WireForm.RAW, refused=frozenset("a"))
    group, _ = group_of(glad, barred, personal=True)
    list(deliver(group))
    list(deliver(group, CLOSE))
    assert (glad.written, glad.items) == ([b"x"], [CLOSE])
    assert (barred.written, barred.items) == ([], [])


def test_only_a_personal_group_has_something_before_its_members():
    barred = RecordingSubscriber(WireForm.RAW, refused=frozenset("a"))
    group, _ = group_of(barred)
    list(deliver(group))
    assert barred.written == [b"x"]


class Broken(RecordingSubscriber):
    def item_arrived(self, item):
        raise ZeroDivisionError

    def give(self, item, data):
        raise ZeroDivisionError


@pytest.mark.parametrize(("item", "personal"), [(CLOSE, False), (ITEM, True)])
def test_a_member_that_fails_keeps_nothing_from_the_others(item, personal):
    refused = frozenset() if personal else None
    broken = Broken(WireForm.RAW, refused)
    members = [*subscribers(1, refused=refused), broken, *subscribers(1, refused=refused)]
    group, _ = group_of(*members, personal=personal)
    with structlog.testing.capture_logs() as logs:
        list(deliver(group, item))
    assert [len(member.written + member.items) for member in members] == [1, 0, 1]
    assert [entry["event"] for entry in logs] == ["delivery failed"]


def test_the_time_of_the_last_write_is_kept():
    group, _ = group_of(*subscribers(1))
    assert group.last_write_at == 0.0
    list(deliver(group, now=7.5))
    assert group.last_write_at == 7.5


def test_what_each_acts_on_by_itself_is_no_write():
    group, _ = group_of(*subscribers(1))
    list(deliver(group, CLOSE, now=7.5))
    assert group.last_write_at == 0.0


def test_an_empty_group_writes_nothing():
    group, _ = group_of()
    list(deliver(group, now=7.5))
    assert not group
    assert group.last_write_at == 0.0


def test_a_fan_out_that_is_given_up_leaves_the_group_in_order():
    members = subscribers(SLICE * 2)
    group, places = group_of(*members)
    under_way = deliver(group)
    next(under_way)
    group.leave(places[0])
    under_way.close()
    assert len(group) == len(group.subscriptions) == len(group.writers) == SLICE * 2 - 1
    list(deliver(group))
    assert sum(len(member.written) for member in members) == SLICE + SLICE * 2 - 1


# -- positions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("position", "prev_id", "item_id", "after"),
    [
        ("1", "1", "2", "2"),
        ("", None, "2", "2"),
        ("", "", "2", "2"),
        ("1", "1", None, None),
        ("1", "1", "", None),
    ],
)
def test_an_item_that_follows_moves_the_position(position, prev_id, item_id, after):
    group, _ = group_of(position=position)
    assert group.move_on(Item("a", id=item_id, prev_id=prev_id))
    assert group.position == after


@pytest.mark.parametrize(("personal", "after"), [(False, "1"), (True, "2")])
def test_an_item_for_others_with_filters_stays_a_gap(personal, after):
    group, _ = group_of(position="1", personal=personal)
    stream = HttpStream(content_filters=("var-subst",))
    assert group.move_on(Item("a", id="2", prev_id="1", http_stream=stream))
    assert group.position == after


@pytest.mark.parametrize(("position", "prev_id"), [("1", "2"), ("1", None), ("1", ""), ("", "1")])
def test_an_item_that_does_not_follow_moves_nothing(position, prev_id):
    group, _ = group_of(position=position)
    assert not group.move_on(Item("a", id="9", prev_id=prev_id))
    assert group.position == position


def test_those_taken_in_can_leave_and_get_everything():
    ours, theirs = subscribers(2), subscribers(2)
    group, _ = group_of(*ours)
    other, places = group_of(*theirs)
    list(deliver(other, now=7.0))
    group.take_in(other)
    assert group.last_write_at == 7.0
    assert {place.group for place in places} == {group}
    places[0].group.leave(places[0])
    list(deliver(group))
    assert [len(member.written) for member in ours + theirs] == [1, 1, 1, 2]


def test_members_know_how_many_messages_they_were_given():
    group, [first] = group_of(RecordingSubscriber(WireForm.RAW))
    list(group.write_all(b"abc", 1.0, messages=3))
    second = group.join(RecordingSubscriber(WireForm.RAW))
    list(deliver(group))
    list(deliver(group, CLOSE))
    assert (first.messages, second.messages) == (4, 1)


def test_who_moves_to_another_group_keeps_its_count():
    large, [one] = group_of(*subscribers(1))
    small, [other] = group_of(*subscribers(1))
    for _ in range(5):
        list(deliver(small))
    list(deliver(large))
    large.take_in(small)
    assert (one.messages, other.messages) == (1, 5)
    list(deliver(large))
    assert (one.messages, other.messages) == (2, 6)
    small_again, [later] = group_of(*subscribers(1))
    small_again.take_in(large)
    assert (later.messages, one.messages, other.messages) == (0, 2, 6)


def test_what_a_personal_group_passes_on_is_counted_by_each():
    group, [place] = group_of(*subscribers(1, refused=frozenset()), personal=True)
    list(deliver(group))
    assert place.messages == 0
