import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import (
    RequestHead,
    Response,
    ResponseHead,
    reason_phrase,
    text_response,
)


@pytest.mark.parametrize(
    ("status", "phrase"),
    [(200, b"OK"), (404, b"Not Found"), (599, b"Undefined Reason"), (0, b"Undefined Reason")],
)
def test_reason_phrases(status, phrase):
    assert reason_phrase(status) == phrase


@pytest.mark.parametrize(
    ("target", "path"), [(b"/a", b"/a"), (b"/a?b?c", b"/a"), (b"/?", b"/"), (b"*", b"*")]
)
def test_the_path_is_the_target_without_its_query(target, path):
    assert RequestHead(b"GET", target, Headers()).path == path


def test_a_response_has_the_standard_reason_unless_it_has_its_own():
    assert Response(404, Headers()).head().reason == b"Not Found"
    assert Response(404, Headers(), reason=b"Gone Fishing").head().reason == b"Gone Fishing"


def test_a_text_response_is_one_line_of_plain_text():
    response = text_response(403, "No é")
    assert response.status == 403
    assert response.headers == [(b"Content-Type", b"text/plain")]
    assert response.body == "No é\n".encode()


def test_the_size_of_a_head_is_without_separators():
    headers = Headers([(b"Name", b"value"), (b"A", b"")])
    assert RequestHead(b"GET", b"/?a", headers).content_bytes() == 3 + 3 + 10
    assert ResponseHead(200, b"OK", headers).content_bytes() == 3 + 2 + 10
