import json

from realtime_proxy.demo.echo import echo
from realtime_proxy.grip.websocket_events import Event, decode_events, encode_events


def answer(*events, channels=("test",)):
    response = echo(encode_events(events), list(channels))
    assert response.status == 200
    assert response.headers.get(b"content-type") == b"application/websocket-events"
    return response


def test_open_subscribes_to_each_channel():
    channels = ["a", 'b"\r\nü']
    response = answer(Event(b"OPEN"), channels=channels)
    assert response.headers.get(b"sec-websocket-extensions") == b"grip"
    opened, *controls = decode_events(response.body)
    assert opened == Event(b"OPEN")
    for control, channel in zip(controls, channels, strict=True):
        assert control.type == b"TEXT"
        assert control.content[:2] == b"c:"
        assert json.loads(control.content[2:]) == {"type": "subscribe", "channel": channel}


def test_messages_come_back_in_order():
    response = answer(Event(b"TEXT", b"hi"), Event(b"BINARY", b"\xff"), Event(b"TEXT", b""))
    assert not response.headers.has(b"sec-websocket-extensions")
    assert decode_events(response.body) == [
        Event(b"TEXT", b"m:hi"),
        Event(b"BINARY", b"m:\xff"),
        Event(b"TEXT", b"m:"),
    ]


def test_a_client_can_not_send_control_messages():
    response = answer(Event(b"TEXT", b'c:{"type":"detach"}'))
    assert decode_events(response.body) == [Event(b"TEXT", b'm:c:{"type":"detach"}')]


def test_ping_gets_pong():
    response = answer(Event(b"PING", b"x"), Event(b"PING", b""), Event(b"PONG", b"y"))
    assert decode_events(response.body) == [Event(b"PONG", b"x"), Event(b"PONG", b"")]


def test_close_comes_back():
    close = Event(b"CLOSE", b"\x03\xe8bye")
    assert decode_events(answer(close).body) == [close]
    assert decode_events(answer(Event(b"CLOSE")).body) == [Event(b"CLOSE")]


def test_nothing_to_say():
    assert answer(Event(b"DISCONNECT")).body == b""
    assert answer().body == b""


def test_nonsense():
    assert echo(b"OPEN", []).status == 400
