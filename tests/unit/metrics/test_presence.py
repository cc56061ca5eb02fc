import pytest

from realtime_proxy.metrics.counters import Counters
from realtime_proxy.metrics.tallied import Held, Visit
from realtime_proxy.metrics.tally import Tally, TallyRules


class Told:
    def __init__(self):
        self.changes = 0
        self.tally = Tally(TallyRules(), Counters(), self.changed)

    def changed(self):
        self.changes += 1


@pytest.mark.parametrize(
    ("name", "visit"),
    [
        (7, Visit("me:7", "r", "http", "::1", tls=True)),
        (b"some-id", Visit("some-id", "r", "ws", "::1", tls=True)),
    ],
)
def test_how_a_client_is_told(name, visit):
    assert Told().tally.begin("r", name, "::1", is_tls=True).visit("me") == visit


def test_holds_end_with_their_client_or_before():
    told = Told()
    presence = told.tally.begin("r", 1, "", is_tls=False)
    presence.hold("response")
    presence.hold("response")
    assert told.tally.take().held == [Held("r", "response", 1)]
    presence.release()
    presence.release()
    assert told.changes == 2
    assert told.tally.take().held == [Held("r", "response", 0)]
    presence.hold("stream")
    presence.end()
    assert told.changes == 3
    taken = told.tally.take()
    assert all(held.connections == 0 for held in taken.held)
    assert taken.connections == {"r": (0, 1)}
