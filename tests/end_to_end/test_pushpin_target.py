"""Pushpin's `test` target, through the real program."""

import pytest

from realtime_proxy.testing.websocket_client import TEXT

ROUTES = """
[[route]]
targets = [{ test = true }]

[[route]]
path = "/below/"
channel_prefix = "p-"
targets = [{ test = true }]
"""


@pytest.fixture(scope="module")
def program(start):
    return start(ROUTES)


def test_a_stream(connect, program):
    client = connect()
    client.request("GET", "/stream?channel=a")
    assert client.read_head().status == 200
    assert client.read_chunk() == b"[stream opened]\n"
    program.publish_until_taken("a", http_stream={"content": "item"})
    assert client.read_chunk() == b"item"


def test_a_long_poll_below_a_path(connect, program):
    client = connect()
    client.request("GET", "/below/response")
    program.publish_until_taken("p-test", http_response={"body": "item"})
    assert client.read_reply().body == b"item"


def test_a_websocket_needs_nothing_else(program, websocket):
    client = websocket()
    client.open("/ws?channel=b")
    client.send(TEXT, b"c:{}")
    assert client.read().content == b"c:{}"
    program.publish_until_taken("b", ws_message={"content": "item"})
    assert client.read().content == b"item"


def test_there_is_no_page_and_no_publishing(connect):
    for method, target, status in (("GET", "/", 200), ("POST", "/demo/publish", 404)):
        client = connect()
        client.request(method, target, [("Accept", "text/html")], b"message=x")
        reply = client.read_reply()
        assert (reply.status, reply.get("content-type")) == (status, "text/plain")
