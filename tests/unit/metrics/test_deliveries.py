import math

from realtime_proxy.metrics.deliveries import Deliveries
from realtime_proxy.metrics.packet import Packet
from realtime_proxy.metrics.tallied import Delivered


def delivered(count, item_id="1", blocks=0):
    return Delivered("a", item_id, "http-stream", count, blocks)


def message(count, item_id="1", **more):
    members = {"channel": "a", "item-id": item_id, "count": count, "transport": "http-stream"}
    members |= more
    return Packet("message", {key: value for key, value in members.items() if value is not None})


def test_one_worker_is_believed_at_once():
    deliveries = Deliveries(0.0)
    assert deliveries.add(0, delivered(3, blocks=6), 1.0) == [message(3, blocks=6)]
    assert deliveries.tick(9.0) == []


def test_several_are_put_together():
    deliveries = Deliveries(0.3)
    assert deliveries.add(0, delivered(3, blocks=1), 1.0) == []
    assert deliveries.add(1, delivered(2, blocks=2), 1.2) == []
    assert deliveries.tick(1.29) == []
    assert deliveries.due_at == 1.3
    assert deliveries.tick(1.3) == [message(5, blocks=3)]
    assert deliveries.due_at == math.inf
    assert deliveries.tick(9.0) == []


def test_items_without_id_are_told_apart_by_their_order():
    deliveries = Deliveries(0.3)
    for worker, counts in enumerate([(1, 2, 3), (10, 20, 30)]):
        for count in counts:
            deliveries.add(worker, delivered(count, None), 1.0)
    assert deliveries.tick(2.0) == [message(11, None), message(22, None), message(33, None)]


def test_who_is_late_is_told_of_alone_and_the_next_are_put_together_again():
    deliveries = Deliveries(0.3)
    deliveries.add(0, delivered(1, None), 1.0)
    deliveries.add(0, delivered(2, None), 1.2)
    assert deliveries.tick(1.35) == [message(1, None)]
    deliveries.add(1, delivered(20, None), 1.4)  # taken for the second
    assert deliveries.tick(1.6) == [message(22, None)]
    deliveries.add(1, delivered(5, None), 2.0)
    deliveries.add(0, delivered(50, None), 2.0)
    assert deliveries.tick(3.0) == [message(55, None)]


def test_nothing_stays_of_what_is_told():
    deliveries = Deliveries(0.3)
    for number in range(100):
        for worker in range(2):
            deliveries.add(worker, delivered(1, str(number)), number / 10)
        deliveries.tick(number / 10)
    deliveries.tick(1000.0)
    assert not any((deliveries._waiting, deliveries._first, deliveries._next))
