import logging

import pytest

from realtime_proxy.channels.ordering import Ordering
from realtime_proxy.channels.recent_ids import RecentIds
from realtime_proxy.channels.sequencer import Sequencer
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import Item


@pytest.fixture
def counters():
    return Counters()


@pytest.fixture
def ordering(counters):
    """Channel `a` is held."""
    return Ordering(RecentIds(60.0), Sequencer(5.0), counters, lambda channel: channel == "a")


def item(name=None, prev=None, channel="a", **options):
    return Item(channel, id=name, prev_id=prev, **options)


def ids(ordering, *items):
    return [one.id for one in ordering.admit(items, 0.0)]


def test_repeated_items_are_dropped_before_they_are_ordered(ordering, counters):
    assert ids(ordering, item("1"), item("3", "2"), item("3", "2"), item("2", "1")) == [*"123"]
    assert (counters.items_published, counters.items_repeated, counters.items_unordered) == (
        4,
        1,
        0,
    )


def test_repeats_count_on_channels_nobody_holds_and_without_order_too(ordering, counters):
    assert ids(ordering, item("1", channel="b"), item("1", channel="b")) == []
    assert ids(ordering, item("d", no_seq=True), item("d", no_seq=True)) == ["d"]
    assert counters.items_repeated == 2


def test_an_empty_id_is_none(ordering):
    assert ids(ordering, item(""), item(""), item(None), item(None)) == ["", "", None, None]


def test_items_that_want_no_order_neither_wait_nor_count(ordering):
    assert ids(ordering, item("1"), item("9", "8", no_seq=True), item("2", "1")) == [*"192"]
    assert ordering.last_id("a") == "2"


def test_nothing_is_kept_of_channels_that_nobody_holds(ordering, counters):
    assert ids(ordering, item("1", channel="b"), item("9", "8", channel="b")) == []
    assert counters.items_published == 2
    assert ordering.last_id("b") is None
    assert not ordering.has_waiting


def test_items_without_a_place_to_wait_are_counted(ordering, counters):
    assert ids(ordering, item("1"), item("3", "2"), item("x", "2")) == ["1"]
    assert counters.items_unordered == 1
    assert ordering.has_waiting
    assert [one.id for one in ordering.due(5.0)] == ["3"]


def test_only_the_contradicted_id_is_given_up(ordering):
    ids(ordering, item("1"), item("2", "1"))
    ordering.contradicted("a", "1")  # it was said before the second came
    assert ordering.last_id("a") == "2"
    ordering.contradicted("a", "2")
    assert ordering.last_id("a") is None


def test_with_its_last_holder_a_channel_is_forgotten(ordering):
    ids(ordering, item("1"), item("3", "2"))
    ordering.deserted("a")
    assert ordering.last_id("a") is None
    assert not ordering.has_waiting


def test_recovering_gives_up_all_ids(ordering):
    ids(ordering, item("1"))
    ordering.recover()
    assert ordering.last_id("a") is None
    assert ids(ordering, item("9", "8")) == ["9"]


def test_withdrawn_items_are_no_repeats_when_they_come_again(ordering):
    assert ids(ordering, item("1"), item("3", "2")) == ["1"]
    assert [one.id for one in ordering.withdraw()] == ["3"]
    assert ids(ordering, item("2", "1"), item("3", "2"), item("1")) == ["2", "3"]


def test_a_last_id_is_learned(ordering):
    ordering.learn("a", "1")
    assert ordering.last_id("a") == "1"
    assert ids(ordering, item("3", "2")) == []


class Unread:
    """A publication that notes whether it was read."""

    def __init__(self, channel, name=None):
        self.channel = channel
        self.id = name
        self.is_read = False

    def item(self):
        self.is_read = True
        return item(self.id, channel=self.channel)


def test_what_is_for_nobody_or_repeated_is_not_read(ordering):
    wanted, again, unwanted = Unread("a", "1"), Unread("a", "1"), Unread("b")
    assert ids(ordering, wanted, again, unwanted) == ["1"]
    assert [one.is_read for one in (wanted, again, unwanted)] == [True, False, False]


class Log:
    """A log of this level, with what is in it."""

    def __init__(self, level):
        self.level = level
        self.lines = []

    def is_enabled_for(self, level):
        return level >= self.level

    def info(self, event, **fields):
        self.lines.append((event, fields))


@pytest.mark.parametrize("is_told", [True, False])
def test_what_is_for_nobody_is_in_the_log(ordering, monkeypatch, is_told):
    log = Log(logging.INFO if is_told else logging.WARNING)
    monkeypatch.setattr("realtime_proxy.channels.ordering.log", log)
    ids(ordering, item("1"), item("1"), item(channel="b"))
    assert log.lines == [("publish", {"channel": "b", "receivers": 0})] * is_told
