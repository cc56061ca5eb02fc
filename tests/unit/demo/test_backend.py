import json

import pytest

from realtime_proxy.demo.backend import MAX_BODY_BYTES, DemoBackend
from realtime_proxy.demo.publish_form import demo_item
from realtime_proxy.grip.instruct import HoldMode, parse_instruct
from realtime_proxy.grip.websocket_events import Event, decode_events, encode_events
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead

BROWSER = (b"Accept", b"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")


class Publisher:
    """Stands in for the intake: remembers the items, and finds 3 receivers for each."""

    def __init__(self):
        self.items = []

    def __call__(self, item):
        self.items.append(item)
        return 3


@pytest.fixture
def publisher():
    return Publisher()


@pytest.fixture
def ask(publisher):
    backend = DemoBackend(publisher)

    def send(target, *headers, method=b"GET", body=b""):
        fields = Headers([(b"Host", b"localhost:7999"), *headers])
        return backend.answer(RequestHead(method, target, fields), body)

    return send


@pytest.fixture
def open_websocket(ask):
    def send(target, *events):
        kind = (b"Content-Type", b"application/websocket-events")
        return ask(target, kind, method=b"POST", body=encode_events(events or [Event(b"OPEN")]))

    return send


def instruct(response):
    return parse_instruct(response.head(), response.body)


def channels(response):
    return [channel.name for channel in instruct(response).channels]


@pytest.mark.parametrize("method", [b"GET", b"POST", b"BREW"])
@pytest.mark.parametrize("target", [b"/", b"", b"/?x=y"])
def test_front_door(ask, method, target):
    response = ask(target, method=method)
    assert response.status == 200
    assert response.headers == [(b"Content-Type", b"text/plain")]
    assert response.body == b"Hello from the Pushpin test handler!\n"


@pytest.mark.parametrize("accept", [b"*/*", b"text/plain", b"application/json, text/*", b""])
def test_front_door_for_programs(ask, accept):
    assert ask(b"/", (b"Accept", accept)).body.startswith(b"Hello")


def test_front_door_for_browsers(ask):
    response = ask(b"/", BROWSER)
    assert response.headers.get(b"content-type") == b"text/html; charset=utf-8"
    assert b"ws://localhost:7999" in response.headers.get(b"content-security-policy")


@pytest.mark.parametrize("target", [b"/response", b"/response/", b"/response?x=y"])
def test_response_hold(ask, target):
    held = instruct(ask(target))
    assert (held.hold, held.status, held.body) == (HoldMode.RESPONSE, 200, b"nothing for now\n")
    assert held.headers == [(b"Content-Type", b"text/plain")]
    assert channels(ask(target)) == ["test"]


def test_stream_hold(ask):
    held = instruct(ask(b"/stream/"))
    assert (held.hold, held.status, held.body) == (HoldMode.STREAM, 200, b"[stream opened]\n")
    assert channels(ask(b"/stream")) == ["test"]


@pytest.mark.parametrize("target", [b"/response", b"/stream"])
def test_channels_of_the_query(ask, target):
    response = ask(target + b"?channel=a&x=y&channel=b%20%C3%BC")
    assert channels(response) == ["a", "b ü"]


@pytest.mark.parametrize("query", [b"channel=a%0D%0AX-Evil:%201", b"channel=a%00", b"channel=\xff"])
def test_channels_that_no_header_can_hold(ask, query):
    response = ask(b"/stream?" + query)
    assert response.status == 400
    assert not response.headers.has(b"grip-hold")


@pytest.mark.parametrize("target", [b"/other", b"/ws", b"/demo", b"/demo/ws", b"//", b"/Stream"])
def test_not_found(ask, target):
    response = ask(target)
    assert (response.status, response.body) == (404, b"no such test resource\n")
    assert response.headers == [(b"Content-Type", b"text/plain")]


def test_large_request(ask):
    body = b"x" * MAX_BODY_BYTES
    assert ask(b"/response", method=b"POST", body=body).status == 200
    response = ask(b"/response", method=b"POST", body=body + b"x")
    assert (response.status, response.body) == (400, b"request too large\n")


def test_websocket(open_websocket):
    response = open_websocket(b"/ws?channel=a&channel=b")
    opened, *controls = decode_events(response.body)
    assert opened == Event(b"OPEN")
    assert [json.loads(control.content[2:])["channel"] for control in controls] == ["a", "b"]


def test_demo_websocket(open_websocket):
    _, control = decode_events(open_websocket(b"/demo/ws?channel=other").body)
    assert json.loads(control.content[2:])["channel"] == "demo"


def test_large_websocket_message(open_websocket):
    response = open_websocket(b"/ws", Event(b"TEXT", b"x" * (MAX_BODY_BYTES + 1)))
    assert response.status == 200


@pytest.mark.parametrize("target", [b"/", b"/stream", b"/demo/publish"])
def test_websocket_elsewhere(open_websocket, target):
    response = open_websocket(target)
    assert (response.status, response.body) == (404, b"no such test resource\n")


def test_demo_events(ask):
    response = ask(b"/demo/events")
    held = instruct(response)
    assert (held.hold, channels(response)) == (HoldMode.STREAM, ["demo"])
    assert held.headers.get(b"content-type") == b"text/event-stream"
    assert held.headers.get(b"cache-control") == b"no-store"
    assert held.body.startswith(b":")
    assert held.body.endswith(b"\n\n")
    assert (held.keep_alive.content, held.keep_alive.timeout_seconds) == (b":\n\n", 20)


def test_demo_poll(ask):
    response = ask(b"/demo/poll")
    held = instruct(response)
    assert (held.hold, held.timeout_seconds, held.body) == (HoldMode.RESPONSE, 25, b"")
    assert channels(response) == ["demo"]


def test_demo_publish(ask, publisher):
    kind = (b"Content-Type", b"application/json")
    response = ask(b"/demo/publish", kind, method=b"POST", body=b'{"message": "hi"}')
    assert (response.status, response.body) == (200, b'{"receivers": 3}\n')
    assert publisher.items == [demo_item(b"hi")]


def test_demo_publish_takes_nothing_but_post(ask, publisher):
    response = ask(b"/demo/publish?message=x")
    assert (response.status, response.headers.get(b"allow")) == (405, b"POST")
    assert publisher.items == []


def test_demo_publish_refuses(ask, publisher):
    origin = (b"Origin", b"http://evil.com")
    response = ask(b"/demo/publish", origin, method=b"POST", body=b"message=x")
    assert (response.status, response.body) == (403, b"publishing from other sites is refused\n")
    assert publisher.items == []
