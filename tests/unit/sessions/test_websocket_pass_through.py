"""One client and its backend, which speaks WebSocket: two closing handshakes, and what passes."""

import pytest

from realtime_proxy.grip.control_message import Subscribe
from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead, text_response
from realtime_proxy.sessions.effects import (
    AcceptClient,
    CloseBackend,
    Control,
    EndBackend,
    EndClient,
    RejectClient,
    SendClose,
    SendMessage,
    SendToBackend,
)
from realtime_proxy.sessions.websocket_pass_through import WebSocketPassThrough
from realtime_proxy.wire.websocket_frame import Opcode

TEXT = Opcode.TEXT
GRIP = [(b"Sec-WebSocket-Extensions", b"grip")]
DETACH = b'c:{"type": "detach"}'


def accepted(fields=(), *, trusted=False):
    session = WebSocketPassThrough(trusted=trusted)
    (accepts,) = session.answered(ResponseHead(101, b"Switching Protocols", Headers(fields)))
    assert isinstance(accepts, AcceptClient)
    return session, accepts.headers


@pytest.fixture
def session():
    return accepted()[0]


@pytest.fixture
def grip_session():
    return accepted(GRIP)[0]


# -- the handshake -------------------------------------------------------------------------


def test_accepted_with_fields_of_the_backend():
    session, headers = accepted([(b"Sec-WebSocket-Protocol", b"chat"), *GRIP])
    assert headers == [(b"Sec-WebSocket-Protocol", b"chat")]
    assert session.is_accepted
    assert session.is_open


def test_refused_as_the_backend_did():
    session = WebSocketPassThrough(trusted=False)
    head = ResponseHead(403, b"No", Headers([(b"X-Why", b"because")]))
    assert session.answered(head, b"no") == [RejectClient(head, b"no")]
    assert session.is_finished


def test_refused_when_there_is_no_answer():
    session = WebSocketPassThrough(trusted=False)
    (refusal,) = session.unanswered(text_response(502, "down"))
    assert (refusal.head.status, refusal.body) == (502, b"down\n")
    assert refusal.head.headers.get(b"content-type") is None
    assert session.is_finished


def test_client_that_left_before_the_answer():
    for answer in (101, 403):
        session = WebSocketPassThrough(trusted=False)
        assert session.client_gone() == []
        ended = [EndBackend()] if answer == 101 else []
        assert session.answered(ResponseHead(answer, b"", Headers())) == ended
        assert session.is_finished
    session = WebSocketPassThrough(trusted=False)
    session.client_gone()
    assert session.unanswered(text_response(502, "down")) == []


# -- messages ------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG])
def test_messages_pass_both_ways(session, opcode):
    assert session.message_arrived(opcode, b"c:x") == [SendToBackend(opcode, b"c:x")]
    assert session.backend_message_arrived(opcode, b"c:x") == [SendMessage(opcode, b"c:x")]


def test_with_grip_the_prefix_goes_and_control_messages_are_followed(grip_session):
    assert grip_session.backend_message_arrived(TEXT, b"m:x") == [SendMessage(TEXT, b"x")]
    assert grip_session.backend_message_arrived(TEXT, b"x") == []
    subscribe = b'c:{"type": "subscribe", "channel": "a"}'
    assert grip_session.backend_message_arrived(TEXT, subscribe) == [Control(Subscribe("a"))]
    assert grip_session.message_arrived(TEXT, b"c:x") == [SendToBackend(TEXT, b"c:x")]


def test_a_trusted_client_gets_all_as_it_is():
    session, headers = accepted(GRIP, trusted=True)
    assert headers == GRIP
    assert session.backend_message_arrived(TEXT, b"c:x") == [SendMessage(TEXT, b"c:x")]


# -- closing -------------------------------------------------------------------------------


def test_client_closes(session):
    assert session.client_closed(3001, "done") == [CloseBackend(3001, "done")]
    assert session.backend_message_arrived(TEXT, b"last") == [SendMessage(TEXT, b"last")]
    assert session.message_arrived(TEXT, b"late") == []
    assert session.backend_closed(3002, "so be it") == [
        SendClose(3002, "so be it"),
        EndClient(CloseReason.CLIENT_CLOSED),
        EndBackend(),
    ]
    assert session.is_finished


def test_backend_closes(session):
    assert session.backend_closed(4001, "done") == [SendClose(4001, "done")]
    assert session.message_arrived(TEXT, b"last") == [SendToBackend(TEXT, b"last")]
    assert session.client_closed(4001, "") == [
        EndClient(CloseReason.BACKEND_CLOSED),
        CloseBackend(4001, ""),
        EndBackend(),
    ]
    assert session.is_finished


