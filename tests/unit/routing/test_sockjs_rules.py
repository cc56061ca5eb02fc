"""Which endpoint of SockJS a path is, and what backends see."""

import pytest

from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.routing.sockjs_rules import Endpoint, Kind, SockJsRules

TARGETS = (Target(demo=True),)


def rules_of(sockjs: str, as_path: str = "", url: str = "/s.js") -> SockJsRules:
    rules = SockJsRules.of(Route(TARGETS, sockjs=sockjs, sockjs_as_path=as_path), url)
    assert rules is not None
    return rules


RULES = rules_of("/sock")


def test_without_the_option_there_is_none() -> None:
    assert SockJsRules.of(Route(TARGETS), "/s.js") is None


@pytest.mark.parametrize("path", [b"/", b"/soc", b"/sockets", b"/sock-info", b"/other/sock"])
def test_other_paths(path: bytes) -> None:
    assert RULES.endpoint(path) is None


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"", Kind.GREETING),
        (b"/", Kind.GREETING),
        (b"/info", Kind.INFO),
        (b"/iframe.html", Kind.IFRAME),
        (b"/iframe-1.6.1.html", Kind.IFRAME),
        (b"/websocket", Kind.RAW),
        (b"/info/", Kind.OTHER),
        (b"/iframe.htm", Kind.OTHER),
        (b"/iframe/x.html", Kind.OTHER),
        (b"/a/b", Kind.OTHER),
        (b"/a./b/xhr", Kind.OTHER),
        (b"/a/b./xhr", Kind.OTHER),
        (b"//b/xhr", Kind.OTHER),
        (b"/a//xhr", Kind.OTHER),
        (b"/a/b/xhr/", Kind.OTHER),
    ],
)
def test_paths_without_a_session(path: bytes, kind: Kind) -> None:
    assert RULES.endpoint(b"/sock" + path) == Endpoint(kind)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"xhr", Kind.RECEIVE),
        (b"xhr_streaming", Kind.RECEIVE),
        (b"eventsource", Kind.RECEIVE),
        (b"htmlfile", Kind.RECEIVE),
        (b"jsonp", Kind.RECEIVE),
        (b"xhr_send", Kind.SEND),
        (b"jsonp_send", Kind.SEND),
        (b"websocket", Kind.OTHER),
        (b"else", Kind.OTHER),
    ],
)
def test_paths_of_sessions(name: bytes, kind: Kind) -> None:
    endpoint = RULES.endpoint(b"/sock/000/abc/" + name)
    assert endpoint == Endpoint(kind, b"abc", name)
    assert endpoint.is_of_session == (kind is not Kind.OTHER)


def test_it_may_have_all_paths() -> None:
    rules = rules_of("/")
    assert rules.endpoint(b"/info") == Endpoint(Kind.INFO)
    assert rules.backend_target(b"/0/a/xhr", websocket=False) == b"/"


@pytest.mark.parametrize(
    ("as_path", "websocket", "target", "expected"),
    [
        ("", False, b"/sock/0/a/xhr", b"/sock"),
        ("", True, b"/sock/0/a/websocket", b"/sock/websocket"),
        ("/ws", False, b"/sock/0/a/xhr?t=1&c=2", b"/ws?t=1"),
        ("/ws", True, b"/sock/websocket?c=2", b"/ws?c=2"),
        ("", False, b"/sock/0/a/jsonp?callback=cb", b"/sock"),
        ("", False, b"/sock/0/a/jsonp?a=1&c=cb&b=%20", b"/sock?a=1&b=%20"),
    ],
)
def test_what_backends_see(as_path: str, websocket: bool, target: bytes, expected: bytes) -> None:
    assert rules_of("/sock", as_path).backend_target(target, websocket=websocket) == expected


def test_the_page_loads_the_script() -> None:
    rules = rules_of("/sock", url='http://cdn.test/s.js?a&"b')
    assert b'<script src="http://cdn.test/s.js?a&amp;&quot;b"></script>' in rules.page
    assert rules.etag != RULES.etag
    assert rules.etag == rules_of("/x", url='http://cdn.test/s.js?a&"b').etag
