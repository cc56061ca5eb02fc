"""Control messages of backends inside WebSockets."""

import json

import pytest

from realtime_proxy.grip.control_message import (
    Detach,
    FlushDelayed,
    KeepAliveOff,
    SendDelayed,
    Session,
    SetKeepAlive,
    SetMeta,
    Subscribe,
    Unsubscribe,
    parse_control_message,
)
from realtime_proxy.grip.keep_alive import KeepAliveMode
from realtime_proxy.model.item import MessageType

TEXT, BINARY, PING, PONG = (
    MessageType.TEXT,
    MessageType.BINARY,
    MessageType.PING,
    MessageType.PONG,
)
IDLE, INTERVAL = KeepAliveMode.IDLE, KeepAliveMode.INTERVAL


def parse(kind, **members):
    named = {name.replace("_", "-"): value for name, value in members.items()}
    return parse_control_message(json.dumps({"type": kind, **named}).encode())


@pytest.mark.parametrize(
    ("kind", "members", "message"),
    [
        ("subscribe", {"channel": "é"}, Subscribe("é")),
        ("subscribe", {"channel": "c", "filters": []}, Subscribe("c")),
        ("subscribe", {"channel": "c", "filters": ["a"] * 6}, Subscribe("c", ("a",) * 6)),
        ("subscribe", {"channel": "c", "more": None}, Subscribe("c")),
        ("unsubscribe", {"channel": "c"}, Unsubscribe("c")),
        ("detach", {}, Detach()),
        ("session", {"id": "s"}, Session("s")),
        ("session", {"id": ""}, Session(None)),
        ("session", {}, Session(None)),
        ("set-meta", {"name": "n", "value": "v"}, SetMeta("n", "v")),
        ("set-meta", {"name": "n", "value": ""}, SetMeta("n", "")),
        ("set-meta", {"name": "n"}, SetMeta("n", None)),
        ("flush-delayed", {}, FlushDelayed()),
    ],
)
def test_messages(kind, members, message):
    assert parse(kind, **members) == message


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, KeepAliveOff()),
        ({"timeout": 5, "mode": "interval"}, KeepAliveOff()),
        ({"content": "é"}, SetKeepAlive("é".encode(), TEXT, 55, IDLE)),
        ({"content": ""}, SetKeepAlive(b"", TEXT, 55, IDLE)),
        ({"content": "k", "timeout": 0}, SetKeepAlive(b"k", TEXT, 55, IDLE)),
        ({"content": "k", "timeout": "7"}, SetKeepAlive(b"k", TEXT, 7, IDLE)),
        ({"content": "k", "mode": "interval"}, SetKeepAlive(b"k", TEXT, 55, INTERVAL)),
        ({"content": "k", "mode": "unknown"}, SetKeepAlive(b"k", TEXT, 55, IDLE)),
        ({"content_bin": "/w", "content": "k"}, SetKeepAlive(b"\xff", BINARY, 55, IDLE)),
        ({"content_bin": "aw==", "message_type": "text"}, SetKeepAlive(b"k", TEXT, 55, IDLE)),
        ({"message_type": "ping"}, SetKeepAlive(b"", PING, 55, IDLE)),
        ({"message_type": "pong", "content": "p"}, SetKeepAlive(b"p", PONG, 55, IDLE)),
        ({"message_type": "binary"}, KeepAliveOff()),
    ],
)
def test_keep_alive(members, message):
    assert parse("keep-alive", **members) == message


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"content": "d"}, SendDelayed(b"d", TEXT, 1)),
        ({"content": "d", "timeout": 0}, SendDelayed(b"d", TEXT, 1)),
        ({"content": "d", "timeout": 9}, SendDelayed(b"d", TEXT, 9)),
        ({"content_bin": "/w=="}, SendDelayed(b"\xff", BINARY, 1)),
        ({"message_type": "ping"}, SendDelayed(b"", PING, 1)),
    ],
)
def test_send_delayed(members, message):
    assert parse("send-delayed", **members) == message


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("here", {}),
        (5, {}),
        (None, {}),
        ([], {}),
        ("subscribe", {}),
        ("subscribe", {"channel": ""}),
        ("subscribe", {"channel": 5}),
        ("subscribe", {"channel": None}),
        ("subscribe", {"channel": "c", "filters": "f"}),
        ("subscribe", {"channel": "c", "filters": None}),
        ("subscribe", {"channel": "c", "filters": [1]}),
        ("unsubscribe", {}),
        ("unsubscribe", {"channel": ""}),
        ("session", {"id": 5}),
        ("set-meta", {"value": "v"}),
        ("set-meta", {"name": ""}),
        ("set-meta", {"name": "n", "value": None}),
        ("set-meta", {"name": "n", "value": 5}),
        ("keep-alive", {"content": 5}),
        ("keep-alive", {"content_bin": 5, "content": "k"}),
        ("keep-alive", {"content": "k", "timeout": -1}),
        ("keep-alive", {"content": "k", "timeout": "soon"}),
        ("keep-alive", {"content": "k", "timeout": 1.5}),
        ("keep-alive", {"content": "k", "timeout": True}),
        ("keep-alive", {"content": "k", "timeout": None}),
        ("keep-alive", {"content": "k", "timeout": 2**31}),
        ("keep-alive", {"content": "k", "mode": 5}),
        ("keep-alive", {"content": "k", "message_type": "smoke"}),
        ("keep-alive", {"content": "k", "message_type": 5}),
        ("keep-alive", {"content": "k" * 126, "message_type": "ping"}),
        ("keep-alive", {"content_bin": "/w==", "message_type": "text"}),
        ("send-delayed", {}),
        ("send-delayed", {"message_type": "binary"}),
        ("send-delayed", {"content": "d", "timeout": -1}),
    ],
)
def test_messages_that_are_ignored(kind, members):
    assert parse(kind, **members) is None


@pytest.mark.parametrize("content", [b"", b"x", b"[]", b"{}", b'"detach"', b"\xff", b"[" * 9999])
def test_what_is_no_message_is_ignored(content):
    assert parse_control_message(content) is None
