"""Whatever order items are published in, and however often, they are delivered once, in order."""

from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.channels.ordering import Ordering
from realtime_proxy.channels.recent_ids import RecentIds
from realtime_proxy.channels.sequencer import MAX_WAITING, Sequencer
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import Item


def chain(channel, length):
    return [
        Item(channel, id=str(number), prev_id=str(number - 1)) for number in range(1, length + 1)
    ]


def ordering():
    return Ordering(RecentIds(60.0), Sequencer(5.0), Counters(), lambda _channel: True)


@given(st.data(), st.integers(1, MAX_WAITING), st.integers(1, 20))
def test_shuffled_and_repeated_items_come_once_and_in_order(data, length, other_length):
    wanted = {"a": chain("a", length), "b": chain("b", other_length)}
    published = data.draw(st.permutations(wanted["a"] + wanted["b"]))
    published = [one for one in published for _ in range(data.draw(st.integers(1, 2)))]
    ordered = ordering()
    for channel in wanted:
        ordered.admit([Item(channel, id="0")], 0.0)
    got = []
    while published:
        size = data.draw(st.integers(1, len(published)))
        got += ordered.admit(published[:size], 0.0)
        del published[:size]
    for channel, items in wanted.items():
        assert [one for one in got if one.channel == channel] == items
    assert not ordered.has_waiting


@given(st.data(), st.integers(1, 30))
def test_whatever_is_missing_nothing_else_is_lost_or_doubled(data, length):
    items = chain("a", length)
    published = data.draw(st.lists(st.sampled_from(items), unique_by=lambda one: one.id))
    ordered = ordering()
    ordered.admit([Item("a", id="0")], 0.0)
    got, now = [], 0.0
    for one in published:
        now += data.draw(st.sampled_from((0.0, 1.0, 3.0)))
        got += ordered.due(now)
        got += ordered.admit([one], now)
    got += ordered.due(now + 5.0)
    assert sorted(one.id for one in got) == sorted(one.id for one in published)
    assert not ordered.has_waiting
