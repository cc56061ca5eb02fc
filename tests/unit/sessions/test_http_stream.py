"""The rules one by one; any order of events is in `tests/property/test_http_stream_property.py`."""

import pytest

from realtime_proxy.grip.hold import HoldMode
from realtime_proxy.model.item import HttpStream, Item
from realtime_proxy.sessions.http_stream import (
    MAX_OVERTAKEN,
    NOT_FOUND,
    RETRY_SECONDS,
    Ask,
    AskLater,
    Deliver,
    Dismiss,
    End,
    Follow,
    Forward,
    Gather,
    Page,
    State,
)
from realtime_proxy.sessions.http_stream import HttpStream as Machine

AT_5, AT_7, AT_8 = {"a": "5"}, {"a": "7"}, {"a": "8"}
HOLD_AT_5 = Page(HoldMode.STREAM, AT_5, "/next")


def item(number, channel="a", prev=None):
    prev_id = str(number - 1 if prev is None else prev)
    payload = HttpStream(content=b"%d" % number)
    return Item(channel, id=str(number), prev_id=prev_id, http_stream=payload)


@pytest.fixture
def stream():
    """Follows its items, and goes on at `/next`."""
    return Machine("/next", 10_000)


def recovering(stream, *waiting):
    """Has fallen behind at position 5, and asked."""
    stream.item_waits(item(7))
    stream.fell_behind(AT_5)
    for each in waiting:
        assert stream.item_waits(each)
    return stream


# -- checks ----------------------------------------------------------------------------------------


def test_a_check_that_brings_nothing_changes_what_the_answer_says(stream):
    assert stream.update(AT_5) == [Ask("/next", AT_5, urgent=False)]
    assert stream.state is State.CHECKING
    stream.answered(Page(HoldMode.STREAM, {"a": "5", "b": None}, "/other"))
    assert stream.completed(AT_5, {}) == [Follow({"a": "5", "b": None})]
    assert (stream.state, stream.uri) == (State.FOLLOWING, "/other")


def test_the_body_of_a_check_is_sent_while_items_wait(stream):
    stream.update(AT_5)
    stream.answered(Page(HoldMode.STREAM, {"a": "6"}, "/next"))
    assert stream.body_begins(AT_5) == [Gather(), Forward()]
    assert stream.item_waits(item(6))
    assert stream.item_waits(item(7))
    assert stream.completed({}, {}) == [Follow(AT_7), Deliver(item(7), AT_7)]


def test_a_check_overtaken_by_items_is_not_sent_but_asked_again(stream):
    stream.update(AT_5)
    stream.answered(Page(HoldMode.STREAM, {"a": "6"}, "/next"))
    assert stream.body_begins({"a": "6"}) == [Dismiss(), Ask("/next", {"a": "6"}, urgent=False)]
    assert stream.state is State.CHECKING


def test_items_wait_for_a_check_that_was_overtaken_too_often(stream):
    stream.update(AT_5)
    for position in range(6, 6 + MAX_OVERTAKEN):
        stream.body_begins({"a": str(position)})
    last = {"a": "9"}
    assert stream.body_begins(last) == [Dismiss(), Gather(), Ask("/next", last, urgent=True)]


def test_a_check_overtaken_that_brings_nothing_keeps_the_newer_position(stream):
    stream.update({"a": "5", "b": "1"})
    stream.answered(Page(HoldMode.STREAM, {"a": "5", "b": "1"}, "/other"))
    assert stream.completed({"a": "6", "b": "1"}, {}) == [Follow({"a": "6", "b": "1"})]


def test_a_check_overtaken_by_an_item_without_id_leaves_the_channel_untracked(stream):
    stream.update(AT_5)
    stream.answered(HOLD_AT_5)
    assert stream.completed({"a": None}, {}) == [Follow({"a": None})]


def test_untracked_channels_overtake_nothing(stream):
    stream.update({"c": None})
    stream.answered(Page(HoldMode.STREAM, {"c": None}, "/next"))
    assert stream.body_begins({"c": None}) == [Gather(), Forward()]


def test_what_is_asked_for_while_a_request_is_out_is_done_afterwards(stream):
    stream.update(AT_5)
    assert stream.update(AT_5) == []
    assert stream.update(AT_5) == []
    stream.answered(HOLD_AT_5)
    assert stream.completed(AT_5, {}) == [Follow(AT_5), Ask("/next", AT_5, urgent=False)]
    stream.answered(HOLD_AT_5)
    assert stream.completed(AT_5, {}) == [Follow(AT_5)]


def test_an_urgent_check_is_asked_urgently(stream):
    assert stream.update(AT_5, urgent=True) == [Ask("/next", AT_5, urgent=True)]


