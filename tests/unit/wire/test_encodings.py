import pytest
from wsproto import events
from wsproto.connection import Connection, ConnectionType

from realtime_proxy.model.item import (
    Action,
    HttpResponse,
    HttpStream,
    Item,
    MessageType,
    WebSocketMessage,
)
from realtime_proxy.wire.encodings import WireForm, message_frame

STREAM = Item("a", http_stream=HttpStream(content=b"abc"))
RESPONSE = Item("a", http_response=HttpResponse(body=b"abc"))
SOCKET = Item("a", ws_message=WebSocketMessage(content=b"abc"))
ALL = Item(
    "a",
    http_stream=HttpStream(content=b"s"),
    http_response=HttpResponse(body=b"r"),
    ws_message=WebSocketMessage(content=b"w"),
)


@pytest.mark.parametrize(
    ("form", "item"),
    [
        (WireForm.CHUNK, STREAM),
        (WireForm.RAW, STREAM),
        (WireForm.ITEM, STREAM),
        (WireForm.FRAME, SOCKET),
        (WireForm.RESPONSE, RESPONSE),
    ],
)
def test_a_form_is_concerned_by_its_own_payload_only(form, item):
    assert form.concerns(item)
    assert form.concerns(ALL)
    assert [other for other in (STREAM, SOCKET, RESPONSE) if form.concerns(other)] == [item]


@pytest.mark.parametrize(
    ("form", "data"),
    [
        (WireForm.CHUNK, b"1\r\ns\r\n"),
        (WireForm.RAW, b"s"),
        (WireForm.FRAME, b"\x81\x01w"),
        (WireForm.RESPONSE, None),
        (WireForm.ITEM, None),
    ],
)
def test_an_item_in_each_form(form, data):
    assert form.encode(ALL) == data


@pytest.mark.parametrize("form", WireForm)
@pytest.mark.parametrize("action", [Action.HINT, Action.CLOSE, Action.REFRESH])
def test_what_is_not_to_be_sent_is_left_to_each_subscriber(form, action):
    item = Item(
        "a",
        http_stream=HttpStream(action, b"x"),
        http_response=HttpResponse(action),
        ws_message=WebSocketMessage(action, content=b"x"),
    )
    assert form.encode(item) is None


@pytest.mark.parametrize("form", WireForm)
def test_what_is_for_whom(form):
    payload = form.payload_of(ALL)
    assert payload in (ALL.http_stream, ALL.http_response, ALL.ws_message)
    assert form.concerns(ALL)
    assert form.payload_of(Item("a")) is None
    assert not form.names_filters(ALL)
    assert not form.names_filters(Item("a"))


def test_filters_are_named_for_one_form():
    item = Item("a", http_stream=HttpStream(content_filters=("x",)), ws_message=WebSocketMessage())
    named = {form for form in WireForm if form.names_filters(item)}
    assert named == {WireForm.CHUNK, WireForm.RAW, WireForm.ITEM}


def test_content_that_names_filters_is_left_to_each_subscriber():
    filters = ("var-subst",)
    stream = HttpStream(content=b"x", content_filters=filters)
    item = Item("a", http_stream=stream, ws_message=WebSocketMessage(content_filters=filters))
    assert [form.encode(item) for form in WireForm] == [None] * len(WireForm)
    assert WireForm.RAW.encode(Item("a", http_stream=HttpStream(content_filters=()))) == b""


@pytest.mark.parametrize("form", WireForm)
def test_an_item_without_a_payload_of_the_form_has_no_bytes(form):
    assert form.encode(Item("a")) is None
    assert not form.concerns(Item("a"))


def test_an_empty_stream_item_never_ends_a_chunked_body():
    assert WireForm.CHUNK.encode(Item("a", http_stream=HttpStream())) == b""


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        (MessageType.TEXT, events.TextMessage(data="abc")),
        (MessageType.BINARY, events.BytesMessage(data=b"abc")),
        (MessageType.PING, events.Ping(payload=b"abc")),
        (MessageType.PONG, events.Pong(payload=b"abc")),
    ],
)
def test_a_client_reads_each_type_of_message(kind, read):
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(message_frame(WebSocketMessage(type=kind, content=b"abc")))
    assert list(client.events()) == [read]
