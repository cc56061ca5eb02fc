import json

import pytest

from realtime_proxy.demo.backend import DemoBackend
from realtime_proxy.demo.publish_form import demo_item
from realtime_proxy.demo.pushpin_target import MAX_BODY_BYTES, PushpinTarget
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


@pytest.mark.parametrize("target", [b"/other", b"/demo", b"/demo/ws", b"//", b"/Stream"])
def test_not_found(ask, target):
    response = ask(target)
    assert (response.status, response.body) == (404, b"no such test resource\n")


@pytest.mark.parametrize("target", [b"/response", b"/stream?channel=a"])
def test_it_has_the_resources_of_the_test_target(ask, target):
    request = RequestHead(b"GET", target, Headers())
    assert ask(target) == PushpinTarget().answer(request, b"")


def test_large_request(ask, publisher):
    body = b"message=" + b"x" * MAX_BODY_BYTES
    response = ask(b"/demo/publish", method=b"POST", body=body)
    assert (response.status, response.body) == (400, b"request too large\n")
    assert publisher.items == []


def test_demo_websocket(open_websocket):
    _, control = decode_events(open_websocket(b"/demo/ws?channel=other").body)
    assert json.loads(control.content[2:])["channel"] == "demo"


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
