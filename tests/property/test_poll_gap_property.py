"""Between a backend's answer and the subscription no item is lost, whatever happens in between.

Backend, publisher, hub, links, workers and long-polls act one step at a time, in any order. The
rules of all of them are the real ones; a poll does what `ResponseHold` and `RepeatedExchange` do.
"""

from collections import deque

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from realtime_proxy.channels.fanout import Update, ask_for_updates, fan_out
from realtime_proxy.channels.membership import Grant, HubChannels, WorkerChannels
from realtime_proxy.channels.ordering import Ordering
from realtime_proxy.channels.recent_ids import RecentIds
from realtime_proxy.channels.registry import Registry
from realtime_proxy.channels.sequencer import Sequencer
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.item import HttpResponse, Item
from realtime_proxy.wire.encodings import WireForm

WORKERS = range(2)
CHANNEL = "a"
# Few: the next item would tell those who have missed one before it.
MAX_STORED = 3
MAX_POLLS = 3
NOTHING = HttpResponse()

workers = st.sampled_from(WORKERS)
places = st.integers(0, 99)


class Waiter:
    woken = False

    def wake(self):
        self.woken = True


@attrs.define(eq=False)
class Poll:
    """One client: what it has, and how far its request is."""

    worker: "Worker"
    has: int
    stage: str = "asked"  # then answered, opening, held, asked again, done
    answer: int | None = None  # the last item that the backend knew
    known: str | None = None  # the last id, when it was asked
    is_stale: bool = False
    is_wrong: bool = False
    waiter: Waiter | None = None
    place: object = None
    form = WireForm.RESPONSE
    personal = writer = None  # items are handed over

    def scope_on(self, _channel):
        return None

    def item_arrived(self, item):
        if self.place is not None:
            self.is_wrong = int(item.id) != self.has + 1  # raised here, it would only be logged
            self.finish(int(item.id))

    def fell_behind(self, item):
        self.ask_again()

    def update(self):
        self.ask_again()

    def ask_again(self):
        if self.stage == "held":
            self.stage = "wants to ask"
        elif self.stage in ("asked again", "answered again", "opening again"):
            self.is_stale = True

    def finish(self, has):
        """The client has its one answer."""
        if self.stage.startswith("opening"):
            self.worker.channels.unpin(CHANNEL)
        self.leave()
        self.has, self.stage = has, "done"

    def leave(self):
        if self.place is not None:
            self.worker.registry.unsubscribe(self.place)
            self.place = None


class Worker:
    """One life of a worker process, and the two directions of its link."""

    def __init__(self):
        self.up, self.down = deque(), deque()
        self.registry = Registry()
        self.channels = WorkerChannels(self, Waiter.wake, self.registry.has_subscribers)
        self.registry.on_deserted = self.channels.deserted
        self.line = deque()  # what the intake has: items, grants, updates
        self.round = None
        self.at_rest = []

    def hold(self, channel):
        self.up.append(("hold",))

    def release(self, channel):
        self.up.append(("release",))

    def contradicted(self, channel, last_id):
        self.up.append(("contradicted", last_id))

    def between_rounds(self, step):
        if self.round is None:
            step()
        else:
            self.at_rest.append(step)

    def go_on(self):
        """One slice of a round, or the next thing in line."""
        if self.round is None:
            kind, *content = self.line.popleft()
            if kind == "items":
                self.round = fan_out(self.registry, content[0], 0.0, self.channels.decided)
            elif kind == "update":
                self.round = ask_for_updates(self.registry, [Update(CHANNEL)])
            else:
                self.channels.granted(CHANNEL, Grant(content[0]))
                return
        if next(self.round, self) is self:
            self.round = None
            steps, self.at_rest = self.at_rest, []
            for step in steps:
                step()


