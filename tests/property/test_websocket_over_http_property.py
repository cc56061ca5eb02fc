"""Whatever client, backend, publishers and networks do, in any order: what passes keeps its order,
nothing is lost, and the backend hears of the end exactly once, unless it made that end itself.

From the client's frames, deflated or not, to the events in requests, and back.
"""

import zlib
from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_proxy.grip.websocket_events import CONTENT_TYPE, decode_events
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead, text_response
from realtime_proxy.sessions.effects import (
    AcceptClient,
    CallBackend,
    EndClient,
    RejectClient,
    SendClose,
    SendMessage,
)
from realtime_proxy.sessions.event_offer import not_accepted
from realtime_proxy.sessions.websocket_over_http import WebSocketOverHttp
from realtime_proxy.testing.events import write_events
from realtime_proxy.testing.websocket_client import encode_frame
from realtime_proxy.wire.encodings import WireForm
from realtime_proxy.wire.websocket_frame import Opcode
from realtime_proxy.wire.websocket_reader import FrameReader, Message

LIMIT = 100_000
RETRIES = 5
KINDS = {b"TEXT": Opcode.TEXT, b"BINARY": Opcode.BINARY, b"PING": Opcode.PING}
ENDS = (b"CLOSE", b"DISCONNECT")
DETACH = ("TEXT", b'c:{"type": "detach"}')
REFUSAL = text_response(502, "Error while proxying to origin.")


