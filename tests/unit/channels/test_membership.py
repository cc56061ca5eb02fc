import pytest

from realtime_proxy.channels import membership
from realtime_proxy.channels.membership import Grant, HubChannels, WorkerChannels
from realtime_proxy.model.item import Item


class Waiter:
    woken = False

    def wake(self):
        self.woken = True


class Ends:
    """A worker's end, with what it says and who is subscribed."""

    def __init__(self, grant=None, linger_seconds=0):
        self.said = []
        self.subscribed = set()
        self.grant = grant
        self.channels = WorkerChannels(
            self, Waiter.wake, lambda channel: channel in self.subscribed, linger_seconds
        )

    def hold(self, channel):
        self.said.append(("ask", channel))
        return self.grant

    def release(self, channel):
        self.said.append(("release", channel))

    def contradicted(self, channel, last_id):
        self.said.append(("contradicted", channel, last_id))

    def pin(self, channel):
        return self.channels.pin(channel, Waiter)


@pytest.fixture
def worker():
    return Ends()


# -- the hub's end -------------------------------------------------------------------------------


def test_items_go_to_those_who_hold_the_channel():
    hub = HubChannels()
    assert list(hub.holders("a")) == []
    assert hub.hold(1, "a")
    assert not hub.hold(2, "a")
    assert hub.hold(2, "b")
    assert set(hub.holders("a")) == {1, 2}
    assert set(hub.holders("b")) == {2}


def test_the_first_to_hold_a_channel_again_is_first_again():
    hub = HubChannels()
    hub.hold(1, "a")
    assert hub.is_held("a")
    assert hub.release(1, "a")
    assert not hub.is_held("a")
    assert list(hub.holders("a")) == []
    assert hub.hold(2, "a")
    hub.hold(1, "a")
    assert not hub.release(2, "a")


def test_releasing_what_is_not_held_changes_nothing():
    hub = HubChannels()
    hub.hold(1, "a")
    assert not hub.release(2, "a")
    assert not hub.release(1, "b")
    assert set(hub.holders("a")) == {1}


def test_a_worker_that_is_gone_holds_nothing():
    hub = HubChannels()
    hub.hold(1, "a")
    hub.hold(2, "a")
    hub.hold(1, "b")
    assert hub.forget(1) == ["b"]
    assert set(hub.holders("a")) == {2}
    assert list(hub.holders("b")) == []


# -- a worker's end ------------------------------------------------------------------------------


def test_a_channel_is_asked_for_once_and_all_who_wait_are_woken(worker):
    first, second = worker.pin("a"), worker.pin("a")
    assert worker.said == [("ask", "a")]
    assert worker.channels.names() == ["a"]
    worker.channels.granted("a", Grant())
    assert first.woken
    assert second.woken


def test_a_channel_that_is_held_needs_no_waiting(worker):
    worker.pin("a")
    worker.channels.granted("a", Grant())
    assert worker.pin("a") is None


def test_who_subscribes_at_once_needs_no_pin_where_all_is_granted(worker):
    assert worker.channels.have([])
    worker.pin("a")
    assert not worker.channels.have(["a"])
    worker.channels.granted("a", Grant())
    assert worker.channels.have(["a"])
    assert not worker.channels.have(["a", "b"])
    worker.channels.unpin("a")
    assert not worker.channels.have(["a"])


def test_a_channel_with_subscribers_stays(worker):
    worker.pin("a")
    worker.channels.granted("a", Grant())
    worker.subscribed.add("a")
    worker.channels.unpin("a")
    assert worker.said == [("ask", "a")]
    assert worker.pin("a") is None


def test_a_channel_is_released_with_its_last_subscriber(worker):
    worker.pin("a")
    worker.channels.granted("a", Grant())
    worker.subscribed.add("a")
    worker.channels.unpin("a")
    worker.subscribed.clear()
    worker.channels.deserted("a")
    assert worker.said == [("ask", "a"), ("release", "a")]
    assert worker.channels.names() == []


def test_a_channel_about_to_be_used_survives_its_last_subscriber(worker):
    worker.pin("a")
    worker.channels.granted("a", Grant())
    worker.channels.deserted("a")
    assert worker.said == [("ask", "a")]
    worker.channels.unpin("a")
    assert worker.said == [("ask", "a"), ("release", "a")]


def test_who_gives_up_waiting_lets_the_request_run(worker):
    worker.pin("a")
    worker.channels.unpin("a")
    assert worker.said == [("ask", "a")]
    worker.channels.granted("a", Grant())
    assert worker.said == [("ask", "a"), ("release", "a")]


def test_who_comes_while_an_abandoned_request_runs_gets_its_answer(worker):
    worker.pin("a")
    worker.channels.unpin("a")
    later = worker.pin("a")
    worker.channels.granted("a", Grant())
    assert later.woken
    assert worker.said == [("ask", "a")]


