"""The CORS fields that a response gets for a page of another origin."""

import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.routing.cross_origin import CrossOrigin


def allowed(response: list[tuple[bytes, bytes]], **request: bytes) -> Headers:
    fields = [(name.replace("_", "-").encode(), value) for name, value in request.items()]
    return CrossOrigin.of(Headers(fields)).allowed(Headers(response))


def test_without_questions_everything_is_allowed_to_everybody() -> None:
    assert allowed([]) == [
        (b"Access-Control-Allow-Methods", b"OPTIONS, HEAD, GET, POST, PUT, DELETE"),
        (b"Access-Control-Allow-Credentials", b"true"),
        (b"Access-Control-Allow-Origin", b"*"),
        (b"Access-Control-Max-Age", b"3600"),
        (b"Vary", b"Origin"),
    ]


def test_what_is_asked_for_is_allowed() -> None:
    fields = allowed(
        [],
        Origin=b"https://a.example",
        Access_Control_Request_Method=b"PATCH",
        Access_Control_Request_Headers=b"X-A, X-B",
    )
    assert fields.get(b"access-control-allow-origin") == b"https://a.example"
    assert fields.get(b"access-control-allow-methods") == b"PATCH"
    assert fields.get(b"access-control-allow-headers") == b"X-A, X-B"


def test_what_the_backend_says_stays() -> None:
    given = [(b"access-control-allow-origin", b"https://only"), (b"ACCESS-CONTROL-MAX-AGE", b"5")]
    fields = allowed(list(given), Origin=b"https://a.example")
    assert fields[:2] == given
    assert len(fields.get_all(b"access-control-allow-origin")) == 1
    assert len(fields.get_all(b"access-control-max-age")) == 1
    assert not fields.has(b"vary")  # what varies with the origin is the backend's own affair


def test_names_that_are_not_simple_are_exposed_once() -> None:
    given = [
        (b"Content-Type", b"text/plain"),
        (b"Content-Length", b"1"),
        (b"X-One", b"1"),
        (b"x-one", b"2"),
        (b"ETag", b'"1"'),
        (b"Grip-Hold", b"stream"),
        (b"Access-Control-Max-Age", b"5"),
    ]
    assert allowed(given).get(b"access-control-expose-headers") == b"X-One, ETag"


def test_nothing_to_expose_is_not_said() -> None:
    given = [(b"Content-Type", b"text/plain"), (b"cache-control", b"no-store")]
    assert not allowed(given).has(b"access-control-expose-headers")


@pytest.mark.parametrize("vary", [b"Origin", b"accept, ORIGIN", b"*"])
def test_vary_is_not_said_twice(vary: bytes) -> None:
    assert allowed([(b"Vary", vary)]).get_all(b"vary") == [vary]


def test_vary_is_added_to_another() -> None:
    assert allowed([(b"Vary", b"Accept")]).tokens(b"vary") == [b"accept", b"origin"]
