"""The session of a WebSocket client whose backend speaks HTTP."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.errors import GripError
from realtime_proxy.grip.control_message import Subscribe
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead, text_response
from realtime_proxy.sessions.effects import (
    AcceptClient,
    CallBackend,
    Control,
    EndClient,
    PollAfter,
    RejectClient,
    SendClose,
    SendMessage,
)
from realtime_proxy.sessions.websocket_over_http import MAX_WAITING_BYTES, WebSocketOverHttp
from realtime_proxy.testing.events import read_events, write_events
from realtime_proxy.wire.websocket_frame import Opcode

TYPE = (b"Content-Type", b"application/websocket-events")
FAILURE = text_response(502, "Error while proxying to origin.")
GRIP = (b"Sec-WebSocket-Extensions", b"grip")


def head(*fields, status=200):
    return ResponseHead(status, b"X", Headers([TYPE, *fields]))


def session_opened(*events, fields=(), **options):
    session = WebSocketOverHttp(**{"one_event": False, "trusted": False, **options})
    assert session.start() == [CallBackend(b"OPEN\r\n")]
    effects = session.response_arrived(head(*fields), write_events("OPEN", *events))
    return session, effects


def opened(*events, **options):
    return session_opened(*events, **options)[0]


def sent(effects):
    """The events in what the backend is to be sent; None if nothing is."""
    calls = [effect.events for effect in effects if isinstance(effect, CallBackend)]
    assert len(calls) < 2
    return read_events(calls[0]) if calls else None


def answer(session, *events, fields=()):
    return session.response_arrived(head(*fields), write_events(*events))


def ends(reason):
    return EndClient(reason)


# -- opening -------------------------------------------------------------------------------------


def test_accepted_with_the_fields_that_are_for_the_client():
    fields = [
        (b"Sec-WebSocket-Protocol", b"chat"),
        (b"Set-Cookie", b"a=b"),
        (b"Content-Length", b"6"),
        (b"Keep-Alive-Interval", b"30"),
        (b"Set-Meta-User", b"x"),
        (b"Upgrade", b"websocket"),
        (b"Connection", b"X-Hop"),
        (b"X-Hop", b"1"),
        GRIP,
    ]
    session, effects = session_opened(fields=fields)
    shown = Headers([(b"Sec-WebSocket-Protocol", b"chat"), (b"Set-Cookie", b"a=b")])
    assert effects == [AcceptClient(shown), PollAfter(30)]
    assert session.meta == {b"user": (b"User", b"x")}


def test_trusted_client_gets_the_extension_itself():
    _, effects = session_opened(("TEXT", b"m:a"), fields=[GRIP], trusted=True)
    accepted = AcceptClient(Headers([(b"Sec-WebSocket-Extensions", b"grip")]))
    assert effects == [accepted, SendMessage(Opcode.TEXT, b"m:a")]


@pytest.mark.parametrize("events", [[], [("TEXT", b"a")], ["CLOSE"], ["DISCONNECT"]])
def test_answer_that_does_not_open(events):
    session = WebSocketOverHttp(one_event=False, trusted=False)
    session.start()
    with pytest.raises(GripError, match="does not begin with OPEN"):
        answer(session, *events)
    (rejection,) = session.backend_failed(FAILURE)
    assert isinstance(rejection, RejectClient)
    assert rejection.head.status == 502
    assert session.is_finished


def test_empty_answer_with_an_interval_opens_later():
    session = WebSocketOverHttp(one_event=False, trusted=False)
    session.start()
    assert answer(session, fields=[(b"Keep-Alive-Interval", b"1")]) == [PollAfter(20)]
    assert session.poll_due() == [CallBackend(b"OPEN\r\n")]
    assert session.poll_due() == []
    assert answer(session, "OPEN") == [AcceptClient(Headers()), PollAfter(20)]


@pytest.mark.parametrize(
    ("status", "content_type"),
    [(403, TYPE[1]), (200, b"text/html"), (200, b""), (204, TYPE[1]), (302, TYPE[1])],
)
def test_refusal_reaches_the_client(status, content_type):
    session = WebSocketOverHttp(one_event=False, trusted=False)
    session.start()
    fields = Headers([(b"Content-Type", content_type), (b"X-A", b"1"), (b"Upgrade", b"websocket")])
    effects = session.response_arrived(ResponseHead(status, b"No", fields), b"why")
    shown = ResponseHead(status, b"No", Headers([(b"Content-Type", content_type), (b"X-A", b"1")]))
    assert effects == [RejectClient(shown, b"why")]
    assert session.is_finished


def test_content_type_may_have_parameters():
    session = WebSocketOverHttp(one_event=False, trusted=False)
    session.start()
    fields = Headers([(b"Content-Type", TYPE[1].upper() + b"; charset=utf-8")])
    effects = session.response_arrived(ResponseHead(200, b"", fields), b"OPEN\r\n")
    assert isinstance(effects[0], AcceptClient)


def test_client_gone_before_it_was_accepted():
    session = WebSocketOverHttp(one_event=False, trusted=False)
    session.start()
    assert session.client_gone() == []
    assert sent(answer(session, "OPEN", ("TEXT", b"late"))) == [("DISCONNECT", b"")]
    assert answer(session) == []
    assert session.is_finished


@pytest.mark.parametrize("failure", ["refused", "failed"])
def test_client_gone_before_it_was_refused(failure):
    session = WebSocketOverHttp(one_event=False, trusted=False)
    session.start()
    session.client_gone()
    if failure == "refused":
        assert session.response_arrived(head(status=403), b"") == []
    else:
        assert session.backend_failed(FAILURE) == []
    assert session.is_finished


# -- messages ------------------------------------------------------------------------------------


def test_messages_wait_for_the_request_under_way():
    session = opened()
    assert sent(session.message_arrived(Opcode.TEXT, b"1")) == [("TEXT", b"1")]
    for opcode, content in [(Opcode.BINARY, b"2"), (Opcode.PING, b""), (Opcode.PONG, b"4")]:
        assert session.message_arrived(opcode, content) == []
    assert sent(answer(session)) == [("BINARY", b"2"), ("PING", b""), ("PONG", b"4")]
    assert answer(session) == []


def test_one_event_in_a_request():
    session = opened(one_event=True)
    assert sent(session.message_arrived(Opcode.TEXT, b"")) == [("TEXT", b"")]
    session.message_arrived(Opcode.TEXT, b"")
    session.message_arrived(Opcode.TEXT, b"3")
    session.client_closed(1000, "")
    assert sent(answer(session)) == [("TEXT", b"")]
    assert sent(answer(session)) == [("TEXT", b"3")]
    assert sent(answer(session)) == [("CLOSE", b"\x03\xe8")]


def test_prefix_and_control():
    prefixed = (b"Sec-WebSocket-Extensions", b'grip; message-prefix="p-"')
    _, effects = session_opened(
        ("TEXT", b"p-kept"),
        ("TEXT", b"m:dropped"),
        ("BINARY", b"p-\xff"),
        ("TEXT", b'c:{"type":"subscribe","channel":"x"}'),
        ("TEXT", b"c:nonsense"),
        ("PING", b"p-as it is"),
        fields=[prefixed],
    )
    assert effects[1:] == [
        SendMessage(Opcode.TEXT, b"kept"),
        SendMessage(Opcode.BINARY, b"\xff"),
        Control(Subscribe("x")),
        SendMessage(Opcode.PING, b"p-as it is"),
    ]


def test_without_grip_nothing_is_special():
    _, effects = session_opened(("TEXT", b"c:{}"), ("TEXT", b"x"))
    assert effects[1:] == [SendMessage(Opcode.TEXT, b"c:{}"), SendMessage(Opcode.TEXT, b"x")]


@pytest.mark.parametrize("size", [0, 10, 1000])
def test_much_waiting_stops_the_reading(size):
    """The bound holds for messages of any size, empty ones too."""
    session = opened()
    count = 0
    while session.takes_input:
        session.message_arrived(Opcode.BINARY, bytes(size))
        count += 1
        assert count < MAX_WAITING_BYTES
    assert session.waiting_bytes >= MAX_WAITING_BYTES
    assert len(sent(answer(session))) == count - 1
    assert session.takes_input
    assert session.waiting_bytes == 0


def test_what_is_under_way_is_kept_until_it_is_answered():
    session = opened()
    assert session.kept_bytes == 0
    session.message_arrived(Opcode.TEXT, b"abc")
    under_way = session.kept_bytes
    assert under_way == len(b"TEXT 3\r\nabc\r\n")
    session.message_arrived(Opcode.TEXT, b"d")
    assert session.kept_bytes == under_way + session.waiting_bytes > under_way
    answer(session)
    assert session.kept_bytes == len(b"TEXT 1\r\nd\r\n")
    answer(session)
    assert session.kept_bytes == 0


def test_nothing_of_the_answer_to_a_farewell_matters():
    session = opened()
    session.message_arrived(Opcode.TEXT, b"abc")
    session.client_gone()
    assert sent(answer(session, ("TEXT", b"m:late"))) == [("DISCONNECT", b"")]
    assert session.response_arrived(head(), b"no events") == []
    assert session.is_finished


# -- meta and polling ----------------------------------------------------------------------------


def test_meta_is_set_changed_and_removed():
    session = opened(fields=[(b"Set-Meta-User", b"a"), (b"set-meta-room", b"b")])
    session.message_arrived(Opcode.TEXT, b"")
    answer(session, fields=[(b"Set-Meta-USER", b"c"), (b"Set-Meta-Room", b"")])
    assert session.meta == {b"user": (b"USER", b"c")}


@pytest.mark.parametrize(
    ("value", "seconds"), [(b"60", 60), (b"1", 20), (b"0", None), (b"-5", None), (b"x", None)]
)
def test_interval(value, seconds):
    session = opened(fields=[(b"Keep-Alive-Interval", b"30")])
    session.message_arrived(Opcode.TEXT, b"")
    expected = [] if seconds is None else [PollAfter(seconds)]
    assert answer(session, fields=[(b"Keep-Alive-Interval", value)]) == expected


def test_poll_is_an_empty_request():
    session = opened(fields=[(b"Keep-Alive-Interval", b"30")])
    assert session.poll_due() == [CallBackend(b"")]
    assert session.poll_due() == []
    assert answer(session, ("TEXT", b"a")) == [SendMessage(Opcode.TEXT, b"a"), PollAfter(30)]


# -- closing -------------------------------------------------------------------------------------


def test_refresh_is_an_empty_request():
    session = opened()
    assert session.refresh() == [CallBackend(b"")]
    assert answer(session, ("TEXT", b"x")) == [SendMessage(Opcode.TEXT, b"x")]
    assert session.refresh() == [CallBackend(b"")]


def test_refreshes_while_a_request_is_under_way_are_one_more_after_it():
    session = opened(fields=[(b"Keep-Alive-Interval", b"60")])
    session.message_arrived(Opcode.TEXT, b"a")
    assert session.refresh() == session.refresh() == []
    session.message_arrived(Opcode.TEXT, b"b")
    assert sent(answer(session)) == [("TEXT", b"b")]
    assert answer(session) == [CallBackend(b"")]
    assert answer(session) == [PollAfter(60)]


def test_refresh_is_for_open_sessions_only():
    session = WebSocketOverHttp(one_event=False, trusted=False)
    session.start()
    assert session.refresh() == []
    assert [type(effect) for effect in answer(session, "OPEN")] == [AcceptClient]
    session.message_arrived(Opcode.TEXT, b"a")
    session.refresh()
    session.client_closed(1000, "")
    assert sent(answer(session)) == [("CLOSE", b"\x03\xe8")]
    assert session.refresh() == []
    assert [type(effect) for effect in answer(session)] == [SendClose, EndClient]
    assert session.refresh() == []


def test_close_of_the_client():
    session = opened()
    assert sent(session.client_closed(4001, "bye")) == [("CLOSE", b"\x0f\xa1bye")]
    close = ("CLOSE", b"\x0f\xa2ok")
    assert answer(session, ("TEXT", b"last"), close, ("TEXT", b"never")) == [
        SendMessage(Opcode.TEXT, b"last"),
        SendClose(4002, "ok"),
        ends(CloseReason.CLIENT_CLOSED),
    ]
    assert session.client_gone() == []
    assert session.is_finished


def test_close_that_the_backend_does_not_answer():
    session = opened()
    session.client_closed(4001, "bye")
    assert answer(session) == [SendClose(4001, "bye"), ends(CloseReason.CLIENT_CLOSED)]


def test_close_without_an_answer_is_polled_for_with_an_interval():
    session = opened(fields=[(b"Keep-Alive-Interval", b"30")])
    session.client_closed(None, "")
    assert answer(session) == [PollAfter(30)]
    session.poll_due()
    assert answer(session, "CLOSE") == [SendClose(None, ""), ends(CloseReason.CLIENT_CLOSED)]


def test_messages_go_before_the_close():
    session = opened()
    session.message_arrived(Opcode.TEXT, b"1")
    session.message_arrived(Opcode.TEXT, b"2")
    assert session.client_closed(None, "") == []
    assert sent(answer(session)) == [("TEXT", b"2"), ("CLOSE", b"")]


@pytest.mark.parametrize(
    ("content", "close"),
    [
        (b"", SendClose(None, "")),
        (b"\x00\x00", SendClose(None, "")),
        (b"\x03\xe8", SendClose(1000, "")),
        (b"\x0f\xa0why", SendClose(4000, "why")),
        (b"\x03\xed", SendClose(None, "")),  # 1005 is never on the wire
        (b"\x03", SendClose(None, "")),
    ],
)
def test_close_of_the_backend(content, close):
    session, effects = session_opened(("CLOSE", content), ("TEXT", b"never"))
    assert effects[1:] == [close]
    assert session.message_arrived(Opcode.TEXT, b"too late") == []
    effects = session.client_closed(1000, "")
    assert effects[0] == ends(CloseReason.BACKEND_CLOSED)
    assert sent(effects) == [("CLOSE", b"\x03\xe8")]
    assert answer(session, ("TEXT", b"a")) == []


def test_client_gone_instead_of_answering_a_close():
    session = opened("CLOSE")
    assert sent(session.client_gone()) == [("DISCONNECT", b"")]


@pytest.mark.parametrize("event", ["DISCONNECT", "OPEN"])
def test_backend_drops_the_client(event):
    _, effects = session_opened(("TEXT", b"a"), event, ("TEXT", b"never"))
    assert effects[1:] == [SendMessage(Opcode.TEXT, b"a"), ends(CloseReason.BACKEND_CLOSED)]


def test_client_gone():
    session = opened()
    session.message_arrived(Opcode.TEXT, b"1")
    session.message_arrived(Opcode.TEXT, b"2")
    assert session.client_gone() == []
    assert sent(answer(session, ("TEXT", b"never"))) == [("TEXT", b"2"), ("DISCONNECT", b"")]
    assert answer(session) == []
    assert session.is_finished


@pytest.mark.parametrize("failure", ["refused", "failed"])
def test_client_gone_while_a_request_fails(failure):
    """The backend hears of the end all the same: it may be only that event that it refuses."""
    session = opened()
    session.message_arrived(Opcode.TEXT, b"1")
    session.client_gone()
    refused = failure == "refused"
    effects = (
        session.response_arrived(head(status=500), b"")
        if refused
        else session.backend_failed(FAILURE)
    )
    assert sent(effects) == [("DISCONNECT", b"")]
    assert session.backend_failed(FAILURE) == []
    assert session.is_finished


def test_published_close():
    session = opened()
    effects = session.close(4000, "over")
    assert effects[0] == SendClose(4000, "over")
    assert sent(effects) == [("CLOSE", b"")]
    assert session.close(4000, "over") == []
    assert answer(session, ("TEXT", b"never")) == []
    assert session.client_closed(4000, "") == [ends(CloseReason.PUBLISHED_CLOSE)]
    assert session.client_gone() == []


def test_published_close_while_the_client_closes():
    session = opened()
    session.client_closed(1000, "")
    ended = [SendClose(4000, ""), ends(CloseReason.PUBLISHED_CLOSE)]
    assert session.close(4000, "") == ended
    assert answer(session, "CLOSE") == []


def test_why_it_was_closed_here_is_told_at_the_end():
    session = opened()
    session.close(1012, "", CloseReason.SHUTDOWN)
    assert session.client_closed(1012, "") == [ends(CloseReason.SHUTDOWN)]


@pytest.mark.parametrize("status", [500, 404])
def test_published_close_that_the_backend_refuses(status):
    """The client has its close already, so it gets no other."""
    session = opened()
    session.close(4000, "over")
    assert session.response_arrived(head(status=status), b"") == []
    assert session.client_closed(4000, "") == [ends(CloseReason.PUBLISHED_CLOSE)]


# -- detaching -----------------------------------------------------------------------------------

DETACH = ("TEXT", b'c:{"type":"detach"}')


def test_detached():
    session, effects = session_opened(DETACH, fields=[GRIP])
    assert sent(effects) == [("CLOSE", b"")]
    assert session.is_open
    assert answer(session, "CLOSE") == []
    assert session.message_arrived(Opcode.TEXT, b"nobody's") == []
    assert session.client_closed(1000, "bye") == [
        SendClose(1000, "bye"),
        ends(CloseReason.CLIENT_CLOSED),
    ]


@pytest.mark.parametrize("failure", ["refused", "failed"])
def test_detached_stays_whatever_its_backend_does(failure):
    session = opened(DETACH, fields=[GRIP])
    refused = failure == "refused"
    effects = (
        session.response_arrived(head(status=500), b"")
        if refused
        else session.backend_failed(FAILURE)
    )
    assert effects == []
    assert session.is_open


def test_detached_client_gone():
    session = opened(DETACH, fields=[GRIP])
    answer(session)
    assert session.client_gone() == []
    assert session.is_finished


# -- failures ------------------------------------------------------------------------------------


def test_backend_that_fails_before():
    session = WebSocketOverHttp(one_event=False, trusted=False)
    session.start()
    slow = text_response(504, "slow")
    slow.headers.append((b"X-A", b"1"))
    (rejection,) = session.backend_failed(slow)
    assert isinstance(rejection, RejectClient)
    assert (rejection.head.status, rejection.head.reason) == (504, b"Gateway Timeout")
    assert rejection.head.headers == [(b"X-A", b"1")]
    assert rejection.body == b"slow\n"


@pytest.mark.parametrize(("status", "code"), [(500, 1011), (403, 1008), (200, 1011), (302, 1011)])
def test_backend_that_refuses_an_event(status, code):
    session = opened()
    session.message_arrived(Opcode.TEXT, b"1")
    session.message_arrived(Opcode.TEXT, b"2")
    refusal = ResponseHead(status, b"", Headers([(b"Content-Type", b"text/plain")]))
    close, end = session.response_arrived(refusal, b"")
    assert close == SendClose(code, f"backend answered {status}")
    assert end == ends(CloseReason.BACKEND_FAILED)
    assert session.client_gone() == []
    assert session.is_finished


@pytest.mark.parametrize("body", [b"TEXT 5\r\nabc", b"nonsense", b"TEXT x\r\n"])
def test_answer_that_makes_no_sense(body):
    session = opened()
    session.message_arrived(Opcode.TEXT, b"1")
    with pytest.raises(GripError):
        session.response_arrived(head(), body)
    failed = [SendClose(1011, "backend failed"), ends(CloseReason.BACKEND_FAILED)]
    assert session.backend_failed(FAILURE) == failed


def test_why_a_backend_failed_may_be_told():
    close, _ = opened().backend_failed(FAILURE, "connection closed")
    assert close == SendClose(1011, "connection closed")


# -- any order -----------------------------------------------------------------------------------

CLIENT = st.sampled_from(["message", "empty", "close", "gone"])
BACKEND = st.sampled_from(["answer", "message", "close", "disconnect", "detach", "500", "fail"])
STEPS = st.lists(CLIENT | BACKEND | st.sampled_from(["published close", "poll"]), max_size=40)


class World:
    """A client and a backend around a session, and what either has seen."""

    def __init__(self, *, one_event):
        self.session = WebSocketOverHttp(one_event=one_event, trusted=False)
        self.in_flight = None
        self.to_backend = []  # events that it was sent, with their contents
        self.to_client = []  # messages and closes
        self.accepted = self.rejected = self.ended = self.backend_left = False
        self.client_sends = True
        self.written = 0
        self.perform(self.session.start())

    def perform(self, effects):
        for effect in effects:
            match effect:
                case CallBackend():
                    assert self.in_flight is None, "two requests at once"
                    self.in_flight = read_events(effect.events)
                    self.to_backend += self.in_flight
                case AcceptClient():
                    assert not self.accepted
                    self.accepted = True
                case RejectClient():
                    assert not self.accepted
                    self.rejected = self.ended = True
                case EndClient():
                    self.ended = True
                case SendMessage() | SendClose():
                    assert self.accepted
                    assert not self.ended, "something after the end"
                    closes = [seen for seen in self.to_client if isinstance(seen, SendClose)]
                    assert not closes, "something after a close"
                    self.to_client.append(effect)

    def step(self, name):
        session = self.session
        match name:
            case "message" | "empty" if self.accepted and self.client_sends and not self.ended:
                content = b"%d" % self.written if name == "message" else b""
                self.written += 1
                self.perform(session.message_arrived(Opcode.BINARY, content))
            case "close" if self.accepted and self.client_sends and not self.ended:
                self.client_sends = False
                self.perform(session.client_closed(1000, ""))
            case "gone" if not self.rejected:
                self.client_sends = False
                self.ended = True
                self.perform(
                    [call for call in session.client_gone() if isinstance(call, CallBackend)]
                )
            case "published close" if self.accepted:
                self.perform(session.close(4000, ""))
            case "poll":
                self.perform(session.poll_due())

    def answer(self, name):
        if self.in_flight is None:
            return
        opens = [] if self.accepted or self.to_backend != [("OPEN", b"")] else ["OPEN"]
        self.in_flight = None
        events = {
            "message": [("TEXT", b"m:hello")],
            "close": [("CLOSE", b"\x03\xe8")],
            "disconnect": ["DISCONNECT"],
            "detach": [DETACH],
        }.get(name, [])
        self.backend_left |= name in {"close", "disconnect", "500", "fail"}
        if name == "500":
            effects = self.session.response_arrived(head(status=500), b"")
        elif name == "fail":
            effects = self.session.backend_failed(FAILURE)
        else:
            effects = self.session.response_arrived(head(GRIP), write_events(*opens, *events))
        if self.ended:
            effects = [effect for effect in effects if isinstance(effect, CallBackend)]
        self.perform(effects)


@given(STEPS, st.booleans(), st.sampled_from(["answer", "message"]))
def test_any_order(steps, one_event, last):
    """Whatever happens in whichever order: the backend sees messages in order, and one end."""
    world = World(one_event=one_event)
    for step in steps:
        if step in {"answer", "message", "close", "disconnect", "detach", "500", "fail"}:
            world.answer(step)
        world.step(step)
    world.step("gone")
    for _ in range(len(steps) + 3):
        world.answer(last)
    assert world.session.is_finished
    assert world.in_flight is None

    contents = [int(content) for kind, content in world.to_backend if kind == "BINARY" and content]
    assert contents == sorted(contents), "out of order"
    assert len(set(contents)) == len(contents), "sent twice"
    kinds = [kind for kind, _ in world.to_backend]
    closings = [kind for kind in kinds if kind in {"CLOSE", "DISCONNECT"}]
    assert len(closings) <= 1
    assert not closings or kinds[-1] == closings[0], "something after the end"
    was_opened = world.accepted or "DISCONNECT" in kinds
    if was_opened and not world.backend_left:
        assert len(closings) == 1


# -- events of which the backend accepts only a part ---------------------------------------------


def accept(session, count, *events):
    return answer(session, *events, fields=[(b"Content-Bytes-Accepted", b"%d" % count)])


def test_what_is_not_accepted_goes_with_the_next_request():
    session = opened()
    session.message_arrived(Opcode.TEXT, b"one")
    assert accept(session, 0, ("TEXT", b"wait")) == [SendMessage(Opcode.TEXT, b"wait")]
    assert session.replayed_bytes == 3
    effects = session.message_arrived(Opcode.BINARY, b"two")
    assert sent(effects) == [("TEXT", b"one"), ("BINARY", b"two")]
    assert session.replayed_bytes == 3
    assert sent(answer(session)) is None
    assert session.replayed_bytes == session.waiting_bytes == 0


def test_a_part_of_a_message_keeps_its_type():
    session = opened()
    session.message_arrived(Opcode.PING, b"abcdefg")
    accept(session, 4)
    assert sent(session.message_arrived(Opcode.TEXT, b"x")) == [("PING", b"efg"), ("TEXT", b"x")]
    assert session.replayed_bytes == 3


def test_empty_messages_in_front_are_accepted():
    session = opened()
    session.message_arrived(Opcode.TEXT, b"a")
    for content in (b"", b"", b"b", b""):
        session.message_arrived(Opcode.TEXT, content)
    assert len(sent(accept(session, 1))) == 4
    accept(session, 0)
    assert sent(session.refresh()) == [("TEXT", b"b"), ("TEXT", b"")]


def test_what_came_meanwhile_is_news():
    session = opened()
    session.message_arrived(Opcode.TEXT, b"a")
    session.message_arrived(Opcode.TEXT, b"b")
    assert sent(accept(session, 0)) == [("TEXT", b"a"), ("TEXT", b"b")]
    assert session.replayed_bytes == 1
    assert sent(accept(session, 1)) is None
    assert session.replayed_bytes == 1


@pytest.mark.parametrize("ask", ["poll_due", "refresh"])
def test_other_requests_have_it_too(ask):
    session, _ = session_opened(fields=[(b"Keep-Alive-Interval", b"20")])
    session.message_arrived(Opcode.TEXT, b"a")
    assert accept(session, 0) == [PollAfter(20)]
    assert sent(getattr(session, ask)()) == [("TEXT", b"a")]


@pytest.mark.parametrize("count", [b"", b"-1", b"x", b"1" * 16, b"\xb2"])
def test_a_count_that_is_none_accepts_all(count):
    session = opened()
    session.message_arrived(Opcode.TEXT, b"a")
    assert answer(session, fields=[(b"Content-Bytes-Accepted", count)]) == []
    assert sent(session.refresh()) == []


def test_more_than_was_offered_is_an_error():
    session = opened()
    session.message_arrived(Opcode.TEXT, b"short")
    with pytest.raises(GripError, match="more than was offered"):
        accept(session, 6)
    close, end = session.backend_failed(FAILURE)
    assert (close.code, end) == (1011, ends(CloseReason.BACKEND_FAILED))


def test_one_event_a_request_with_a_part_accepted():
    session = opened(one_event=True)
    session.message_arrived(Opcode.TEXT, b"abc")
    session.message_arrived(Opcode.TEXT, b"d")
    assert sent(accept(session, 1)) == [("TEXT", b"bc")]
    assert sent(accept(session, 2)) == [("TEXT", b"d")]
    assert sent(accept(session, 0)) is None
    session.message_arrived(Opcode.TEXT, b"e")
    with pytest.raises(GripError, match="nothing is accepted"):
        accept(session, 0)


def test_a_close_waits_for_the_messages_before_it():
    session, _ = session_opened(fields=[(b"Keep-Alive-Interval", b"20")])
    session.message_arrived(Opcode.TEXT, b"abc")
    session.client_closed(1000, "")
    effects = accept(session, 0)
    close = ("CLOSE", b"\x03\xe8")
    assert sent(effects) == [("TEXT", b"abc"), close]
    assert accept(session, 1) == [PollAfter(20)]
    assert sent(session.poll_due()) == [("TEXT", b"bc"), close]
    assert session.replayed_bytes == 4
    with pytest.raises(GripError, match="a part of the content of CLOSE"):
        accept(session, 3)


def test_a_close_that_waits_without_an_interval_is_answered():
    session = opened()
    session.message_arrived(Opcode.TEXT, b"abc")
    accept(session, 0)
    session.client_closed(1000, "")
    close = SendClose(1000, "")
    assert accept(session, 0) == [close, ends(CloseReason.CLIENT_CLOSED)]
    assert session.is_finished


def test_what_is_not_accepted_goes_before_the_disconnect_once():
    session = opened()
    session.message_arrived(Opcode.TEXT, b"abc")
    accept(session, 1)
    assert sent(session.client_gone()) == [("TEXT", b"bc"), ("DISCONNECT", b"")]
    assert accept(session, 0) == []
    assert session.is_finished


def test_a_failed_request_does_not_keep_the_disconnect_back():
    session = opened(one_event=True)
    session.message_arrived(Opcode.TEXT, b"a")
    session.message_arrived(Opcode.TEXT, b"b")
    session.client_gone()
    assert sent(session.backend_failed(FAILURE)) == [("TEXT", b"b")]
    assert sent(session.backend_failed(FAILURE)) == [("DISCONNECT", b"")]


# -- both at once --------------------------------------------------------------------------------


def test_closes_of_both_sides_that_cross():
    session = opened()
    session.message_arrived(Opcode.TEXT, b"a")
    assert session.client_closed(1000, "bye") == []
    effects = answer(session, ("CLOSE", b"\x0f\xa0"))
    assert effects[:2] == [SendClose(4000, ""), ends(CloseReason.CLIENT_CLOSED)]
    assert sent(effects) == [("CLOSE", b"\x03\xe8bye")]
    assert not session.is_finished
    assert answer(session) == []
    assert session.is_finished


def test_a_client_that_was_told_to_close_is_not_told_again_when_the_backend_is_lost():
    session, _ = session_opened("CLOSE", fields=[(b"Keep-Alive-Interval", b"20")])
    session.poll_due()
    assert session.backend_failed(FAILURE) == [ends(CloseReason.BACKEND_FAILED)]