class Polling(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.stored = 0
        self.unpublished = []
        self.published = 0  # the last one
        self.hub = HubChannels()
        self.ordering = Ordering(
            RecentIds(60.0), Sequencer(5.0), Counters(), lambda _channel: self.hub.is_held(CHANNEL)
        )
        self.first_update_waits_for = None
        self.workers = [Worker() for _ in WORKERS]
        self.polls = []

    # -- the backend and its publisher -----------------------------------------------------

    @precondition(lambda self: self.stored < MAX_STORED)
    @rule()
    def store(self):
        self.stored += 1
        self.unpublished.append(self.stored)

    @precondition(lambda self: self.unpublished)
    @rule(place=places)
    def publish(self, place):
        """Mostly in order."""
        place = place % len(self.unpublished) if place > 80 else 0
        number = self.unpublished.pop(place)
        self.published = max(self.published, number)
        prev = str(number - 1) if number > 1 else None
        item = Item(CHANNEL, id=str(number), prev_id=prev, http_response=NOTHING)
        self.send(self.ordering.admit([item], 0.0))

    @precondition(lambda self: len(self.unpublished) > 1)
    @rule(place=places)
    def lose(self, place):
        """A publisher fails. Of the next item everybody learns that one is missing."""
        del self.unpublished[place % (len(self.unpublished) - 1)]

    @precondition(lambda self: self.stored)
    @rule(place=places)
    def publish_again(self, place):
        number = place % self.stored + 1
        if number not in self.unpublished:
            self.published = max(self.published, number)
            self.send(self.ordering.admit([Item(CHANNEL, id=str(number))], 0.0))

    @rule()
    def wait_long(self):
        self.send(self.ordering.due(9.0))

    def send(self, items):
        if items:
            for worker in self.hub.holders(CHANNEL):
                self.workers[worker].down.append(("items", list(items)))

    # -- clients ---------------------------------------------------------------------------

    @precondition(lambda self: len(self.polls) < MAX_POLLS)
    @rule(worker=workers)
    def come(self, worker):
        self.polls.append(Poll(self.workers[worker], 0))

    def of_stage(self, *stages):
        return [poll for poll in self.polls if poll.stage in stages]

    @precondition(lambda self: self.of_stage("asked", "asked again"))
    @rule(place=places)
    def answer(self, place):
        """The backend says what it has: everything that is new, or to hold."""
        asked = self.of_stage("asked", "asked again")
        poll = asked[place % len(asked)]
        poll.answer = self.stored
        poll.stage = "answered" + poll.stage.removeprefix("asked")

    @precondition(lambda self: self.of_stage("answered", "answered again"))
    @rule(place=places)
    def follow(self, place):
        """The answer arrives: it goes to the client, or the channel is asked for."""
        answered = self.of_stage("answered", "answered again")
        poll = answered[place % len(answered)]
        if poll.answer > poll.has:
            poll.finish(poll.answer)
        else:
            poll.waiter = poll.worker.channels.pin(CHANNEL, Waiter)
            poll.stage = "opening" + poll.stage.removeprefix("answered")

    def opening(self):
        return [
            poll
            for poll in self.of_stage("opening", "opening again")
            if poll.waiter is None or poll.waiter.woken
        ]

    @precondition(lambda self: self.opening())
    @rule(place=places)
    def subscribe(self, place):
        ready = self.opening()
        poll = ready[place % len(ready)]
        poll.worker.between_rounds(lambda: self.begin(poll))

    def begin(self, poll):
        if not poll.stage.startswith("opening"):
            return  # an item has answered meanwhile
        poll.leave()
        channels = poll.worker.channels
        position = str(poll.has) if poll.has else ""
        poll.place = poll.worker.registry.subscribe(CHANNEL, poll, position=position)
        channels.unpin(CHANNEL)
        known = None if poll.stage == "opening" else poll.known
        poll.stage, was_stale, poll.is_stale = "held", poll.is_stale, False
        if channels.contradicts(CHANNEL, position, known) or was_stale:
            poll.ask_again()

    @precondition(lambda self: self.of_stage("wants to ask"))
    @rule(place=places)
    def ask(self, place):
        wanting = self.of_stage("wants to ask")
        poll = wanting[place % len(wanting)]
        poll.known = poll.worker.channels.last_id(CHANNEL)
        poll.stage = "asked again"

    @precondition(lambda self: self.of_stage("done"))
    @rule(place=places, worker=workers)
    def come_back(self, place, worker):
        done = self.of_stage("done")
        poll = done[place % len(done)]
        self.polls.remove(poll)
        self.polls.append(Poll(self.workers[worker], poll.has))

    @rule(worker=workers)
    def die(self, worker):
        """With its process go a worker's state and its link; clients connect again."""
        gone, self.workers[worker] = self.workers[worker], Worker()
        if self.hub.forget(worker):
            self.end()
        for poll in [poll for poll in self.polls if poll.worker is gone]:
            self.polls.remove(poll)
            self.polls.append(Poll(self.workers[1 - worker], poll.has))

    # -- links -----------------------------------------------------------------------------

    @precondition(lambda self: any(worker.up for worker in self.workers))
    @rule(place=places)
    def hear(self, place):
        """The hub takes one message of a worker."""
        speaking = [number for number in WORKERS if self.workers[number].up]
        number = speaking[place % len(speaking)]
        kind, *content = self.workers[number].up.popleft()
        if kind == "hold":
            if self.hub.hold(number, CHANNEL):
                # Those whose backends have answered are there before a second has passed.
                self.first_update_waits_for = self.of_stage(
                    "answered", "answered again", "opening", "opening again"
                )
            self.workers[number].down.append(("granted", self.ordering.last_id(CHANNEL)))
        elif kind == "release":
            if self.hub.release(number, CHANNEL):
                self.end()
        else:
            self.ordering.contradicted(CHANNEL, *content)

    def end(self):
        self.first_update_waits_for = None
        self.ordering.deserted(CHANNEL)

    def first_update_is_due(self):
        return self.first_update_waits_for is not None and not any(
            poll.stage.startswith(("answered", "opening")) and poll in self.polls
            for poll in self.first_update_waits_for
        )

    @precondition(first_update_is_due)
    @rule()
    def update_first(self):
        """A second after the first subscriber."""
        self.first_update_waits_for = None
        for worker in self.hub.holders(CHANNEL):
            self.workers[worker].down.append(("update",))

    @precondition(lambda self: any(worker.down for worker in self.workers))
    @rule(place=places)
    def tell(self, place):
        told = [worker for worker in self.workers if worker.down]
        worker = told[place % len(told)]
        worker.line.append(worker.down.popleft())

    def working(self):
        return [worker for worker in self.workers if worker.line or worker.round is not None]

    @precondition(working)
    @rule(place=places)
    def deliver(self, place):
        working = self.working()
        working[place % len(working)].go_on()

    # -- what must be true -----------------------------------------------------------------

    @invariant()
    def nobody_has_what_does_not_follow(self):
        assert not any(poll.is_wrong for poll in self.polls)

    def teardown(self):
        """Once everything has come to rest, nobody misses anything, and all wait for more."""
        while self.unpublished:
            self.publish(0)
        steps = (
            (self.hear, lambda: any(worker.up for worker in self.workers)),
            (self.tell, lambda: any(worker.down for worker in self.workers)),
            (self.deliver, self.working),
            (self.answer, lambda: self.of_stage("asked", "asked again")),
            (self.follow, lambda: self.of_stage("answered", "answered again")),
            (self.subscribe, self.opening),
            (self.ask, lambda: self.of_stage("wants to ask")),
        )
        for count in range(10_000):
            if acts := [act for act, is_possible in steps if is_possible()]:
                acts[count % len(acts)](0)
            elif self.ordering.has_waiting:
                self.wait_long()
            elif self.first_update_is_due():
                self.update_first()
            elif self.of_stage("done"):
                self.come_back(0, count % 2)
            else:
                break
            self.nobody_has_what_does_not_follow()
        else:
            raise AssertionError("it never comes to rest")
        assert {poll.stage for poll in self.polls} <= {"held"}
        assert all(poll.has >= self.published for poll in self.polls)


TestPolling = Polling.TestCase
TestPolling.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


# -- every order of a few steps ------------------------------------------------------------------

STEPS = {
    "come": lambda model: model.come(0),
    "store": lambda model: model.store(),
    "publish": lambda model: model.publish(0),
    "lose": lambda model: model.lose(0),
    "answer": lambda model: model.answer(0),
    "answer another": lambda model: model.answer(1),
    "follow": lambda model: model.follow(0),
    "follow another": lambda model: model.follow(1),
    "subscribe": lambda model: model.subscribe(0),
    "ask": lambda model: model.ask(0),
    "come back": lambda model: model.come_back(0, 0),
    "hear": lambda model: model.hear(0),
    "tell": lambda model: model.tell(0),
    "deliver": lambda model: model.deliver(0),
    "update first": lambda model: model.update_first(),
}
# From nothing, and with one that is held and two whose answers are on their way.
HELD = ("come", "answer", "follow", "hear", "tell", "deliver", "subscribe")
BEGINNINGS = (((), 13), ((*HELD, "come", "answer", "come", "answer"), 9))


def after(path):
    model = Polling()
    for step in path:
        STEPS[step](model)
    return model


def next_steps(model):
    worker = model.workers[0]
    is_possible = {
        "come": len(model.polls) < 2,
        "store": model.stored < 2,
        "publish": model.unpublished,
        "lose": len(model.unpublished) > 1,
        "answer": model.of_stage("asked", "asked again"),
        "answer another": len(model.of_stage("asked", "asked again")) > 1,
        "follow": model.of_stage("answered", "answered again"),
        "follow another": len(model.of_stage("answered", "answered again")) > 1,
        "subscribe": model.opening(),
        "ask": model.of_stage("wants to ask"),
        "come back": model.of_stage("done"),
        "hear": worker.up,
        "tell": worker.down,
        "deliver": model.working(),
        "update first": model.first_update_is_due(),
    }
    return [step for step in STEPS if is_possible[step]]


def state(model):
    """What the future depends on."""
    worker = model.workers[0]
    held = worker.channels._held.get(CHANNEL)
    return (
        model.stored,
        tuple(model.unpublished),
        model.published,
        model.hub.is_held(CHANNEL),
        model.ordering.last_id(CHANNEL),
        model.first_update_is_due(),
        model.first_update_waits_for is not None,
        repr((worker.up, worker.down, worker.line)),
        held and (held.granted, held.last_id, held.pins),
        worker.round is None,
        tuple(
            (poll.has, poll.stage, poll.answer, poll.known, poll.is_stale, poll.place is not None)
            for poll in model.polls
        ),
    )


@pytest.mark.parametrize(("beginning", "count"), BEGINNINGS)
def test_every_order_of_a_few_steps(beginning, count):
    """What chance rarely finds: a few polls and two items on one worker."""
    seen, paths = set(), deque([beginning])
    while paths:
        path = paths.popleft()
        model = after(path)
        model.nobody_has_what_does_not_follow()
        now = state(model)
        if now not in seen:
            seen.add(now)
            if len(path) < len(beginning) + count:
                paths += [(*path, step) for step in next_steps(model)]
            model.teardown()
    assert len(seen) > 500
