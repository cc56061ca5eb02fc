"""Request targets: paths, whole URIs, and what is neither."""

import pytest

from realtime_proxy.errors import ProtocolError
from realtime_proxy.wire.request_target import absolute_form


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"GET", b"/"),
        (b"GET", b"/a?b"),
        (b"GET", b"//host/a"),
        (b"GET", b"/http://host/"),
        (b"OPTIONS", b"*"),
    ],
)
def test_paths(method: bytes, target: bytes) -> None:
    assert absolute_form(method, target) is None


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        (b"http://a.example/b?c=d", b"a.example", b"/b?c=d"),
        (b"HTTPS://A:8080/", b"A:8080", b"/"),
        (b"http://a", b"a", b"/"),
        (b"http://a:", b"a:", b"/"),
        (b"http://a?b=/c", b"a", b"/?b=/c"),
        (b"http://[::1]:80//b//", b"[::1]:80", b"//b//"),
        (b"http://a/http://b/@c", b"a", b"/http://b/@c"),
        (b"http://a?@b", b"a", b"/?@b"),
    ],
)
def test_whole_uris(target: bytes, host: bytes, path: bytes) -> None:
    assert absolute_form(b"GET", target) == (host, path)


def test_options_of_a_whole_server() -> None:
    assert absolute_form(b"OPTIONS", b"http://a:80") == (b"a:80", b"*")
    assert absolute_form(b"OPTIONS", b"http://a/") == (b"a", b"/")


@pytest.mark.parametrize(
    "target",
    [
        *(b"a", b"*", b"a:443", b"http:", b"http:/a", b"http:a", b"http://", b"http:///a"),
        *(b"http://user@a/", b"http://u:p@a/", b"http://a:b/", b"http://a:80:80/", b"ws://a/"),
        *(b"ftp://a/", b"file:///etc/passwd", b"http://[g]/", b"http://a#b", b"http://a\\b/"),
        *(b"xhttp://a/", b"http://a b/", b"?a", b"#a", b""),
    ],
)
def test_neither(target: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        absolute_form(b"GET", target)
    assert caught.value.status == 400
