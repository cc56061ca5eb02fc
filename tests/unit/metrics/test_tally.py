import pytest

from realtime_proxy.config.schema import Config, Metrics, Publish, Stats
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.tallied import Delivered, Held, Listened, Visit, Visited
from realtime_proxy.metrics.tally import Tally, TallyRules

VISIT = Visit("1", "r", "http", "10.0.0.1", tls=False)


class Told:
    def __init__(self, **rules):
        self.changes = 0
        self.counters = Counters()
        self.tally = Tally(TallyRules(**rules), self.counters, self.changed)

    def changed(self):
        self.changes += 1


@pytest.mark.parametrize(
    ("config", "rules"),
    [
        (Config(), None),
        (Config(metrics=Metrics(listen="127.0.0.1:1")), TallyRules()),
        (Config(stats=Stats(pub="tcp://127.0.0.1:1")), TallyRules(90.0, tells_channels=True)),
        (
            Config(
                stats=Stats(pub="ipc://a", connections=False),
                publish=Publish(message_block_bytes=10),
            ),
            TallyRules(0.0, tells_channels=True, block_bytes=10),
        ),
    ],
)
def test_only_what_somebody_asks_for_is_counted(config, rules):
    assert TallyRules.of(config) == rules


def test_a_change_is_told_once_until_it_is_taken():
    told = Told()
    told.tally.route("r").sent += 1
    told.tally.route("r").sent += 1
    assert told.changes == 1
    assert told.tally.take().traffic["r"].sent == 2
    told.tally.changed()
    assert told.changes == 2
    assert told.tally.take().traffic == {}


def test_a_visit_is_told_at_its_begin_now_and_then_and_at_its_end():
    told = Told(refresh_seconds=90.0)
    told.tally.begin("client", VISIT, 0.0)
    taken = told.tally.take()
    assert taken.visited == [Visited(VISIT, ended=False)]
    assert taken.connections == {"r": (1, 1)}
    traffic = taken.traffic["r"]
    assert (traffic.requests, traffic.activity, traffic.minutes) == (1, 1, 1)
    told.tally.tick(89.0)
    assert told.tally.take().visited == []
    told.tally.tick(90.0)
    assert told.tally.take().visited == [Visited(VISIT, ended=False)]
    told.tally.end("client")
    taken = told.tally.take()
    assert taken.visited == [Visited(VISIT, ended=True)]
    assert taken.connections == {"r": (0, 1)}
    told.tally.end("client")
    told.tally.tick(1000.0)
    assert told.tally.take().visited == []


def test_visits_may_be_counted_and_not_told():
    told = Told()
    told.tally.begin("client", VISIT, 0.0)
    told.tally.tick(1000.0)
    told.tally.end("client")
    taken = told.tally.take()
    assert taken.visited == []
    assert taken.connections == {"r": (0, 1)}


def test_begun_minutes_count_and_traffic_on_a_websocket_is_activity():
    told = Told()
    told.tally.begin("client", VISIT, 0.0)
    told.tally.message_passed("client")
    told.tally.tick(59.0)
    assert told.tally.take().traffic["r"].minutes == 1
    told.tally.tick(60.0)
    traffic = told.tally.take().traffic["r"]
    assert (traffic.minutes, traffic.activity) == (1, 1)
    told.tally.tick(121.0)
    traffic = told.tally.take().traffic["r"]
    assert (traffic.minutes, traffic.activity) == (1, 0)


def test_the_most_connections_at_once_are_kept_in_mind():
    told = Told()
    for client in range(3):
        told.tally.begin(client, VISIT, 0.0)
    told.tally.end(0)
    told.tally.end(1)
    assert told.tally.take().connections == {"r": (1, 3)}
    told.tally.begin(3, VISIT, 0.0)
    told.tally.end(2)
    told.tally.end(3)
    assert told.tally.take().connections == {"r": (0, 2)}


def test_holds_end_with_their_visit_or_before():
    told = Told()
    told.tally.begin("client", VISIT, 0.0)
    told.tally.hold("client", "response")
    told.tally.hold("client", "response")
    assert told.tally.take().held == [Held("r", "response", 1)]
    told.tally.release("client")
    told.tally.release("client")
    assert told.tally.take().held == [Held("r", "response", 0)]
    told.tally.hold("client", "stream")
    told.tally.end("client")
    assert all(held.connections == 0 for held in told.tally.take().held)


def test_reasons_are_counted_for_visitors_only():
    told = Told()
    told.tally.begin("client", VISIT, 0.0)
    told.tally.closed("client", "idle")
    told.tally.closed("stranger", "idle")
    assert told.tally.take().traffic["r"].closed == {"idle": 1}


def test_of_a_channel_only_the_latest_number_is_told():
    told = Told()
    told.tally.listened("ws", "a", 1)
    told.tally.listened("ws", "a", 2)
    told.tally.delivered(Delivered("a", "1", "ws-message", 2, 0))
    taken = told.tally.take()
    assert taken.listened == [Listened("ws", "a", 2)]
    assert taken.delivered == [Delivered("a", "1", "ws-message", 2, 0)]
    assert told.tally.take().listened == []


def test_counters_are_told_by_what_was_added():
    told = Told()
    told.counters.items_lost += 2
    assert told.tally.take().counters["items_lost"] == 2
    told.counters.items_lost += 1
    assert told.tally.take().counters["items_lost"] == 1
