"""The resources of Pushpin's `test` target."""

import json

import pytest

from realtime_proxy.demo.pushpin_target import MAX_BODY_BYTES, PushpinTarget
from realtime_proxy.grip.instruct import HoldMode, parse_instruct
from realtime_proxy.grip.websocket_events import Event, decode_events, encode_events
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response

BROWSER = (b"Accept", b"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")


def ask(
    target: bytes,
    *headers: tuple[bytes, bytes],
    method: bytes = b"GET",
    body: bytes = b"",
    prefix: bytes = b"",
) -> Response:
    request = RequestHead(method, target, Headers(headers))
    return PushpinTarget(prefix).answer(request, body)


def open_websocket(target: bytes, *events: Event, prefix: bytes = b"") -> Response:
    kind = (b"Content-Type", b"application/websocket-events")
    body = encode_events(events or [Event(b"OPEN")])
    return ask(target, kind, method=b"POST", body=body, prefix=prefix)


def channels(response: Response) -> list[str]:
    return [channel.name for channel in parse_instruct(response.head(), response.body).channels]


@pytest.mark.parametrize("method", [b"GET", b"POST", b"BREW"])
@pytest.mark.parametrize("target", [b"/", b"", b"/?x=y"])
def test_front_door(method: bytes, target: bytes) -> None:
    response = ask(target, BROWSER, method=method)
    assert response.status == 200
    assert response.headers == [(b"Content-Type", b"text/plain")]
    assert response.body == b"Hello from the Pushpin test handler!\n"


@pytest.mark.parametrize("target", [b"/response", b"/response/", b"/response?x=y"])
def test_response_hold(target: bytes) -> None:
    held = parse_instruct(ask(target).head(), ask(target).body)
    assert (held.hold, held.status, held.body) == (HoldMode.RESPONSE, 200, b"nothing for now\n")
    assert held.headers == [(b"Content-Type", b"text/plain")]
    assert channels(ask(target)) == ["test"]


def test_stream_hold() -> None:
    held = parse_instruct(ask(b"/stream/").head(), ask(b"/stream/").body)
    assert (held.hold, held.status, held.body) == (HoldMode.STREAM, 200, b"[stream opened]\n")
    assert channels(ask(b"/stream")) == ["test"]


@pytest.mark.parametrize("target", [b"/response", b"/stream"])
def test_channels_of_the_query(target: bytes) -> None:
    response = ask(target + b"?channel=a&x=y&channel=b%20%C3%BC")
    assert channels(response) == ["a", "b ü"]


@pytest.mark.parametrize("query", [b"channel=a%0D%0AX-Evil:%201", b"channel=a%00", b"channel=\xff"])
def test_channels_that_no_header_can_hold(query: bytes) -> None:
    response = ask(b"/stream?" + query)
    assert response.status == 400
    assert not response.headers.has(b"grip-hold")


@pytest.mark.parametrize(
    "target", [b"/other", b"/ws", b"//", b"/Stream", b"/demo/publish", b"/demo/events"]
)
def test_not_found(target: bytes) -> None:
    response = ask(target)
    assert (response.status, response.body) == (404, b"no such test resource\n")
    assert response.headers == [(b"Content-Type", b"text/plain")]


def test_large_request() -> None:
    body = b"x" * MAX_BODY_BYTES
    assert ask(b"/response", method=b"POST", body=body).status == 200
    response = ask(b"/response", method=b"POST", body=body + b"x")
    assert (response.status, response.body) == (400, b"request too large\n")


def test_websocket() -> None:
    response = open_websocket(b"/ws?channel=a&channel=b")
    opened, *controls = decode_events(response.body)
    assert opened == Event(b"OPEN")
    assert [json.loads(control.content[2:])["channel"] for control in controls] == ["a", "b"]


def test_large_websocket_message() -> None:
    response = open_websocket(b"/ws", Event(b"TEXT", b"x" * (MAX_BODY_BYTES + 1)))
    assert response.status == 200


@pytest.mark.parametrize("target", [b"/", b"/stream", b"/demo/ws"])
def test_websocket_elsewhere(target: bytes) -> None:
    response = open_websocket(target)
    assert (response.status, response.body) == (404, b"no such test resource\n")


@pytest.mark.parametrize(
    ("prefix", "target"),
    [
        (b"/test", b"/test/stream"),
        (b"/test/", b"/test/stream/"),
        (b"/test/", b"/stream"),
        (b"/", b"/stream"),
    ],
)
def test_what_the_routes_paths_begin_with_is_no_part_of_the_name(
    prefix: bytes, target: bytes
) -> None:
    assert channels(ask(target, prefix=prefix)) == ["test"]


def test_prefixes_of_other_resources() -> None:
    assert ask(b"/test", prefix=b"/test").status == 200
    assert ask(b"/test/", prefix=b"/test/").status == 200
    assert open_websocket(b"/test/ws", prefix=b"/test/").status == 200
