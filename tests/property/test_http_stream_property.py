"""Whatever the interleaving of items, checks, answers and failures, a stream has each item once."""

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from realtime_proxy.grip.hold import HoldMode
from realtime_proxy.model.item import HttpStream, Item
from realtime_proxy.sessions import http_stream
from realtime_proxy.sessions.http_stream import (
    Ask,
    AskLater,
    Deliver,
    Dismiss,
    End,
    Follow,
    Forward,
    Gather,
    Page,
    State,
)

# The ids of "a" and "b" follow each other; the items of "c" have none.
TRACKED = ("a", "b")
CHANNELS = (*TRACKED, "c")


@attrs.define
class Response:
    """What the backend made of a request: it knew so much then."""

    body: list[tuple[str, int]]
    page: Page
    head_read: bool = False
    forwarded: bool = False


class Streams(RuleBasedStateMachine):
    """A backend that stores before it publishes, a transport that loses, a proxy, a client."""

    def __init__(self):
        super().__init__()
        self.stored = dict.fromkeys(CHANNELS, 0)
        self.transit = []
        self.client = {channel: [] for channel in CHANNELS}
        self.lost = set()
        self.promised = dict.fromkeys(TRACKED, 0)
        self.positions = {"a": "", "b": "", "c": None}
        self.following = True
        self.asked, self.response = None, None
        self.paused = False
        self.failures = 0
        self.steps = []  # what waits for the round under way to end
        self.in_round = False
        self.machine = http_stream.HttpStream("/next", 10_000_000)

    # -- the proxy around the machine -------------------------------------------------------

    def perform(self, effects):
        for effect in effects:
            match effect:
                case Ask():
                    assert self.asked is None
                    assert self.response is None
                    self.asked = effect
                case AskLater():
                    self.paused = True
                case Dismiss():
                    self.asked = self.response = None
                    self.paused = False
                case Gather():
                    assert self.following
                    self.following = False
                case Forward():
                    self.response.forwarded = True
                case Follow():
                    self.following = True
                    self.positions = dict(effect.positions)
                case Deliver():
                    self.client[effect.item.channel].append(int(effect.item.http_stream.content))
                case End():
                    raise AssertionError(effect)

    def between_rounds(self, step):
        if self.in_round:
            self.steps.append(step)
        else:
            step()

    def deliver(self, item):
        self.client[item.channel].append(int(item.http_stream.content))
        if self.positions[item.channel] is not None:
            self.positions[item.channel] = item.id

    def fell_behind(self):
        self.perform(self.machine.fell_behind(dict(self.positions)))

    # -- what happens -----------------------------------------------------------------------

    @rule(channel=st.sampled_from(("a", "a", "b", "c")), arrives=st.sampled_from((0, 1, 1, 1, 2)))
    def publish(self, channel, arrives):
        """Stored, and then lost, or on its way, or there at once if nothing is before it."""
        self.stored[channel] += 1
        new = self.stored[channel]
        ids = {"id": str(new), "prev_id": str(new - 1) if new > 1 else ""}
        item = Item(
            channel,
            http_stream=HttpStream(content=b"%d" % new),
            **(ids if channel in TRACKED else {}),
        )
        if not arrives:
            self.lost.add((channel, new))
            return
        self.transit.append(item)
        if arrives == 1:
            self.items_arrive()

    @rule()
    def items_arrive(self):
        transit, self.transit = self.transit, []
        for item in transit:
            self.item_arrives(item)

    def item_arrives(self, item):
        position = self.positions[item.channel]
        if not self.following:
            assert self.machine.item_waits(item)
        elif position is None or position == (item.prev_id or ""):
            self.deliver(item)
        else:
            assert self.machine.item_waits(item)
            self.between_rounds(self.fell_behind)

    @rule()
    def round_begins_or_ends(self):
        if self.in_round:
            self.end_round()
        else:
            self.in_round = True

    def end_round(self):
        self.in_round = False
        steps, self.steps = self.steps, []
        for step in steps:
            step()

    @rule(urgent=st.booleans())
    def update(self, urgent):
        self.promised = dict(self.stored)

        def step():
            self.perform(self.machine.update(dict(self.positions), urgent=urgent))

        self.between_rounds(step)

    @precondition(lambda self: self.asked and not self.response and not self.paused)
    @rule(most=st.integers(0, 3))
    def backend_answers_a_page(self, most):
        """A part of what there is; the next link says where the rest begins."""
        body, ends = [], []
        for channel, start in zip(TRACKED, self.start(), strict=True):
            end = min(start + most, self.stored[channel])
            body += [(channel, n) for n in range(start + 1, end + 1)]
            ends.append(end)
        self.response = Response(body, Page(None, {}, f"/from/{ends[0]}/{ends[1]}"))

    @precondition(lambda self: self.asked and not self.response and not self.paused)
    @rule()
    def backend_answers(self):
        """All there is, and a hold."""
        body, positions = [], {"c": None}
        for channel, start in zip(TRACKED, self.start(), strict=True):
            end = self.stored[channel]
            body += [(channel, n) for n in range(start + 1, end + 1)]
            positions[channel] = str(end) if end else ""
        self.response = Response(body, Page(HoldMode.STREAM, positions, "/next"))

    def start(self):
        """Where an answer begins: as the link says, else as `Grip-Last` does."""
        if self.asked.uri != "/next":
            return [int(part) for part in self.asked.uri.split("/")[2:]]
        return [int(self.asked.positions[channel] or 0) for channel in TRACKED]

    @precondition(lambda self: self.response)
    @rule()
    def response_goes_on(self):
        """Its body arrives, or its end."""
        response = self.response
        if not response.head_read:
            response.head_read = True
            self.machine.answered(response.page)
        self.between_rounds(lambda: self.go_on(response))

    def go_on(self, response):
        if self.response is not response:
            return  # dismissed meanwhile
        if not response.body:
            self.asked = self.response = None
            self.failures = 0
            self.perform(self.machine.completed(dict(self.positions), {}))
            return
        if not response.forwarded:
            self.perform(self.machine.body_begins(dict(self.positions)))
        if response.forwarded:
            for channel, n in response.body:
                self.client[channel].append(n)
            response.body.clear()

    def can_fail(self):
        sends = self.response is not None and self.response.forwarded
        return self.asked and not self.paused and not sends and self.failures < 5

    @precondition(can_fail)
    @rule()
    def backend_fails(self):
        def step():
            if self.can_fail():
                self.failures += 1
                self.asked = self.response = None
                self.perform(self.machine.failed())

        self.between_rounds(step)

    @precondition(lambda self: self.paused)
    @rule()
    def pause_ends(self):
        def step():
            if self.paused:
                self.paused = False
                self.perform(self.machine.retry(dict(self.positions)))

        self.between_rounds(step)

    # -- what must hold ----------------------------------------------------------------------

    @invariant()
    def each_item_once_and_in_order(self):
        for channel in TRACKED:
            assert self.client[channel] == list(range(1, len(self.client[channel]) + 1))
        assert self.client["c"] == sorted(set(self.client["c"]))

    @invariant()
    def items_are_delivered_while_nothing_is_missing(self):
        does_not_wait = self.machine.state in (State.FOLLOWING, State.CHECKING)
        assert self.following == does_not_wait

    def teardown(self):
        """What is under way arrives; then the client has all that it can be known to lack."""
        self.items_arrive()
        self.settle()
        for channel in TRACKED:
            has = len(self.client[channel])
            assert has >= self.promised[channel], "asked to look, and did not"
            if (channel, self.stored[channel]) not in self.lost:
                assert has == self.stored[channel], "the newest item came, and something is missing"
        self.update(urgent=False)
        self.settle()
        for channel in TRACKED:
            assert len(self.client[channel]) == self.stored[channel]
        lost = {n for channel, n in self.lost if channel == "c"}
        assert set(self.client["c"]) == set(range(1, self.stored["c"] + 1)) - lost

    def settle(self):
        self.end_round()
        for _ in range(100):
            if self.paused:
                self.pause_ends()
            elif self.response:
                self.response_goes_on()
            elif self.asked:
                self.backend_answers()
        assert self.machine.state is State.FOLLOWING


TestStreams = Streams.TestCase
TestStreams.settings = settings(max_examples=300, stateful_step_count=40)
