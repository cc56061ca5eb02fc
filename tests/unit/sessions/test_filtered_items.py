"""The items of one client, one after another through filters that may have to wait."""

import pytest

from realtime_proxy.errors import FilterError, FilterMismatch
from realtime_proxy.grip.filters import FilterChain
from realtime_proxy.grip.http_filter import FilterReply
from realtime_proxy.model.item import Action, HttpStream, Item, WebSocketMessage
from realtime_proxy.sessions.filtered_items import (
    MAX_WAITING_ITEMS,
    Ask,
    ComeTooEarly,
    Deliver,
    FilteredItems,
    Skip,
)
from realtime_proxy.wire.encodings import WireForm

META = {"user": "u", "url": "/f", "id_format": "%(a)s"}


def line(form=WireForm.RAW, **filters):
    chains = {channel: FilterChain(names) for channel, names in filters.items()}
    return FilteredItems(form, chains, META)


def item(content=b"x", channel="a", **more):
    return Item(channel, http_stream=HttpStream(content=content), **more)


def arrive(items, *arriving, ids=None, tracked=False):
    return [
        outcome
        for one in arriving
        for outcome in items.arrived(one, b"data", ids or {}, is_tracked=tracked)
    ]


def test_what_no_filter_changes_is_delivered_as_it_is():
    one, other = item(), item(channel="other")
    items = line(a=["skip-self", "var-subst"])
    assert arrive(items, one, other) == [Deliver(one, b"data"), Deliver(other, b"data")]


def test_what_a_filter_drops_has_no_outcome():
    assert arrive(line(a=["skip-self"]), item(meta={"sender": "u"})) == []


def test_changed_content_is_to_be_encoded_anew():
    assert arrive(line(a=["var-subst"]), item(b"%(user)s")) == [Deliver(item(b"u"), None)]


def test_last_ids_are_those_of_the_moment_of_arrival():
    items = line(a=["http-check", "build-id"])
    ids = {"a": "1"}
    assert len(arrive(items, item(b"%I"), ids=ids)) == 1
    arrive(items, item(b"%I"), ids={"a": "2"})
    assert items.replied(FilterReply(200))[0] == Deliver(item(b"1"), None)
    assert items.replied(FilterReply(200)) == [Deliver(item(b"2"), None)]


def test_a_failure_skips_only_its_item():
    bad, good = item(b"%"), item(b"%%")
    skip, deliver = arrive(line(a=["var-subst"]), bad, good)
    assert isinstance(skip, Skip)
    assert (skip.item, str(skip.error)) == (bad, "Expected directive after '%' at position 0")
    assert deliver == Deliver(item(b"%"), None)


@pytest.mark.parametrize("action", [Action.CLOSE, Action.HINT, Action.REFRESH])
def test_actions_are_filtered_with_empty_content(action):
    items = line(a=["var-subst", "skip-self", "http-modify"])
    close = Item("a", http_stream=HttpStream(action))
    dropped = Item("a", http_stream=HttpStream(action), meta={"sender": "u"})
    assert arrive(items, dropped) == []
    (ask,) = items.arrived(close, None, {})
    assert ask.request.body == b""
    assert items.replied(FilterReply(200, None, b"content")) == [Deliver(close, None)]


def test_items_for_others_are_none():
    assert arrive(line(a=["var-subst"]), Item("a", ws_message=WebSocketMessage())) == []


@pytest.mark.parametrize("channel", ["a", "other"])
def test_other_content_filters_than_the_item_names(channel):
    odd = Item(channel, http_stream=HttpStream(content_filters=("build-id",)))
    (skip,) = arrive(line(a=["var-subst"]), odd)
    assert skip.item is odd
    assert isinstance(skip.error, FilterMismatch)


def test_the_content_filters_that_the_item_names():
    named = Item("a", http_stream=HttpStream(content=b"x", content_filters=("var-subst",)))
    assert arrive(line(a=["var-subst"]), named) == [Deliver(item(), None)]


