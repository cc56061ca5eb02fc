import pytest

from realtime_proxy.config.schema import Config, Metrics, Publish, Stats
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.tallied import Delivered, Held, Listened, Visit, Visited
from realtime_proxy.metrics.tally import Tally, TallyRules

VISIT = Visit("me:1", "r", "http", "10.0.0.1", tls=False)


class Client:
    """A connection; `number` is that of its request."""

    def __init__(self, told, number=1):
        self._told = told
        self.presence = told.tally.begin("r", number, "10.0.0.1", is_tls=False)
        told.clients.append(self)

    def leave(self):
        self.presence.end()
        self.presence = None
        self._told.clients.remove(self)


class Told:
    def __init__(self, **rules):
        self.changes = 0
        self.clients = []
        self.counters = Counters()
        rules = TallyRules(**rules)
        self.tally = Tally(rules, self.counters, self.changed, "me", self.clients)
        self.tally.tick(0.0)

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
    told.tally.routes["r"].counts().sent += 1
    told.tally.routes["r"].counts().sent += 1
    assert told.changes == 1
    assert told.tally.take().traffic["r"].sent == 2
    told.tally.changed()
    assert told.changes == 2
    assert told.tally.take().traffic == {}


def test_a_visit_is_told_at_its_begin_now_and_then_and_at_its_end():
    told = Told(refresh_seconds=90.0)
    client = Client(told)
    taken = told.tally.take()
    assert taken.visited == [Visited(VISIT, ended=False)]
    assert taken.connections == {"r": (1, 1)}
    traffic = taken.traffic["r"]
    assert (traffic.requests, traffic.activity, traffic.minutes) == (1, 1, 1)
    told.tally.tick(89.0)
    assert told.tally.take().visited == []
    told.tally.tick(90.0)
    assert told.changes == 3
    assert told.tally.take().visited == [Visited(VISIT, ended=False)]
    told.tally.tick(179.0)
    assert told.tally.take().visited == []
    client.leave()
    taken = told.tally.take()
    assert taken.visited == [Visited(VISIT, ended=True)]
    assert taken.connections == {"r": (0, 1)}
    told.tally.tick(1000.0)
    assert told.tally.take().visited == []


def test_who_has_gone_before_it_is_told_is_told_all_the_same():
    told = Told(refresh_seconds=90.0)
    for number in (1, 2):
        Client(told, number).leave()
    visited = [(one.visit.id, one.ended) for one in told.tally.take().visited]
    assert visited == [("me:1", False), ("me:1", True), ("me:2", False), ("me:2", True)]


@pytest.mark.parametrize("rules", [{}, {"refresh_seconds": 90.0}])
def test_visits_may_be_counted_and_not_told(rules):
    told = Told(**rules)
    told.tally.tell_visits(is_wanted=not rules)
    client = Client(told)
    told.tally.tick(1000.0)
    client.leave()
    taken = told.tally.take()
    assert taken.visited == []
    assert taken.connections == {"r": (0, 1)}


def test_who_listens_later_is_told_of_those_who_stay_and_of_those_who_come():
    told = Told(refresh_seconds=90.0)
    told.tally.tell_visits(is_wanted=False)
    Client(told, 1)
    told.tally.tell_visits(is_wanted=True)
    Client(told, 2)
    assert [one.visit.id for one in told.tally.take().visited] == ["me:2"]
    told.tally.tick(90.0)
    assert [one.visit.id for one in told.tally.take().visited] == ["me:1", "me:2"]


def test_begun_minutes_count_and_traffic_on_a_websocket_is_activity():
    told = Told()
    client = Client(told)
    client.presence.has_traffic = True
    told.tally.tick(60.0)  # it may have come just before the first second was over
    assert told.tally.take().traffic["r"].minutes == 1
    told.tally.tick(61.0)
    traffic = told.tally.take().traffic["r"]
    assert (traffic.minutes, traffic.activity) == (1, 1)
    told.tally.tick(120.9)
    assert told.tally.take().traffic == {}
    told.tally.tick(121.0)
    traffic = told.tally.take().traffic["r"]
    assert (traffic.minutes, traffic.activity) == (1, 0)


def test_no_minute_counts_of_somebody_who_came_before_the_time_was_known():
    told = Told()
    told.tally = Tally(TallyRules(90.0), told.counters, told.changed, "me", told.clients)
    Client(told)
    told.tally.tick(147_000.0)
    taken = told.tally.take()
    assert (taken.traffic["r"].minutes, len(taken.visited)) == (1, 1)


def test_a_connection_on_which_nobody_is_counts_nothing():
    told = Told(refresh_seconds=1.0)
    Client(told).presence = None
    told.tally.take()
    told.tally.tick(1000.0)
    assert told.tally.take().traffic == {}


def test_the_most_connections_at_once_are_kept_in_mind():
    told = Told()
    clients = [Client(told) for _ in range(3)]
    clients[0].leave()
    clients[1].leave()
    assert told.tally.take().connections == {"r": (1, 3)}
    another = Client(told)
    clients[2].leave()
    another.leave()
    assert told.tally.take().connections == {"r": (0, 2)}


def test_a_client_comes_with_the_fields_of_its_request():
    told = Told()
    told.tally.begin("r", 1, "10.0.0.1", is_tls=False, header_bytes=7)
    assert told.tally.take().traffic["r"].client_header_bytes_received == 7


def test_who_ends_while_it_is_held_is_held_no_longer():
    told = Told()
    client = Client(told)
    client.presence.hold("stream")
    client.leave()
    assert told.tally.take().held == [Held("r", "stream", 0)]


def test_holds_are_told_by_route():
    told = Told()
    Client(told).presence.hold("response")
    assert told.tally.take().held == [Held("r", "response", 1)]


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
    assert told.tally.take().counters == {"items_lost": 2}
    told.counters.items_lost += 1
    told.counters.requests += 3
    assert told.tally.take().counters == {"items_lost": 1, "requests": 3}
    assert told.tally.take().counters == {}