def deflated(content):
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(content) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Connection:
    """One client, its session, and the backends that it may have."""

    def __init__(self, form, one_event, polls, is_accepted):
        self.form = form
        self.targets = deque(one_event)  # whether each takes one event at a time
        self.interval = [(b"Keep-Alive-Interval", b"20")] if polls else []
        self.session = WebSocketOverHttp(one_event=self.targets[0], trusted=False)
        self.from_client = FrameReader(LIMIT, inflates=form.is_deflated)
        self.to_client = FrameReader(LIMIT, of_client=False, inflates=form.is_deflated)
        self.count = 0
        self.request = None  # the body of the one under way
        self.attempts = 0
        self.kept = []  # of what was offered, what was not accepted
        self.said, self.heard = [], []  # by the client, by the backend
        self.sent, self.got = [], []  # for the client, by the client
        self.client_talks = self.client_is_there = True
        self.is_accepted = self.is_closed_to_client = self.is_refused = False
        self.ends_heard = 0
        self.backend_is_done = False  # it has ended all by itself, or is lost
        self.may_lack = False  # it has closed or left while the client still talked
        self.take(self.session.start())
        if is_accepted:
            self.backend_answers(says=[], end="", share=None)

    # -- what follows ----------------------------------------------------------------------

    def take(self, effects):
        for effect in effects:
            match effect:
                case CallBackend():
                    assert self.request is None, "two requests at once"
                    self.request, self.attempts = effect.events, 0
                case SendMessage():
                    assert not self.is_closed_to_client
                    self.deliver(effect.opcode, effect.content)
                case SendClose():
                    assert not self.is_closed_to_client
                    self.is_closed_to_client = True
                case EndClient() | RejectClient():
                    self.client_is_there = self.client_talks = False
                case AcceptClient():
                    assert not self.is_accepted
                    self.is_accepted = True

    def deliver(self, opcode, content):
        if not self.client_is_there:
            return
        found = self.to_client.feed(self.form.frame(opcode, content))
        assert [message.content for message in found] == [content]
        self.got.append((opcode, content))

    def content(self, size):
        """Content that is nobody else's."""
        self.count += 1
        return (b"%d:" % self.count) * size

    # -- the client ------------------------------------------------------------------------

    def client_says(self, kind, size, cut, deflates):
        if not (self.client_talks and self.is_accepted):
            return
        content = self.content(size)
        opcode = KINDS[kind]
        if opcode is Opcode.PING:
            sent = encode_frame(opcode, content := content[:125])
        else:
            deflates = deflates and self.form.is_deflated
            data, bits = (deflated(content), 4) if deflates else (content, 0)
            sent = encode_frame(opcode, data[:cut], final=False, reserved=bits)
            sent += encode_frame(0, data[cut:])
        is_heard = self.session.is_open and not self.backend_was_told
        for message in self.from_client.feed(sent):
            assert isinstance(message, Message)
            if is_heard:
                self.said.append((kind, message.content))
            self.take(self.session.message_arrived(message.opcode, message.content))

    @property
    def backend_was_told(self):
        """True once a close has gone to it, or waits for it: nothing can come behind that."""
        return self._told

    _told = False

    def client_closes(self, code):
        if not (self.client_talks and self.is_accepted):
            return
        self.client_talks = False
        self._told = True
        self.take(self.session.client_closed(code, "bye" if code else ""))

    def client_vanishes(self):
        if not self.client_is_there:
            return
        self.client_is_there = self.client_talks = False
        self._told = True
        self.take(self.session.client_gone())

    # -- publishers ------------------------------------------------------------------------

    def publish(self, size):
        if not (self.is_accepted and not self.is_closed_to_client):
            return
        content = self.content(size)
        if self.client_is_there:
            self.sent.append((Opcode.TEXT, content))
        self.deliver(Opcode.TEXT, content)

    def publish_close(self):
        if not self.is_accepted:
            return
        self._told = self._told or self.session.is_open
        self.take(self.session.close(4100, "published"))

    def publish_refresh(self):
        self.take(self.session.refresh())

    def poll(self):
        if not (self.interval and self.request is None):
            return
        self.take(self.session.poll_due())

    # -- networks --------------------------------------------------------------------------

    def backend_is_unreachable(self):
        """The next target gets the same request; the one that has accepted gets it once more."""
        if not (self.request is not None):
            return
        if not self.is_accepted and len(self.targets) > 1:
            self.targets.popleft()
            self.session.one_event = self.targets[0]
        elif self.is_accepted and self.attempts < RETRIES:
            self.attempts += 1
        else:
            self.backend_is_lost()

    def backend_is_lost(self):
        """It may have heard what was in the request, which is not sent again."""
        if self.request is None:
            return
        self.hear(None)
        self.request = None
        self.backend_is_done = True
        self.take(self.session.backend_failed(REFUSAL))

    # -- the backend -----------------------------------------------------------------------

    def backend_answers(self, says, end, share):
        if not (self.request is not None):
            return
        was_accepted = self.is_accepted
        fields = self.hear(share)
        events = [] if was_accepted else ["OPEN"]
        for size in says:
            content = self.content(size)
            events.append(("BINARY", b"m:" + content))
            if self.hears_backend:
                self.sent.append((Opcode.BINARY, content))
        if end == "detach":
            events.append(DETACH)
            self._told = self._told or self.hears_backend
        elif end:
            events.append(end)
            if self.hears_backend:
                self.may_lack = True
                self.kept = []  # it is not asked for that any more
                self._told = True
                self.backend_is_done = self.backend_is_done or end == "DISCONNECT"
        if not was_accepted:
            fields.append((b"Sec-WebSocket-Extensions", b"grip"))
        self.respond(fields, events)

    @property
    def hears_backend(self):
        """True if the client gets what the backend says now."""
        is_before = not self.is_accepted and self.client_is_there
        return is_before or (self.session.is_open and not self.is_detached)

    @property
    def is_detached(self):
        return self.session._state.name == "DETACHED"

    def hear(self, share):
        """Take what is in the request, and accept a part of its content if that is allowed."""
        events = decode_events(self.request)
        again = min(len(self.kept), len(events))
        assert events[:again] == self.kept[:again], "what was not accepted has changed"
        for event in events[again:]:
            if event.type in ENDS:
                self.ends_heard += 1
            elif event.type != b"OPEN":
                assert not self.ends_heard, "something comes behind the end"
                self.heard.append((event.type, event.content or b""))
        self.kept = []
        fields = [(b"Content-Type", CONTENT_TYPE), *self.interval]
        sizes = [len(event.content or b"") for event in events]
        if share is None or not self.is_accepted:
            return fields
        accepted = min(share, sum(sizes))
        if events and events[-1].type == b"CLOSE":  # all of a close, or nothing
            before = sum(sizes[:-1])
            accepted = sum(sizes) if accepted >= before else accepted
        if self.session.one_event and not accepted and any(sizes):
            return fields  # a backend that takes one event has to take some of it
        self.kept = [] if self.session._state.name == "ENDED" else not_accepted(events, accepted)
        return [*fields, (b"Content-Bytes-Accepted", b"%d" % accepted)]

    def respond(self, fields, events):
        self.request = None
        head = ResponseHead(200, b"OK", Headers(fields))
        self.take(self.session.response_arrived(head, write_events(*events)))

    def backend_refuses(self, status=403):
        """It has no use for what came, which is not sent again."""
        if self.request is None:
            return
        self.hear(None)
        self.request = None
        self.backend_is_done = True
        self.take(self.session.response_arrived(ResponseHead(status, b"No", Headers()), b"no"))

    # -- what has to hold ------------------------------------------------------------------

    def order_is_kept(self):
        assert self.heard == self.said[: len(self.heard)]
        assert self.got == [message for message in self.sent if message in self.got]

    def run_out(self):
        """What connection and timers do in the end: nothing is awaited for ever."""
        if self.client_is_there:
            self.client_vanishes()
        while self.request is not None:
            fields = self.hear(None)
            events = [] if self.is_accepted else ["OPEN"]
            self.respond(fields, events)
        assert self.session.is_finished
        if self.backend_is_done or (not self.is_accepted and not self.ends_heard):
            assert self.ends_heard <= 1
            return
        assert self.ends_heard == 1
        if not self.may_lack:
            assert self.heard == self.said
        assert self.got == self.sent


