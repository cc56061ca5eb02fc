import re

import pytest

from realtime_proxy.app.pushpin_lines import pushpin_line

HEAD = re.compile(r"\[(\w+)\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (.*)", re.DOTALL)
REQUEST = {
    "method": "GET",
    "uri": "http://ex.org/a?x=1",
    "backend": "localhost:9000",
    "result": "code",
    "status": 200,
    "bytes": 12,
}


def text_of(name, level="info", **fields):
    line = pushpin_line(None, level, {"event": name, "level": level, "timestamp": "", **fields})
    match = HEAD.fullmatch(line)
    assert match, line
    return match[2]


def test_requests_as_pushpin_has_them():
    assert text_of("request", **REQUEST) == (
        "[proxy] GET http://ex.org/a?x=1 -> localhost:9000 code=200 12"
    )
    held = {"method": "GET", "uri": "http://ex.org/events", "backend": "localhost:9000"}
    assert text_of("request", **held, result="accept") == (
        "[proxy] GET http://ex.org/events -> localhost:9000 accept"
    )
    socket = REQUEST | {"uri": "ws://ex.org/ws", "status": 101, "bytes": 0}
    assert text_of("request", **socket) == (
        "[proxy] GET ws://ex.org/ws -> localhost:9000[http] code=101 0"
    )


def test_all_parts_of_a_request_in_their_order():
    line = text_of(
        "request",
        **REQUEST,
        client="192.0.2.1",
        referer="http://ex.org/page",
        route="main",
        retry=True,
        user_agent="curl/8",
        last_ids={"news": "5", "odds": ""},
    )
    assert line == (
        "[proxy] GET http://ex.org/a?x=1 -> localhost:9000 from=192.0.2.1 ref=http://ex.org/page "
        "route=main code=200 12 retry ua=curl/8 #news=5 #odds="
    )


def test_a_request_that_no_backend_was_asked_for():
    assert text_of("request", method="GET", uri="http://a/", result="error") == (
        "[proxy] GET http://a/ error"
    )


@pytest.mark.parametrize(
    ("name", "fields", "text"),
    [
        ("starting", {}, "starting..."),
        ("serving", {"listen": ["x"], "workers": 1}, "started"),
        ("stopping", {"signal": "SIGTERM"}, "stopping..."),
        ("stopped", {}, "stopped"),
        ("configuration changed, reloading", {}, "[proxy] routes file changed, reloading"),
        ("routes loaded with 3 entries", {}, "[proxy] routes loaded with 3 entries"),
        (
            "subscribe",
            {"uri": "ws://a/", "channel": "news"},
            "[handler] subscribe ws://a/ channel=news",
        ),
        (
            "subscribe",
            {"uri": "http://a/", "channel": "news", "retry": True},
            "[handler] subscribe http://a/ channel=news retry",
        ),
        (
            "publish",
            {"channel": "news", "receivers": 2},
            "[handler] publish channel=news receivers=2",
        ),
        (
            "control",
            {"method": "POST", "path": "/publish/", "status": 200, "bytes": 10},
            "[handler] control: POST /publish/ code=200 10",
        ),
        (
            "item skipped",
            {"input": "zmq pull", "problem": "received message with parts != 1, skipping"},
            "[handler] IN pull: received message with parts != 1, skipping",
        ),
        ("item skipped", {"channel": "a"}, "[handler] item skipped channel=a"),
        ("backend failed", {"problem": "odd"}, "[proxy] backend failed problem=odd"),
    ],
)
def test_other_lines(name, fields, text):
    assert text_of(name, **fields) == text


@pytest.mark.parametrize(
    ("level", "written"),
    [("debug", "DEBUG"), ("info", "INFO"), ("warning", "WARN"), ("error", "ERR")],
)
def test_levels(level, written):
    line = pushpin_line(None, level, {"event": "stopped", "level": level})
    assert line.startswith(f"[{written}] ")


def test_what_others_wrote_stays_on_its_line():
    text = text_of("publish", channel="a\n[INFO] forged\x1b", receivers=1)
    assert text == "[handler] publish channel=a\\n[INFO] forged\\x1b receivers=1"


def test_a_traceback_follows():
    text = text_of("request failed", "error", exception="Traceback:\n  ValueError")
    assert text == "[proxy] request failed\nTraceback:\n  ValueError"
