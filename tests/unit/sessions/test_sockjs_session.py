"""What waits for a client of SockJS over HTTP, and what it is told."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.sessions.sockjs_session import (
    DISCONNECT_SECONDS,
    HEARTBEAT_SECONDS,
    SockJsSession,
)


@pytest.fixture
def session() -> SockJsSession:
    """A session whose client knows that it is open."""
    session = SockJsSession()
    session.accepted()
    assert session.take() == "o"
    return session


def test_nothing_is_told_before_the_backend_has_accepted() -> None:
    session = SockJsSession()
    session.message(b"early")
    session.close(1000, "early")
    assert session.take() is None
    assert not session.is_accepted
    session.accepted()
    assert session.take() == "o"
    assert session.take() is None


def test_what_waits_goes_in_one_frame(session: SockJsSession) -> None:
    assert session.take() is None
    session.message(b"one")
    session.message("zwöi".encode())
    assert session.waiting_bytes > 0
    assert session.take() == 'a["one","zwöi"]'
    assert session.waiting_bytes == 0
    assert session.take() is None


def test_what_is_no_text_is_told_as_text(session: SockJsSession) -> None:
    session.message(b"\xffa")
    assert session.take() == r'a["\ufffda"]'


def test_the_close_comes_last_and_is_told_to_everyone(session: SockJsSession) -> None:
    session.message(b"last")
    session.close(3456, "go home")
    session.message(b"late")
    assert session.is_closed
    assert [session.take() for _ in range(3)] == ['a["last"]', *['c[3456,"go home"]'] * 2]


def test_a_close_before_the_client_knows_that_it_is_open() -> None:
    session = SockJsSession()
    session.accepted()
    session.close(None, "")
    assert session.take() == "o"
    assert session.take() == 'c[0,"Connection closed"]'


def test_only_the_first_close_counts(session: SockJsSession) -> None:
    session.close(3000, "first")
    session.close(3001, "second")
    assert session.take() == 'c[3000,"first"]'


def test_after_the_end_nothing_is_told(session: SockJsSession) -> None:
    session.message(b"x")
    session.close(3000, "")
    session.end()
    assert session.is_over
    assert not session.is_closed
    assert session.take() is None
    assert session.waiting_bytes == 0


def test_an_empty_message_takes_room_too(session: SockJsSession) -> None:
    session.message(b"")
    assert session.waiting_bytes > 10


def test_a_client_for_whom_too_much_waits_gets_nothing_more(session: SockJsSession) -> None:
    session.message(b"x")
    session.overflow()
    session.message(b"y")
    session.close(1000, "")
    assert session.waiting_bytes == 0
    assert session.take() is None


def test_who_receives_is_sent_heartbeats(session: SockJsSession) -> None:
    session.has_receiver = True
    assert session.patience_seconds == HEARTBEAT_SECONDS
    assert session.due() == "h"


def test_who_does_not_receive_is_gone(session: SockJsSession) -> None:
    assert session.patience_seconds == DISCONNECT_SECONDS
    assert session.due() is None


def test_the_backend_has_its_time_to_accept() -> None:
    session = SockJsSession()
    session.has_receiver = True
    assert session.patience_seconds is None


@given(st.lists(st.one_of(st.none(), st.binary(max_size=5))))
def test_nothing_is_lost_or_changes_places(steps: list[bytes | None]) -> None:
    """Messages come as they please (bytes), and so does the client (None)."""
    session = SockJsSession()
    session.accepted()
    told: list[str] = []
    for step in [*steps, None, None]:
        if step is not None:
            session.message(step)
        elif (frame := session.take()) is not None and frame != "o":
            told += json.loads(frame[1:])
    assert told == [step.decode(errors="replace") for step in steps if step is not None]
