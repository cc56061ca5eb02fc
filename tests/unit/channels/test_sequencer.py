from realtime_proxy.channels.sequencer import MAX_WAITING, Sequencer
from realtime_proxy.model.item import Item


def item(name=None, prev=None, channel="a"):
    return Item(channel, id=name, prev_id=prev)


def names(items):
    return [one.id for one in items]


def admitted(sequencer, *items, now=0.0):
    return [name for one in items for name in names(sequencer.admit(one, now))]


def test_items_that_follow_each_other_go_through():
    sequencer = Sequencer(5.0)
    assert admitted(sequencer, item("1"), item("2", "1"), item("3", "2")) == ["1", "2", "3"]
    assert sequencer.last_id("a") == "3"
    assert not sequencer.has_waiting


def test_without_a_known_id_an_item_goes_through_whatever_it_follows():
    assert admitted(Sequencer(5.0), item("9", "8")) == ["9"]


def test_an_item_without_prev_id_goes_through():
    assert admitted(Sequencer(5.0), item("1"), item("5"), item("6", "")) == ["1", "5", "6"]


def test_an_item_without_id_lets_everything_follow():
    sequencer = Sequencer(5.0)
    assert admitted(sequencer, item("1"), item(None, "1"), item("9", "8")) == ["1", None, "9"]
    assert admitted(sequencer, item("", "9"), item("20", "19")) == ["", "20"]


def test_early_items_wait_for_those_before_them():
    sequencer = Sequencer(5.0)
    assert admitted(sequencer, item("1"), item("4", "3"), item("3", "2")) == ["1"]
    assert sequencer.has_waiting
    assert admitted(sequencer, item("2", "1")) == ["2", "3", "4"]
    assert not sequencer.has_waiting
    assert sequencer.last_id("a") == "4"


def test_channels_do_not_wait_for_each_other():
    sequencer = Sequencer(5.0)
    assert admitted(sequencer, item("1"), item("2", "1", "b"), item("9", "8")) == ["1", "2"]
    assert admitted(sequencer, item("8", "2", "b")) == ["8"]
    assert sequencer.last_id("a") == "1"


def test_an_item_that_has_waited_long_enough_goes_through_and_what_follows_it():
    sequencer = Sequencer(5.0)
    admitted(sequencer, item("1"))
    admitted(sequencer, item("9", "8"), now=10.0)
    admitted(sequencer, item("10", "9"), now=12.0)
    admitted(sequencer, item("7", "6"), now=14.0)
    assert sequencer.due(14.9) == []
    assert names(sequencer.due(15.0)) == ["9", "10"]
    assert sequencer.last_id("a") == "10"
    assert names(sequencer.due(19.0)) == ["7"]
    assert not sequencer.has_waiting


def test_those_that_wait_longest_go_first_over_all_channels():
    sequencer = Sequencer(5.0)
    admitted(sequencer, item("1"), item("1", channel="b"))
    admitted(sequencer, item("9", "8", "b"), now=1.0)
    admitted(sequencer, item("7", "6"), now=2.0)
    admitted(sequencer, item("5", "4", "b"), now=3.0)
    assert names(sequencer.due(9.0)) == ["9", "7", "5"]


def test_a_second_item_with_the_same_place_has_none():
    sequencer = Sequencer(5.0)
    admitted(sequencer, item("1"), item("3", "2"))
    assert sequencer.admit(item("x", "2"), 0.0) is None
    assert admitted(sequencer, item("2", "1")) == ["2", "3"]


def test_only_so_many_wait_on_a_channel():
    sequencer = Sequencer(5.0)
    admitted(sequencer, item("1"), item("1", channel="b"))
    for number in range(MAX_WAITING):
        assert sequencer.admit(item("x", f"p{number}"), 0.0) == []
    assert sequencer.admit(item("x", "one more"), 0.0) is None
    assert sequencer.admit(item("x", "one more", "b"), 0.0) == []
    assert len(sequencer.due(5.0)) == MAX_WAITING + 1


def test_a_channel_that_is_forgotten_keeps_nothing():
    sequencer = Sequencer(5.0)
    admitted(sequencer, item("1"), item("3", "2"), item("1", channel="b"), item("3", "2", "b"))
    sequencer.forget("a")
    sequencer.forget("nobody's")
    assert sequencer.last_id("a") is None
    assert [one.channel for one in sequencer.due(9.0)] == ["b"]
    assert admitted(sequencer, item("9", "8")) == ["9"]


def test_forgotten_ids_keep_no_next_item_waiting():
    sequencer = Sequencer(5.0)
    admitted(sequencer, item("1"), item("1", channel="b"))
    sequencer.forget_last_id("a")
    sequencer.forget_last_id("nobody's")
    assert admitted(sequencer, item("9", "8"), item("9", "8", "b")) == ["9"]
    sequencer.forget_last_ids()
    assert admitted(sequencer, item("19", "18"), item("19", "18", "b")) == ["19", "19"]


def test_what_waits_survives_forgotten_ids():
    sequencer = Sequencer(5.0)
    admitted(sequencer, item("1"), item("9", "8"))
    sequencer.forget_last_ids()
    assert admitted(sequencer, item("8", "7")) == ["8", "9"]


def test_a_last_id_may_be_learned_where_none_is_known():
    sequencer = Sequencer(5.0)
    sequencer.learn("a", "1")
    assert admitted(sequencer, item("3", "2"), item("2", "1")) == ["2", "3"]
    sequencer.learn("a", "older")
    assert sequencer.last_id("a") == "3"


def test_those_that_wait_may_be_withdrawn():
    sequencer = Sequencer(5.0)
    admitted(sequencer, item("1"), item("4", "3"), item("3", "2"))
    assert sorted(names(sequencer.withdraw())) == ["3", "4"]
    assert not sequencer.has_waiting
    assert sequencer.last_id("a") == "1"
    assert admitted(sequencer, item("2", "1"), item("3", "2")) == ["2", "3"]
