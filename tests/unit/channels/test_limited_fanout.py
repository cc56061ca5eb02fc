import pytest

from realtime_proxy.channels.limited_fanout import Portion, fan_out_limited
from realtime_proxy.channels.limits import Limits
from realtime_proxy.channels.registry import Registry
from realtime_proxy.channels.scope import Scope
from realtime_proxy.model.item import Action, HttpResponse, HttpStream, Item, WebSocketMessage
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber
from realtime_proxy.wire.encodings import WireForm

LIMITS = Limits(per_second=80, block_bytes=10)  # two at once


def item(content, channel="a", **fields):
    return Item(channel, http_stream=HttpStream(content=content), **fields)


@pytest.fixture
def registry():
    registry = Registry()
    registry.is_limited_by_route = True
    return registry


@pytest.fixture
def subscribed(registry):
    def subscribed(count=1, channel="a", form=WireForm.RAW, position=None, **options):
        subscribers = [RecordingSubscriber(form, **options) for _ in range(count)]
        for subscriber in subscribers:
            registry.subscribe(channel, subscriber, position=position)
        return subscribers

    return subscribed


@pytest.fixture
def run(registry):
    """Deliver; what was yielded, and which items were decided on."""

    def run(*items, left_out=()):
        decided = []
        pairs = [(one, left_out) for one in items]
        portions = list(fan_out_limited(registry, pairs, LIMITS, lambda: 5.0, decided.append))
        assert decided == list(items)
        return portions

    return run


def test_each_slice_is_told_before_it_goes(registry, subscribed):
    subscribers = subscribed(5)
    pairs = [(item(b"x" * 25), ())]
    portions = fan_out_limited(registry, pairs, LIMITS, lambda: 5.0, lambda _item: None)
    for weight, so_far in ((6, 0), (6, 2), (3, 4)):
        assert next(portions) == Portion("", weight)
        assert sum(bool(subscriber.written) for subscriber in subscribers) == so_far
    assert next(portions, None) is None
    assert all(subscriber.written == [b"x" * 25] for subscriber in subscribers)
    assert next(iter(registry.groups("a"))).last_write_at == 5


def test_items_come_in_their_order_and_are_not_joined(subscribed, run):
    one, other = subscribed(2)
    assert run(item(b"1"), item(b"2")) == [Portion("", 2)] * 2
    assert one.written == other.written == [b"1", b"2"]


def test_queues_that_are_left_out_get_nothing(subscribed, run):
    (common,), (route,) = subscribed(), subscribed(route_id="route")
    assert run(item(b"x"), left_out={"route"}) == [Portion("", 1)]
    assert (common.written, route.written) == ([b"x"], [])
    assert run(item(b"y")) == [Portion("", 1), Portion("route", 1)]


def test_what_was_left_out_is_missed_by_who_counts(subscribed, run):
    (subscriber,) = subscribed(position="1")
    run(item(b"2", id="2", prev_id="1"), left_out={""})
    late = item(b"3", id="3", prev_id="2")
    assert run(late) == []
    assert (subscriber.written, subscriber.missed) == ([], [late])


def test_who_counts_goes_on(subscribed, run):
    (subscriber,) = subscribed(position="1")
    run(item(b"2", id="2", prev_id="1"), item(b"3", id="3", prev_id="2"))
    assert subscriber.written == [b"2", b"3"]


def test_many_who_have_fallen_behind_are_told_in_slices_that_weigh_nothing(subscribed, run):
    subscribed(600, position="1")
    assert set(run(item(b"3", id="3", prev_id="2"))) == {Portion("", 0)}


def test_what_each_acts_on_by_itself_weighs_as_well(subscribed, run):
    polls = subscribed(3, form=WireForm.RESPONSE)
    answer = Item("a", http_response=HttpResponse(body=b"x" * 11))
    assert run(answer) == [Portion("", 4), Portion("", 2)]
    assert all(poll.items == [answer] for poll in polls)
    close = Item("a", http_stream=HttpStream(Action.CLOSE))
    (stream,) = subscribed()
    assert run(close) == [Portion("", 1)]
    assert stream.items == [close]


def test_those_it_does_not_concern_are_passed_by(subscribed, run):
    subscribed()
    assert run(Item("a", ws_message=WebSocketMessage(content=b"x")), item(b"x", "b")) == []


def test_only_those_an_item_is_for_weigh_anything(registry, subscribed, run):
    north, south = Scope("agency", ("north",)), Scope("agency", ("south",))
    subscribed(2, scope=north, position="1")
    [other] = subscribed(1, scope=south, position="1")
    [late] = subscribed(1, scope=south, position="0")
    one = item(b"x", id="2", prev_id="1", meta={"agency": "north"})
    assert LIMITS.weights(registry, one) == {"": 2}
    assert [portion.weight for portion in run(one) if portion.weight] == [2]
    assert (other.written, other.missed) == ([], [])
    assert late.missed == [Item("a", "2", "1")]
