import msgspec

from realtime_proxy.metrics.tallied import Delivered, Held, Listened, Tallied, Visit, Visited
from realtime_proxy.metrics.traffic import Traffic


def test_all_of_it_goes_over_a_link():
    visit = Visit("1", "r", "ws", "", tls=True)
    tallied = Tallied(
        traffic={"r": Traffic(sent=1, closed={"idle": 1})},
        connections={"": (1, 2)},
        held=[Held("r", "stream", 3)],
        visited=[Visited(visit, ended=False)],
        listened=[Listened("ws", "a", 2)],
        delivered=[Delivered("a", None, "ws-message", 2, 0)],
        counters={"items_lost": 1},
        backlog_bytes=5,
    )
    data = msgspec.msgpack.encode(tallied)
    assert msgspec.msgpack.decode(data, type=Tallied) == tallied