def test_without_a_link_nothing_is_asked():
    stream = Machine(None, 10_000)
    assert stream.update({"a": None}) == []
    assert stream.state is State.FOLLOWING


def test_a_hold_without_a_link_is_the_last_to_be_asked_for(stream):
    stream.update({"a": None})
    stream.update({"a": None})
    stream.answered(Page(HoldMode.STREAM, {"a": None}))
    assert stream.completed({"a": None}, {}) == [Follow({"a": None})]


# -- gaps ------------------------------------------------------------------------------------------


def test_behind_a_gap_items_wait_until_it_is_filled(stream):
    stream.item_waits(item(7))
    assert stream.fell_behind(AT_5) == [Gather(), Ask("/next", AT_5, urgent=True)]
    stream.item_waits(item(8))
    stream.answered(Page(HoldMode.STREAM, {"a": "7"}, "/next"))
    assert stream.body_begins({}) == [Forward()]
    assert stream.completed({}, {}) == [Follow(AT_8), Deliver(item(8), AT_8)]
    assert stream.state is State.FOLLOWING


def test_an_item_published_before_it_was_stored_is_delivered(stream):
    recovering(stream).answered(Page(HoldMode.STREAM, {"a": "6"}, "/next"))
    assert stream.completed({}, {}) == [Follow(AT_7), Deliver(item(7), AT_7)]


def test_a_gap_ends_the_check_that_is_under_way(stream):
    stream.update(AT_5)
    stream.item_waits(item(7))
    assert stream.fell_behind(AT_5) == [Gather(), Dismiss(), Ask("/next", AT_5, urgent=True)]


def test_who_waits_already_falls_no_further_behind(stream):
    recovering(stream)
    assert stream.fell_behind(AT_5) == []


def test_what_the_answer_had_is_left_out(stream):
    recovering(stream, item(8), item(9)).answered(Page(HoldMode.STREAM, {"a": "9"}, "/next"))
    assert stream.completed({}, {}) == [Follow({"a": "9"})]


def test_a_gap_behind_the_answer_is_asked_for_again(stream):
    recovering(stream, item(8), item(10)).answered(Page(HoldMode.STREAM, {"a": "7"}, "/next"))
    now = {"a": "8"}
    assert stream.completed({}, {}) == [
        Follow(now),
        Deliver(item(8), now),
        Gather(),
        Ask("/next", now, urgent=True),
    ]
    stream.answered(Page(HoldMode.STREAM, {"a": "10"}, "/next"))
    assert stream.completed({}, {}) == [Follow({"a": "10"})]


def test_items_after_the_request_that_the_answer_does_not_end_with_are_asked_for(stream):
    recovering(stream, item(9)).answered(Page(HoldMode.STREAM, {"a": "7"}, "/next"))
    now = {"a": "7"}
    assert stream.completed({}, {}) == [Follow(now), Ask("/next", now, urgent=False)]


def test_items_before_the_request_were_in_the_answer_whatever_its_ids(stream):
    recovering(stream).answered(Page(HoldMode.STREAM, {"a": "x"}, "/next"))
    assert stream.completed({}, {}) == [Follow({"a": "x"})]


def test_items_of_channels_no_longer_held_are_left_out(stream):
    recovering(stream, item(1, "b")).answered(Page(HoldMode.STREAM, {"c": None}, "/next"))
    assert stream.completed({}, {}) == [Follow({"c": None})]


def test_untracked_items_are_delivered_and_an_absent_id_ends_tracking(stream):
    last = Item("a", prev_id="7", http_stream=HttpStream(content=b"8"))
    free = item(3, prev=1)
    recovering(stream, last, free).answered(Page(HoldMode.STREAM, {"a": "7"}, "/next"))
    assert stream.completed({}, {}) == [
        Follow({"a": None}),
        Deliver(last, {"a": None}),
        Deliver(free, {"a": None}),
    ]


def test_an_empty_position_is_that_of_items_without_an_earlier_one(stream):
    first = Item("a", id="1", http_stream=HttpStream(content=b"1"))
    recovering(stream, first).answered(Page(HoldMode.STREAM, {"a": ""}, "/next"))
    assert stream.completed({}, {}) == [Follow({"a": "1"}), Deliver(first, {"a": "1"})]


def test_more_than_may_wait_is_dropped_and_asked_for():
    stream = recovering(Machine("/next", 500), item(8))
    assert not stream.item_waits(item(9))
    stream.answered(Page(HoldMode.STREAM, {"a": "8"}, "/next"))
    now = {"a": "8"}
    assert stream.completed({}, {}) == [Follow(now), Ask("/next", now, urgent=False)]
    recovering(stream)
    assert stream.item_waits(item(8)), "what has waited takes no room any more"