def test_content_that_a_message_can_not_have():
    items = line(WireForm.FRAME, a=["http-modify"])
    (ask,) = arrive(items, Item("a", ws_message=WebSocketMessage(content=b"x")))
    assert isinstance(ask, Ask)
    (skip,) = items.replied(FilterReply(200, None, b"\xff"))
    assert isinstance(skip, Skip)


# -- waiting -------------------------------------------------------------------------------


def test_later_items_of_any_channel_wait():
    items = line(a=["http-check"])
    first, second, third = item(b"1"), item(b"2", "other"), item(b"3")
    (ask,) = arrive(items, first, second, third)
    assert isinstance(ask, Ask)
    *delivered, ask = items.replied(FilterReply(200))
    assert delivered == [Deliver(first, b"data"), Deliver(second, b"data")]
    assert isinstance(ask, Ask)
    assert items.replied(FilterReply(200, b"drop")) == []
    assert len(arrive(items, first)) == 1


def test_several_requests_for_one_item():
    items = line(a=["http-check", "http-modify"])
    (ask,) = arrive(items, item(b"old"))
    assert ask.request.body == b""
    (ask,) = items.replied(FilterReply(200))
    assert ask.request.body == b"old"
    assert items.replied(FilterReply(200, None, b"new")) == [Deliver(item(b"new"), None)]


def test_without_an_answer_the_item_is_skipped_and_the_next_has_its_turn():
    items = line(a=["http-check"])
    first, second = item(b"1"), item(b"2")
    arrive(items, first, second)
    error = FilterError("network request failed: disconnected")
    skip, ask = items.failed(error)
    assert skip == Skip(first, error)
    assert isinstance(ask, Ask)
    skip, *rest = items.replied(FilterReply(500))
    assert (skip.item, rest) == (second, [])
    assert str(skip.error) == "unexpected network request status: code=500"


def test_what_waits_is_bounded():
    items = line(a=["http-check"])
    arrive(items, *[item(b"%d" % number) for number in range(MAX_WAITING_ITEMS + 1)])
    last = item(b"last")
    (skip,) = arrive(items, last)
    assert (skip.item, str(skip.error)) == (last, "too many items wait for a filter")
    items.replied(FilterReply(200))
    assert arrive(items, last) == []


def test_nothing_is_left_once_it_is_cleared():
    items = line(a=["http-check"])
    arrive(items, item(), item())
    items.clear()
    assert len(arrive(items, item())) == 1


# -- gaps ----------------------------------------------------------------------------------


def test_what_follows_a_skipped_item_comes_too_early():
    items = line(a=["var-subst"])
    bad, good, other = item(b"%"), item(b"good"), item(b"other", "other")
    [skip] = arrive(items, bad, tracked=True)
    assert skip.is_gap
    assert arrive(items, good, other, tracked=True) == [
        ComeTooEarly(good),
        Deliver(other, b"data"),
    ]
    items.set_back("a")
    assert arrive(items, good, tracked=True) == [Deliver(good, b"data")]


def test_what_waits_behind_an_item_comes_too_early_once_it_is_skipped():
    items = line(a=["http-check"])
    first, second, other = item(b"1"), item(b"2"), item(b"3", "other")
    arrive(items, first, second, other, tracked=True)
    items.set_back("a")
    skip, *rest = items.replied(FilterReply(500))
    assert skip.is_gap
    assert rest == [ComeTooEarly(second), Deliver(other, b"data")]


def test_what_was_in_line_before_an_item_that_found_no_place_is_not_early():
    items = line(a=["http-check"])
    arrive(items, *[item()] * (MAX_WAITING_ITEMS + 1), tracked=True)
    [skip] = arrive(items, item(), tracked=True)
    assert skip.is_gap
    *_, ask = items.replied(FilterReply(200))
    assert isinstance(ask, Ask)


def test_untracked_channels_have_no_gaps():
    items = line(a=["var-subst"])
    [skip] = arrive(items, item(b"%"))
    assert not skip.is_gap
    assert arrive(items, item()) == [Deliver(item(), b"data")]
