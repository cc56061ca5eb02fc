import select

import pytest
import structlog
import trio
import trio.testing

from realtime_proxy.net import watcher as watcher_module
from realtime_proxy.net.watcher import EDGE, HUNG_UP, READ, WRITE

SECONDS = 10


class Guest:
    """Notes its events; may do something at each."""

    def __init__(self, then=lambda: None):
        self.events = []
        self.came = trio.Event()
        self._then = then

    def ready(self, events):
        self.events.append(events)
        self.came.set()
        self._then()


@pytest.fixture
def guest(pair, watcher):
    """Makes a guest that is watched, its socket, and the other end."""

    def make(events, then=lambda: None):
        ours, theirs = pair()
        watched = Guest(then)
        watcher.add(ours.fileno(), watched, events)
        return watched, ours, theirs

    return make


async def test_input_calls_the_one_that_has_it(guest):
    called, _, peer = guest(READ | EDGE)
    other, _, _ = guest(READ)
    with trio.fail_after(SECONDS):
        peer.send(b"x")
        await called.came.wait()
        await trio.testing.wait_all_tasks_blocked()
    assert len(called.events) == 1
    assert called.events[0] & READ
    assert not called.events[0] & HUNG_UP
    assert not other.events


async def test_room_to_write_and_the_end_are_told_apart(guest):
    writer, _, _ = guest(WRITE | EDGE)
    ender, _, peer = guest(EDGE | select.EPOLLRDHUP)
    with trio.fail_after(SECONDS):
        await writer.came.wait()
        peer.send(b"x")
        await trio.testing.wait_all_tasks_blocked()
        assert not ender.events
        peer.close()
        await ender.came.wait()
    assert writer.events == [WRITE]
    assert ender.events[0] & HUNG_UP


async def test_what_is_watched_for_can_be_changed(guest, watcher):
    watched, raw, peer = guest(select.EPOLLRDHUP)
    peer.send(b"x")
    with trio.fail_after(SECONDS):
        await trio.testing.wait_all_tasks_blocked()
        assert not watched.events
        watcher.change(raw.fileno(), READ | EDGE)
        await watched.came.wait()


async def test_the_forgotten_are_not_called(guest, watcher):
    watched, raw, peer = guest(READ)
    assert len(watcher) == 1
    watcher.forget(raw.fileno())
    watcher.forget(raw.fileno())
    assert len(watcher) == 0
    peer.send(b"x")
    with trio.fail_after(SECONDS):
        await trio.testing.wait_all_tasks_blocked()
    assert not watched.events


async def test_one_who_is_forgotten_by_another_in_the_same_turn_is_not_called(guest, watcher):
    """Its descriptor may be closed by then, or have a new owner."""
    sockets = []

    def forget_all():
        for raw in sockets:
            watcher.forget(raw.fileno())

    one, first, first_peer = guest(READ, forget_all)
    two, second, second_peer = guest(READ, forget_all)
    sockets += [first, second]
    first_peer.send(b"x")
    second_peer.send(b"x")
    with trio.fail_after(SECONDS):
        await trio.testing.wait_all_tasks_blocked()
    assert len(one.events) + len(two.events) == 1


async def test_a_descriptor_that_is_used_again_is_a_new_guest(guest, watcher, pair):
    old, raw, _ = guest(READ)
    descriptor = raw.fileno()
    watcher.forget(descriptor)
    raw.close()
    ours, peer = pair()
    assert ours.fileno() == descriptor
    new = Guest()
    watcher.add(descriptor, new, READ | EDGE)
    with trio.fail_after(SECONDS):
        peer.send(b"x")
        await new.came.wait()
    assert not old.events


async def test_one_that_fails_ends_the_watching_of_nobody(guest):
    def fail():
        raise ZeroDivisionError

    failing, _, failing_peer = guest(READ | EDGE, fail)
    other, _, other_peer = guest(READ | EDGE)
    with structlog.testing.capture_logs() as logs, trio.fail_after(SECONDS):
        failing_peer.send(b"x")
        await failing.came.wait()
        other_peer.send(b"x")
        await other.came.wait()
    assert [entry["log_level"] for entry in logs] == ["error"]


async def test_many_at_once_are_all_called(guest):
    made = [guest(READ | EDGE) for _ in range(300)]
    with trio.fail_after(SECONDS):
        for _, _, peer in made:
            peer.send(b"x")
        for watched, _, _ in made:
            await watched.came.wait()
    assert {len(watched.events) for watched, _, _ in made} == {1}


async def test_who_is_watched_is_gone_through_in_order(guest, watcher):
    guests = {ours.fileno(): watched for watched, ours, _ in (guest(READ) for _ in range(4))}
    numbers = sorted(guests)
    found = list(watcher.watched())
    assert found == [(number, guests[number]) for number in numbers]
    assert [number for number, _ in watcher.watched(numbers[1])] == numbers[2:]
    assert list(watcher.watched(numbers[3])) == []


async def test_who_leaves_meanwhile_is_left_out(guest, watcher):
    sockets = [guest(READ)[1] for _ in range(3)]
    numbers = sorted(one.fileno() for one in sockets)
    found = watcher.watched()
    assert next(found)[0] == numbers[0]
    watcher.forget(numbers[1])
    assert [number for number, _ in found] == [numbers[2]]


async def test_whether_all_was_told_is_known(guest, watcher, monkeypatch):
    """Not when so much happens at once that there may be more, nor when the look was long ago."""
    time = 100.0
    monkeypatch.setattr(watcher_module.time, "monotonic", lambda: time)
    assert not watcher.is_up_to_date
    watched = [guest(READ | EDGE) for _ in range(2)]
    watched[0][2].send(b"x")
    with trio.fail_after(SECONDS):
        await watched[0][0].came.wait()
        assert watcher.is_up_to_date
        time += 1
        assert not watcher.is_up_to_date
        monkeypatch.setattr(watcher_module, "_MAX_EVENTS", 1)
        watched[1][2].send(b"x")
        await watched[1][0].came.wait()
    assert not watcher.is_up_to_date
