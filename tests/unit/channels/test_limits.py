import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.channels.group import SLICE
from realtime_proxy.channels.limits import Limits, TokenBucket
from realtime_proxy.channels.registry import Registry
from realtime_proxy.config.schema import Publish
from realtime_proxy.model.item import HttpResponse, HttpStream, Item, WebSocketMessage
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm

ITEM = Item(
    "a",
    http_response=HttpResponse(body=b"x" * 2_001),
    http_stream=HttpStream(content=b"x" * 2_000),
    ws_message=WebSocketMessage(content=b""),
)


def test_what_is_not_limited_has_no_limits():
    assert Limits.of(Publish(message_block_bytes=5)) is None
    assert Limits.of(Publish(max_queued_deliveries=7)) == Limits(max_queued=7)
    settings = Publish(max_deliveries_per_second=3, message_block_bytes=5)
    assert Limits.of(settings) == Limits(per_second=3, block_bytes=5)


@pytest.mark.parametrize(("per_second", "size"), [(0.5, 1), (39, 1), (2_500, 62), (1e9, SLICE)])
def test_slices_are_a_fortieth_of_a_second(per_second, size):
    assert Limits(per_second).slice_size == size


@pytest.mark.parametrize(
    ("form", "weight"),
    [(WireForm.RESPONSE, 3), (WireForm.CHUNK, 2), (WireForm.RAW, 2), (WireForm.FRAME, 1)],
)
def test_a_delivery_weighs_its_blocks_or_one(form, weight):
    assert Limits(1).weight(ITEM, form) == 1
    assert Limits(1, block_bytes=1_000).weight(ITEM, form) == weight


def test_an_item_may_say_its_size():
    item = Item("a", http_stream=HttpStream(content=b"x"), size=4_500)
    assert Limits(1, block_bytes=1_000).weight(item, WireForm.RAW) == 5


def test_items_weigh_for_each_subscriber_by_queue():
    registry = Registry()
    registry.is_limited_by_route = True
    for route_id, form in (("", WireForm.RAW), ("", WireForm.RESPONSE), ("route", WireForm.CHUNK)):
        for _ in range(2):
            registry.subscribe("a", RecordingSubscriber(form, route_id=route_id))
    limits = Limits(1, block_bytes=1_000)
    assert limits.weights(registry, ITEM) == {"": 2 * (2 + 3), "route": 2 * 2}
    assert limits.weights(registry, Item("a", ws_message=WebSocketMessage())) == {}
    assert limits.weights(registry, Item("b", http_stream=HttpStream())) == {}


# -- the rate --------------------------------------------------------------------------------------


def test_those_of_a_second_go_at_once_and_then_one_after_the_other():
    bucket = TokenBucket(10, now=100)
    for _ in range(10):
        assert bucket.seconds_to_wait(100) == 0
        bucket.take(1, 100)
    assert bucket.seconds_to_wait(100) == pytest.approx(0.1, abs=1e-3)
    assert bucket.seconds_to_wait(100.1) == 0
    bucket.take(1, 100.1)
    assert bucket.seconds_to_wait(100.1) > 0


def test_who_takes_more_than_is_there_makes_others_wait():
    bucket = TokenBucket(10, now=0)
    bucket.take(30, 0)
    assert bucket.seconds_to_wait(0) == pytest.approx(2.1, abs=1e-3)


def test_a_pause_is_worth_a_second():
    bucket = TokenBucket(10, now=0)
    bucket.take(10, 1_000)
    assert bucket.seconds_to_wait(1_000) > 0


def test_less_than_one_in_a_second():
    bucket = TokenBucket(0.5, now=0)
    assert bucket.seconds_to_wait(0) == 0
    bucket.take(1, 0)
    assert bucket.seconds_to_wait(0) == pytest.approx(2, abs=1e-3)
    assert bucket.seconds_to_wait(2) == 0


@given(st.floats(1, 10_000), st.lists(st.tuples(st.floats(0, 2), st.integers(1, 50))))
def test_never_more_than_the_rate_and_never_a_wait_below_it(rate, wishes):
    bucket = TokenBucket(rate, now=0)
    now = earned = total = 0.0
    earned = max(1.0, rate)
    for pause, count in wishes:
        now += pause
        earned = min(max(1.0, rate), earned + pause * rate)
        wait = bucket.seconds_to_wait(now)
        assert (wait == 0) or earned < 1 + 1e-3
        now += wait
        earned = min(max(1.0, rate), earned + wait * rate)
        bucket.take(count, now)
        earned -= count
        total += count
        assert total <= max(1.0, rate) + now * rate + count + 1e-3