def test_a_channel_that_was_released_is_asked_for_again(worker):
    worker.pin("a")
    worker.channels.granted("a", Grant())
    worker.channels.unpin("a")
    assert worker.pin("a") is not None
    assert worker.said == [("ask", "a"), ("release", "a"), ("ask", "a")]


def test_answers_nobody_waits_for_change_nothing(worker):
    worker.channels.granted("a", Grant())
    worker.channels.deserted("a")
    worker.pin("a")
    worker.channels.granted("a", Grant())
    worker.channels.granted("a", Grant())
    assert worker.said == [("ask", "a")]


def test_where_the_owner_answers_at_once_nobody_waits():
    worker = Ends(Grant("5"))
    assert worker.pin("a") is None
    assert worker.channels.last_id("a") == "5"
    worker.channels.unpin("a")
    assert worker.said == [("ask", "a"), ("release", "a")]


# -- lingering -----------------------------------------------------------------------------------


def held(worker, channel):
    worker.pin(channel)
    worker.channels.granted(channel, Grant())
    worker.subscribed.add(channel)
    worker.channels.unpin(channel)


def leave(worker, channel, now):
    worker.subscribed.discard(channel)
    worker.channels.poll_left(channel)
    worker.channels.deserted(channel)
    worker.channels.expire(now)


def test_a_channel_that_a_poll_has_left_stays_for_a_while():
    worker = Ends(linger_seconds=60)
    held(worker, "a")
    leave(worker, "a", 100.0)
    worker.channels.expire(159.9)
    assert worker.channels.holds("a")
    assert worker.pin("a") is None
    worker.channels.unpin("a")
    assert worker.channels.holds("a")
    worker.channels.expire(160.0)
    assert worker.said == [("ask", "a"), ("release", "a")]


def test_lingering_counts_from_the_last_poll_that_left():
    worker = Ends(linger_seconds=60)
    held(worker, "a")
    held(worker, "b")
    leave(worker, "a", 100.0)
    leave(worker, "b", 110.0)
    leave(worker, "a", 120.0)
    worker.channels.expire(175.0)
    assert worker.channels.names() == ["a"]
    worker.channels.expire(180.0)
    assert worker.channels.names() == []


def test_a_channel_with_subscribers_survives_the_end_of_lingering():
    worker = Ends(linger_seconds=60)
    held(worker, "a")
    worker.channels.poll_left("a")
    worker.channels.expire(100.0)
    worker.channels.expire(200.0)
    assert worker.channels.holds("a")
    worker.subscribed.clear()
    worker.channels.deserted("a")
    assert not worker.channels.holds("a")


def test_only_so_many_channels_linger(monkeypatch):
    monkeypatch.setattr(membership, "MAX_LINGERING", 2)
    worker = Ends(linger_seconds=60)
    for channel in "abc":
        held(worker, channel)
        leave(worker, channel, 100.0)
    assert worker.channels.names() == ["b", "c"]


# -- last ids ------------------------------------------------------------------------------------


def test_the_last_id_is_that_of_the_grant_and_then_of_each_item(worker):
    assert worker.channels.last_id("a") is None
    worker.pin("a")
    assert worker.channels.last_id("a") is None
    worker.channels.granted("a", Grant("5"))
    assert worker.channels.last_id("a") == "5"
    worker.channels.decided(Item("a", id="6"))
    assert worker.channels.last_id("a") == "6"
    worker.channels.decided(Item("a", id="x", no_seq=True))
    worker.channels.decided(Item("b", id="7"))
    assert worker.channels.last_id("a") == "6"
    worker.channels.decided(Item("a"))
    assert worker.channels.last_id("a") is None


def test_a_position_that_differs_contradicts_what_is_known():
    worker = Ends(Grant("5"))
    worker.pin("a")
    assert not worker.channels.contradicts("a", "5")
    assert not worker.channels.contradicts("a", None)
    assert not worker.channels.contradicts("b", "4")
    for _ in range(2):  # of two whose backends were asked before, neither is right
        assert worker.channels.contradicts("a", "")
        assert worker.channels.contradicts("a", "4", known_when_asked="4")
    assert worker.channels.last_id("a") == "5"


def test_whoever_was_asked_since_is_believed():
    worker = Ends(Grant("5"))
    worker.pin("a")
    assert not worker.channels.contradicts("a", "5", known_when_asked="5")
    assert worker.said == [("ask", "a")]
    assert not worker.channels.contradicts("a", "4", known_when_asked="5")
    assert worker.said == [("ask", "a"), ("contradicted", "a", "5")]
    assert worker.channels.last_id("a") is None


def test_all_last_ids_can_be_forgotten_without_a_word():
    worker = Ends(Grant("5"))
    worker.pin("a")
    worker.channels.forget_last_ids()
    assert worker.channels.last_id("a") is None
    assert worker.said == [("ask", "a")]
