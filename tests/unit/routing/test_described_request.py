"""What gateways say of requests: in headers, by the question itself, or not well enough."""

import pytest

from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.routing.described_request import DescribedRequest

ALL = {
    "X-Forwarded-Method": "POST",
    "X-Forwarded-Uri": "/a?b=c",
    "X-Forwarded-Host": "site.test:8443",
    "X-Forwarded-Proto": "https",
}


def read(fields, target="/decisions/x?y=z", prefix=b"/decisions", is_tls=False, method=b"GET"):
    headers = Headers((name.encode(), value.encode("latin-1")) for name, value in fields)
    question = RequestHead(method, target.encode(), headers)
    return DescribedRequest.read(question, b"own.test", prefix=prefix, is_tls=is_tls)


def test_told_in_headers():
    further = [("Host", "own.test"), ("Cookie", "a=b"), ("Content-Length", "5"), ("X-A", "1")]
    described = read([*ALL.items(), *further, ("X-Forwarded-For", "192.0.2.7")])
    assert (described.host, described.scheme) == (b"site.test:8443", "https")
    assert (described.head.method, described.head.target) == (b"POST", b"/a?b=c")
    assert described.head.headers == [
        (b"Host", b"site.test:8443"),
        (b"Cookie", b"a=b"),
        (b"X-A", b"1"),
        (b"X-Forwarded-For", b"192.0.2.7"),
    ]


@pytest.mark.parametrize(
    ("prefix", "target", "meant"),
    [
        (b"/decisions", "/decisions/x?y=z", b"/x?y=z"),
        (b"/decisions/", "/decisions/x", b"/x"),
        (b"/decisions", "/decisions", b"/"),
        (b"/decisions", "/decisions?a=b", b"/?a=b"),
        (b"", "/x", b"/x"),
        (b"/", "/x", b"/x"),
    ],
)
def test_told_by_the_question_itself(prefix, target, meant):
    described = read([("Host", "own.test")], target, prefix, is_tls=True, method=b"PUT")
    assert (described.host, described.scheme) == (b"own.test", "https")
    assert (described.head.method, described.head.target) == (b"PUT", meant)


def test_websockets_by_their_scheme_or_their_upgrade():
    assert read({**ALL, "X-Forwarded-Proto": "WSS"}.items()).scheme == "wss"
    assert read({**ALL, "X-Forwarded-Proto": "ws"}.items()).scheme == "ws"
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
    assert read([*ALL.items(), *upgrade]).scheme == "wss"
    assert read(upgrade).scheme == "ws"
    assert read([*ALL.items(), ("Sec-WebSocket-Key", "k")]).scheme == "https"


@pytest.mark.parametrize("name", ALL)
def test_what_a_gateway_leaves_out_a_client_could_say(name):
    partly = {key: value for key, value in ALL.items() if key != name}
    with pytest.raises(ProtocolError, match=f"{name} must be there once") as caught:
        read(partly.items())
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "") for name in ALL),
        ("X-Forwarded-Method", "GET /"),
        ("X-Forwarded-Uri", "a"),
        ("X-Forwarded-Uri", "/a b"),
        ("X-Forwarded-Uri", "http://site.test/"),
        ("X-Forwarded-Host", "a.test, b.test"),
        ("X-Forwarded-Host", "a.test/b"),
        ("X-Forwarded-Host", "u@a.test"),
        ("X-Forwarded-Host", "[::1"),
        ("X-Forwarded-Proto", "ftp"),
        ("X-Forwarded-Proto", "https,http"),
    ],
)
def test_what_says_nothing_that_can_be(name, value):
    with pytest.raises(ProtocolError, match=name):
        read({**ALL, name: value}.items())


@pytest.mark.parametrize("name", ALL)
def test_two_values_are_not_guessed_among(name):
    with pytest.raises(ProtocolError, match=name):
        read([*ALL.items(), (name.lower(), ALL[name])])
