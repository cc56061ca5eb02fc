"""The frames of SockJS: what is escaped, and what is taken from clients."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.sessions import sockjs_frames
from realtime_proxy.sessions.sockjs_frames import (
    decode_payload,
    decode_websocket_payload,
    quoted,
)

DEEP = b"[" * 200_000 + b"]" * 200_000


@given(st.text())
def test_text_comes_back_as_it_was(text: str) -> None:
    assert json.loads(quoted(text)) == text


@pytest.mark.parametrize("text", ["\x00", "\x7f", "\u200d", "\u2028", "\u2029", "\ufeff", "\uffff"])
def test_what_browsers_lose_is_escaped(text: str) -> None:
    assert quoted(text) == f'"\\u{ord(text):04x}"'


def test_other_text_is_as_it_is() -> None:
    assert quoted("é € 😀") == '"é € 😀"'


def test_frames() -> None:
    assert sockjs_frames.messages([quoted("a"), quoted('"')]) == 'a["a","\\""]'
    assert sockjs_frames.close(3000, 'Go "away"') == 'c[3000,"Go \\"away\\""]'


def test_payloads_are_lists_of_strings() -> None:
    assert decode_payload(b'["a", "\\u00f6"]') == ["a", "ö"]
    assert decode_payload(b"[]") == []


def test_half_a_character_is_replaced() -> None:
    assert decode_payload(b'["a\\ud83d", "\\ud83d\\ude00"]') == ["a\ufffd", "😀"]


def test_there_may_be_so_many_at_once() -> None:
    """Each takes some memory and time, however short it is."""
    assert len(decode_payload(b"[" + b'"",' * 9_999 + b'""]')) == 10_000
    for decode in (decode_payload, decode_websocket_payload):
        with pytest.raises(ValueError, match="10000"):
            decode(b"[" + b'"",' * 10_000 + b'""]')


@pytest.mark.parametrize(
    "payload", [b"", b"x", b"{}", b"[1]", b'"s"', b"null", b'["a"', b'["\xff"]', DEEP]
)
def test_other_payloads_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  that it is one is all that is promised
        decode_payload(payload)


def test_on_a_websocket_one_message_may_be_a_string() -> None:
    assert decode_websocket_payload(b'"s"') == ["s"]
    assert decode_websocket_payload(b'["a"]') == ["a"]
    assert decode_websocket_payload(b"") == []


@pytest.mark.parametrize("payload", [b"x", b"{}", b"[1]", b"1", DEEP])
def test_other_messages_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  that it is one is all that is promised
        decode_websocket_payload(payload)