def test_both_close_at_once(session):
    session.client_closed(1000, "")
    ends = [SendClose(1001, ""), EndClient(CloseReason.CLIENT_CLOSED), EndBackend()]
    assert session.backend_closed(1001, "") == ends


def test_backend_that_ends_without_an_answer_to_the_close(session):
    session.client_closed(3001, "done")
    assert session.backend_gone() == [
        SendClose(3001, "done"),
        EndClient(CloseReason.CLIENT_CLOSED),
        EndBackend(),
    ]
    assert session.backend_gone() == []


def test_client_that_ends_without_an_answer_to_the_close(session):
    session.backend_closed(1000, "")
    assert session.client_gone() == [EndBackend()]


def test_lost_backend(session):
    assert session.backend_gone() == [
        SendClose(1011, "backend gone"),
        EndClient(CloseReason.BACKEND_FAILED),
        EndBackend(),
    ]
    assert session.is_finished


def test_backend_that_closed_and_went(session):
    session.backend_closed(1000, "")
    assert session.backend_gone() == [EndBackend()]
    assert session.client_closed(1000, "") == [EndClient(CloseReason.BACKEND_CLOSED)]


def test_lost_client(session):
    assert session.client_gone() == [EndBackend()]
    assert session.backend_message_arrived(TEXT, b"x") == []
    assert session.backend_gone() == []


def test_lost_client_that_had_closed(session):
    session.client_closed(1000, "")
    assert session.client_gone() == [EndBackend()]


@pytest.mark.parametrize(("code", "told"), [(1002, 1011), (1007, 1011), (1009, 1009)])
def test_backend_that_breaks_the_protocol(session, code, told):
    assert session.backend_failed(code, "why") == [
        CloseBackend(code, "why"),
        EndBackend(),
        SendClose(told, "backend: why"),
        EndClient(CloseReason.BACKEND_FAILED),
    ]
    assert session.backend_failed(code, "why") == []


def test_backend_that_breaks_the_protocol_after_its_close(session):
    session.client_closed(1000, "")
    assert session.backend_failed(1002, "why") == [
        EndBackend(),
        SendClose(1011, "backend: why"),
        EndClient(CloseReason.BACKEND_FAILED),
    ]


# -- published closes, and those of the proxy ------------------------------------------------


def test_close_tells_both(session):
    assert session.close(4100, "out") == [SendClose(4100, "out"), CloseBackend()]
    assert session.close(4100, "out") == []
    assert session.backend_message_arrived(TEXT, b"x") == session.message_arrived(TEXT, b"x") == []
    assert session.client_closed(4100, "") == [EndClient(CloseReason.PUBLISHED_CLOSE)]
    assert not session.is_finished
    assert session.backend_closed(None, "") == [EndBackend()]


def test_why_it_was_closed_here_is_told_at_the_end(session):
    session.close(1012, "", CloseReason.SHUTDOWN)
    assert session.client_closed(1012, "") == [EndClient(CloseReason.SHUTDOWN)]


def test_close_where_the_client_is_lost_then(session):
    session.close(4100, "out")
    assert session.client_gone() == []  # the backend still has its time
    assert session.backend_gone() == [EndBackend()]


def test_close_while_the_clients_own_waits_for_its_answer(session):
    session.client_closed(1000, "")
    ends = [SendClose(4100, "out"), EndClient(CloseReason.PUBLISHED_CLOSE)]
    assert session.close(4100, "out") == ends
    assert session.backend_closed(1000, "") == [EndBackend()]


def test_close_before_the_answer_or_after_the_end():
    assert WebSocketPassThrough(trusted=False).close(1000, "") == []
    session, _ = accepted()
    session.client_gone()
    assert session.close(1000, "") == []


def test_detach(grip_session):
    session = grip_session
    assert session.backend_message_arrived(TEXT, DETACH) == [CloseBackend()]
    assert session.backend_message_arrived(TEXT, b"m:late") == []
    assert session.message_arrived(TEXT, b"nobody hears") == []
    assert session.backend_closed(1000, "") == [EndBackend()]
    assert session.is_open
    assert session.client_closed(3000, "bye") == [
        SendClose(3000, "bye"),
        EndClient(CloseReason.CLIENT_CLOSED),
    ]
    assert session.is_finished


def test_detached_backend_that_is_lost_or_fails(grip_session):
    grip_session.backend_message_arrived(TEXT, DETACH)
    assert grip_session.backend_gone() == [EndBackend()]
    assert grip_session.is_open
    session, _ = accepted(GRIP)
    session.backend_message_arrived(TEXT, DETACH)
    assert session.backend_failed(1002, "why") == [EndBackend()]
    assert session.is_open
    assert session.close(4000, "x") == [SendClose(4000, "x")]