def step(name, **arguments):
    return st.fixed_dictionaries(arguments).map(lambda given: (name, given))


TALK = st.one_of(
    step(
        "client_says",
        kind=st.sampled_from(list(KINDS)),
        size=st.sampled_from([0, 1, 30, 300]),
        cut=st.integers(0, 200),
        deflates=st.booleans(),
    ),
    step(
        "backend_answers",
        says=st.lists(st.sampled_from([0, 1, 300]), max_size=3),
        end=st.just(""),
        share=st.one_of(st.none(), st.integers(0, 2_000)),
    ),
    step("publish", size=st.sampled_from([0, 1, 300])),
)
TROUBLE = st.one_of(
    step("client_closes", code=st.sampled_from([None, 1000, 4000])),
    step(
        "backend_answers",
        says=st.lists(st.sampled_from([0, 300]), max_size=2),
        end=st.sampled_from(["CLOSE", "DISCONNECT", "detach"]),
        share=st.one_of(st.none(), st.integers(0, 2_000)),
    ),
    step("backend_is_unreachable"),
    step("publish_refresh"),
    step("poll"),
    step("client_vanishes"),
    step("publish_close"),
    step("backend_is_lost"),
    step("backend_refuses", status=st.sampled_from([200, 403, 500])),
)


@settings(max_examples=400)
@given(
    form=st.sampled_from([WireForm.FRAME, WireForm.DEFLATED, WireForm.DEFLATED_SMALL]),
    one_event=st.lists(st.booleans(), min_size=1, max_size=3),
    polls=st.booleans(),
    is_accepted=st.booleans(),
    steps=st.lists(st.one_of(TALK, TALK, TROUBLE), max_size=30),
)
def test_order_and_ends(form, one_event, polls, is_accepted, steps):
    connection = Connection(form, one_event, polls, is_accepted)
    for name, arguments in steps:
        getattr(connection, name)(**arguments)
        connection.order_is_kept()
    connection.run_out()
