"""Members that come and go while items are on their way round: nobody misses or repeats one."""

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from realtime_proxy.channels import group as group_module
from realtime_proxy.channels.group import Group
from realtime_proxy.model.item import Action, HttpStream, Item
from realtime_proxy.wire.encodings import WireForm

PLACES = st.integers(0, 1_000)


@attrs.define(eq=False)
class Member:
    """Notes the numbers of the items it gets; may take others out on the way."""

    got: list[int] = attrs.field(factory=list)
    due: list[int] = attrs.field(factory=list)
    place: object = None
    takes_out: "Member | None" = None
    has_left: bool = False
    form = WireForm.RAW
    personal = None

    @property
    def writer(self):
        return self

    def write(self, data):
        self.got.append(int(data))

    def item_arrived(self, item):
        self.got.append(int(item.id))
        if self.takes_out is not None:
            other, self.takes_out = self.takes_out, None
            leave(other)


def leave(member):
    if not member.has_left:
        member.has_left = True
        member.place.group.leave(member.place)


class Comings(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.group = Group("a", (WireForm.RAW, False, False, None, False, "", None))
        self.members = []
        self.under_way = None
        self.number = 0
        self.gone = []

    def member(self, place):
        return self.members[place % len(self.members)]

    @rule()
    def join(self):
        member = Member()
        member.place = self.group.join(member)
        self.members.append(member)

    @precondition(lambda self: self.members)
    @rule(place=PLACES)
    def leave(self, place):
        self.see_off(self.member(place))

    def see_off(self, member):
        leave(member)
        self.gone.append((member, len(member.got)))
        self.members.remove(member)

    @precondition(lambda self: self.members and self.under_way is None)
    @rule(place=PLACES, other=PLACES)
    def have_one_take_out_another(self, place, other):
        self.member(place).takes_out = self.member(other)

    @precondition(lambda self: self.under_way is None)
    @rule(as_bytes=st.booleans())
    def begin_an_item(self, as_bytes):
        self.number += 1
        action = Action.SEND if as_bytes else Action.CLOSE
        stream = HttpStream(action, b"%d" % self.number)
        item = Item("a", id=str(self.number), http_stream=stream)
        for member in self.members:
            member.due.append(self.number)
        if as_bytes:
            self.under_way = self.group.write_all(stream.content, float(self.number))
        else:
            self.under_way = self.group.hand_over(item)
        self.go_on()

    @precondition(lambda self: self.under_way is not None)
    @rule()
    def go_on(self):
        if next(self.under_way, self) is self:
            self.under_way = None
        for member in [member for member in self.members if member.has_left]:
            self.see_off(member)

    @precondition(lambda self: self.under_way is not None)
    @rule()
    def finish(self):
        while self.under_way is not None:
            self.go_on()

    @invariant()
    def those_who_stayed_got_everything_in_order(self):
        if self.under_way is None:
            for member in self.members:
                assert member.got == member.due

    @invariant()
    def nothing_comes_twice_or_out_of_turn(self):
        for member in self.members:
            assert member.got == member.due[: len(member.got)]

    @invariant()
    def those_who_left_got_nothing_more(self):
        for member, count in self.gone:
            assert len(member.got) == count

    @invariant()
    def the_lists_agree(self):
        assert len(self.group) == len(self.members)
        assert self.under_way is not None or len(self.group.writers) == len(self.members)
        assert len(self.group.subscriptions) == len(self.group.writers)
        for index, place in enumerate(self.group.subscriptions):
            assert place.index == index
            if place.subscriber is not None:
                assert self.group.writers[index] is place.subscriber
        assert {id(member.place) for member in self.members} == {
            id(place) for place in self.group.subscriptions if place.subscriber is not None
        }


@pytest.fixture(autouse=True, scope="module")
def _short_slices():
    """Three at a time, so that a few members make several slices."""
    usual = group_module.SLICE
    group_module.SLICE = 3
    yield
    group_module.SLICE = usual


TestComings = Comings.TestCase
TestComings.settings = settings(max_examples=200, stateful_step_count=40)
