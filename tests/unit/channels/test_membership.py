import pytest

from realtime_proxy.channels.membership import HubChannels, WorkerChannels


class Waiter:
    woken = False

    def wake(self):
        self.woken = True


class Ends:
    """A worker's end, with what it says and who is subscribed."""

    def __init__(self):
        self.said = []
        self.subscribed = set()
        self.channels = WorkerChannels(
            ask=lambda channel: self.said.append(("ask", channel)),
            release=lambda channel: self.said.append(("release", channel)),
            wake=Waiter.wake,
            has_subscribers=lambda channel: channel in self.subscribed,
        )

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
    hub.release(1, "a")
    assert list(hub.holders("a")) == []
    assert hub.hold(2, "a")


def test_releasing_what_is_not_held_changes_nothing():
    hub = HubChannels()
    hub.hold(1, "a")
    hub.release(2, "a")
    hub.release(1, "b")
    assert set(hub.holders("a")) == {1}


def test_a_worker_that_is_gone_holds_nothing():
    hub = HubChannels()
    hub.hold(1, "a")
    hub.hold(2, "a")
    hub.hold(1, "b")
    hub.forget(1)
    assert set(hub.holders("a")) == {2}
    assert list(hub.holders("b")) == []


# -- a worker's end ------------------------------------------------------------------------------


def test_a_channel_is_asked_for_once_and_all_who_wait_are_woken(worker):
    first, second = worker.pin("a"), worker.pin("a")
    assert worker.said == [("ask", "a")]
    assert worker.channels.names() == ["a"]
    worker.channels.granted("a")
    assert first.woken
    assert second.woken


def test_a_channel_that_is_held_needs_no_waiting(worker):
    worker.pin("a")
    worker.channels.granted("a")
    assert worker.pin("a") is None


def test_a_channel_with_subscribers_stays(worker):
    worker.pin("a")
    worker.channels.granted("a")
    worker.subscribed.add("a")
    worker.channels.unpin("a")
    assert worker.said == [("ask", "a")]
    assert worker.pin("a") is None


def test_a_channel_is_released_with_its_last_subscriber(worker):
    worker.pin("a")
    worker.channels.granted("a")
    worker.subscribed.add("a")
    worker.channels.unpin("a")
    worker.subscribed.clear()
    worker.channels.deserted("a")
    assert worker.said == [("ask", "a"), ("release", "a")]
    assert worker.channels.names() == []


def test_a_channel_about_to_be_used_survives_its_last_subscriber(worker):
    worker.pin("a")
    worker.channels.granted("a")
    worker.channels.deserted("a")
    assert worker.said == [("ask", "a")]
    worker.channels.unpin("a")
    assert worker.said == [("ask", "a"), ("release", "a")]


def test_who_gives_up_waiting_lets_the_request_run(worker):
    worker.pin("a")
    worker.channels.unpin("a")
    assert worker.said == [("ask", "a")]
    worker.channels.granted("a")
    assert worker.said == [("ask", "a"), ("release", "a")]


def test_who_comes_while_an_abandoned_request_runs_gets_its_answer(worker):
    worker.pin("a")
    worker.channels.unpin("a")
    later = worker.pin("a")
    worker.channels.granted("a")
    assert later.woken
    assert worker.said == [("ask", "a")]


def test_a_channel_that_was_released_is_asked_for_again(worker):
    worker.pin("a")
    worker.channels.granted("a")
    worker.channels.unpin("a")
    assert worker.pin("a") is not None
    assert worker.said == [("ask", "a"), ("release", "a"), ("ask", "a")]


def test_answers_nobody_waits_for_change_nothing(worker):
    worker.channels.granted("a")
    worker.channels.deserted("a")
    worker.pin("a")
    worker.channels.granted("a")
    worker.channels.granted("a")
    assert worker.said == [("ask", "a")]
