"""Heads and responses as values."""

import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response, reason_phrase, text_response


@pytest.mark.parametrize(
    ("status", "phrase"),
    [(200, b"OK"), (404, b"Not Found"), (299, b"Undefined Reason"), (0, b"Undefined Reason")],
)
def test_statuses_have_their_phrases(status: int, phrase: bytes) -> None:
    assert reason_phrase(status) == phrase


@pytest.mark.parametrize(
    ("target", "path"),
    [(b"/a/b?c=d?e", b"/a/b"), (b"/a", b"/a"), (b"/?", b"/"), (b"*", b"*")],
)
def test_the_path_is_the_target_without_its_query(target: bytes, path: bytes) -> None:
    assert RequestHead(b"GET", target, Headers()).path == path


def test_a_response_gets_a_phrase_unless_it_has_one() -> None:
    assert Response(404, Headers()).head().reason == b"Not Found"
    assert Response(404, Headers(), reason=b"Gone Fishing").head().reason == b"Gone Fishing"


def test_a_text_response_is_one_line() -> None:
    response = text_response(502, "Error while proxying to origin.")
    assert response.status == 502
    assert response.headers == [(b"Content-Type", b"text/plain")]
    assert response.body == b"Error while proxying to origin.\n"
