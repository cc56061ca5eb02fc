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
from realtime_proxy.wire.deflate import MAX_BYTES_AT_ONCE, MIN_BYTES, PIECE_BYTES
from realtime_proxy.wire.encodings import WireForm
from realtime_proxy.wire.websocket_frame import Opcode
from realtime_proxy.wire.websocket_reader import FrameReader, Message

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
        (WireForm.KEPT, STREAM),
        (WireForm.FRAME, SOCKET),
        (WireForm.DEFLATED, SOCKET),
        (WireForm.DEFLATED_SMALL, SOCKET),
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
        (WireForm.DEFLATED, b"\x81\x01w"),
        (WireForm.DEFLATED_SMALL, b"\x81\x01w"),
        (WireForm.RESPONSE, None),
        (WireForm.ITEM, None),
        (WireForm.KEPT, None),
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
    assert named == {WireForm.CHUNK, WireForm.RAW, WireForm.ITEM, WireForm.KEPT}


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
    item = Item("a", ws_message=WebSocketMessage(type=kind, content=b"abc"))
    client.receive_data(WireForm.FRAME.encode(item))
    assert list(client.events()) == [read]


DEFLATED = [WireForm.DEFLATED, WireForm.DEFLATED_SMALL]
TEXT = b"".join(b'{"number": %d, "name": "somebody"}\n' % number for number in range(50_000))


def message(content, kind=MessageType.TEXT):
    return Item("a", ws_message=WebSocketMessage(type=kind, content=content))


def of_server(data):
    """What a client that agreed on compression reads."""
    return FrameReader(10_000_000, of_client=False, inflates=True).feed(data)


def test_forms_of_websockets():
    assert [form for form in WireForm if form.is_websocket] == [WireForm.FRAME, *DEFLATED]
    assert [form for form in WireForm if form.is_deflated] == DEFLATED


@pytest.mark.parametrize("form", DEFLATED)
@pytest.mark.parametrize("size", [MIN_BYTES, 5_000, PIECE_BYTES, MAX_BYTES_AT_ONCE])
def test_a_deflated_message_is_the_same_by_itself_and_published(form, size):
    content = TEXT[:size]
    data = form.encode(message(content))
    assert data[0] == 0xC1
    assert len(data) < len(content)
    assert form.frame(Opcode.TEXT, content) == data
    assert of_server(data) == [Message(Opcode.TEXT, content)]
    binary = form.frame(Opcode.BINARY, content)
    assert binary == b"\xc2" + data[1:]


@pytest.mark.parametrize("form", DEFLATED)
@pytest.mark.parametrize("kind", [MessageType.PING, MessageType.PONG])
def test_pings_and_pongs_are_never_deflated(form, kind):
    content = b"a" * 125
    data = form.encode(message(content, kind))
    assert data == WireForm.FRAME.encode(message(content, kind))
    assert data == form.frame(data[0] & 0x0F, content)
    assert list(form.prepare(message(b"a" * 2_000_000, kind))) == []


@pytest.mark.parametrize("form", DEFLATED)
def test_a_small_message_goes_as_it_is(form):
    content = TEXT[: MIN_BYTES - 1]
    assert form.encode(message(content)) == WireForm.FRAME.encode(message(content))
    assert form.frame(1, content) == WireForm.FRAME.frame(1, content)


@pytest.mark.parametrize("form", DEFLATED)
def test_a_large_item_is_prepared_by_pieces(form):
    item = message(TEXT)
    pieces = len(list(form.prepare(item)))
    assert pieces == -(-len(TEXT) // PIECE_BYTES)
    data = form.encode(item)
    assert of_server(data) == [Message(Opcode.TEXT, TEXT)]
    assert len(data) < len(TEXT) / 2
    assert list(form.prepare(item)) == []  # for a second group of its subscribers
    assert form.encode(item) == data
