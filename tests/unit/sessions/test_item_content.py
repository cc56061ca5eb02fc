"""What of an item is for whom, and items of other content."""

import pytest

from realtime_proxy.errors import FilterError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import HttpResponse, HttpStream, Item, MessageType, WebSocketMessage
from realtime_proxy.sessions.item_content import content_of, with_content
from realtime_proxy.wire.encodings import WireForm

RESPONSE = HttpResponse(status=201, headers=Headers([(b"A", b"b")]), body=b"response")
STREAM = HttpStream(content=b"stream", content_filters=("var-subst",))
MESSAGE = WebSocketMessage(content=b"message")
ITEM = Item("c", "2", "1", RESPONSE, STREAM, MESSAGE, {"k": "v"})
FORMS = [
    (WireForm.RESPONSE, RESPONSE, b"response"),
    (WireForm.CHUNK, STREAM, b"stream"),
    (WireForm.RAW, STREAM, b"stream"),
    (WireForm.FRAME, MESSAGE, b"message"),
]


@pytest.mark.parametrize(("form", "payload", "content"), FORMS)
def test_what_is_for_whom(form, payload, content):
    assert content_of(form.payload_of(ITEM)) == content_of(payload) == content


@pytest.mark.parametrize(("form", "payload", "content"), FORMS)
def test_other_content(form, payload, content):
    item = with_content(ITEM, payload, b"other")
    changed = form.payload_of(item)
    assert content_of(changed) == b"other"
    assert changed.content_filters is None
    assert with_content(item, changed, content).channel == "c"
    assert (item.id, item.prev_id, item.meta) == ("2", "1", {"k": "v"})
    assert item.http_response.status == 201


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (MessageType.TEXT, b"\xff"),
        (MessageType.PING, b"x" * 126),
        (MessageType.PONG, b"x" * 126),
    ],
)
def test_what_no_message_may_have(kind, content):
    message = WebSocketMessage(type=kind, content=b"x")
    with pytest.raises(FilterError):
        with_content(Item("c", ws_message=message), message, content)


def test_binary_may_have_anything():
    message = WebSocketMessage(type=MessageType.BINARY)
    item = with_content(Item("c", ws_message=message), message, b"\xff" * 126)
    assert item.ws_message.content == b"\xff" * 126