def test_a_new_channel_whose_last_item_is_known_to_be_another_is_asked_for(stream):
    stream.update(AT_5)
    now = {"a": "5", "b": "1", "c": "1", "d": "1"}
    stream.answered(Page(HoldMode.STREAM, now, "/next"))
    known = {"a": "6", "b": "2", "c": "1", "d": None}
    assert stream.completed(AT_5, known) == [
        Follow(now),
        Ask("/next", now, urgent=False),
    ]


# -- pages -----------------------------------------------------------------------------------------


def test_pages_are_fetched_one_after_the_other(stream):
    assert stream.start_paging() == [Ask("/next", {}, urgent=True)]
    stream.answered(Page(next_uri="/2"))
    assert stream.body_begins({}) == [Forward()]
    assert stream.completed({}, {}) == [Ask("/2", {}, urgent=True)]
    stream.answered(Page())
    assert stream.body_begins({}) == [Forward()]
    assert stream.completed({}, {}) == [End()]
    assert stream.state is State.ENDED


def test_pages_then_hold(stream):
    stream.start_paging()
    stream.answered(HOLD_AT_5)
    stream.body_begins({})
    assert stream.completed({}, {"a": "5"}) == [Follow(AT_5)]


def test_what_a_page_says_of_positions_is_told_at_the_next(stream):
    stream.start_paging()
    stream.answered(Page(None, AT_5, "/2"))
    assert stream.completed({}, {}) == [Ask("/2", AT_5, urgent=False)]


def test_items_are_delivered_while_a_check_turns_empty_pages(stream):
    stream.update(AT_5)
    stream.answered(Page(next_uri="/2"))
    assert stream.completed(AT_5, {}) == [Ask("/2", AT_5, urgent=False)]
    assert stream.state is State.CHECKING
    stream.answered(Page(HoldMode.STREAM, {"a": "6"}, "/next"))
    again = Ask("/next", {"a": "6"}, urgent=False)
    assert stream.body_begins({"a": "6"}) == [Dismiss(), again], "from where the check began"


def test_a_problem_ends_the_stream_after_the_body(stream):
    stream.start_paging()
    stream.answered(Page(HoldMode.RESPONSE, problem="no stream"))
    assert stream.body_begins({}) == [Forward()]
    assert stream.completed({}, {}) == [End("no stream")]


def test_instructions_without_sense_end_the_stream(stream):
    stream.start_paging()
    assert stream.refused("no sense") == [End("no sense")]


# -- failures --------------------------------------------------------------------------------------


def test_what_fails_is_asked_again_after_growing_pauses(stream):
    stream.start_paging()
    for pause in RETRY_SECONDS:
        [later] = stream.failed()
        assert isinstance(later, AskLater)
        assert pause <= later.seconds < pause + 1
        assert stream.retry({}) == [Ask("/next", {}, urgent=True)]
    assert stream.failed() == [End(NOT_FOUND, is_cut=True)]


def test_success_begins_the_count_of_failures_anew(stream):
    stream.update(AT_5)
    for _ in RETRY_SECONDS:
        stream.failed()
        stream.retry(AT_5)
        stream.answered(HOLD_AT_5)
        stream.completed(AT_5, {})
        stream.update(AT_5)
    assert isinstance(stream.failed()[0], AskLater)


def test_a_check_that_failed_starts_anew_with_newer_positions(stream):
    stream.update(AT_5)
    stream.answered(Page(next_uri="/2"))
    stream.completed(AT_5, {})
    stream.failed()
    assert stream.retry({"a": "6"}) == [Ask("/next", {"a": "6"}, urgent=False)]


def test_a_recovery_that_failed_tells_the_same_again(stream):
    recovering(stream)
    stream.failed()
    assert stream.retry({}) == [Ask("/next", AT_5, urgent=True)]


def test_a_body_that_breaks_off_cuts_the_stream(stream):
    stream.start_paging()
    stream.answered(Page(next_uri="/2"))
    stream.body_begins({})
    assert stream.failed() == [End(NOT_FOUND, is_cut=True)]


def test_an_ended_stream_asks_nothing(stream):
    stream.ended()
    assert stream.update(AT_5) == []
    assert stream.fell_behind(AT_5) == []
    assert stream.state is State.ENDED


def test_each_item_that_has_waited_goes_with_what_the_client_has_then(stream):
    recovering(stream, item(8), item(9)).answered(Page(HoldMode.STREAM, AT_7, "/next"))
    at_9 = {"a": "9"}
    assert stream.completed({}, {}) == [
        Follow(at_9),
        Deliver(item(8), AT_8),
        Deliver(item(9), at_9),
    ]
