"""Publish items, envelopes and ZeroMQ messages, in JSON and as TNetStrings."""

import json
from pathlib import Path

import pytest
import tnetstring

from realtime_proxy.errors import PublishError
from realtime_proxy.grip.publish import (
    item_from_json,
    items_from_tnetstring,
    parse_items_json,
    parse_message,
)
from realtime_proxy.grip.tnetstring_text import decode_tnetstring
from realtime_proxy.model.item import HttpStream, Item, WebSocketMessage

ERRORS = json.loads((Path(__file__).parent / "vectors" / "publish_errors.json").read_text())
STREAM = {"channel": "c", "formats": {"http-stream": {"content": "x"}}}
STREAM_ITEM = Item("c", http_stream=HttpStream(content=b"x"))


def as_bytes(value):
    """A value as publishers write it in TNetStrings: all text as bytes."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        return {as_bytes(key): as_bytes(member) for key, member in value.items()}
    return [as_bytes(element) for element in value] if isinstance(value, list) else value


def tnet(value):
    return tnetstring.dumps(as_bytes(value))


def both(value):
    """The item that a value is, the same from either encoding."""
    item = parse_message(b"J" + json.dumps(value).encode()).item()
    assert item_from_json(value) == item
    assert parse_message(b"T" + tnet(value)) == item
    return item


def error_of(function, *args):
    with pytest.raises(PublishError) as caught:
        function(*args)
    return str(caught.value)


def error_of_tnetstring(value):
    error = error_of(parse_message, b"T" + tnet(value))
    return error.removeprefix("received message with invalid format: ")


# -- items -----------------------------------------------------------------------------


def test_everything_an_item_may_have():
    item = both(
        {
            "channel": "é",
            "id": "8",
            "prev-id": "7",
            "formats": {
                "http-response": {"body": "r"},
                "http-stream": {"content": "s"},
                "ws-message": {"content": "w"},
            },
            "meta": {"sender": "é"},
            "size": 12,
            "no-seq": True,
        }
    )
    assert (item.channel, item.id, item.prev_id) == ("é", "8", "7")
    assert item.http_response.body == b"r"
    assert item.http_stream == HttpStream(content=b"s")
    assert item.ws_message == WebSocketMessage(content=b"w")
    assert (item.meta, item.size, item.no_seq) == ({"sender": "é"}, 12, True)


def test_defaults():
    item = both(STREAM)
    assert item == STREAM_ITEM
    assert (item.id, item.prev_id, item.meta, item.size, item.no_seq) == (
        None,
        None,
        {},
        None,
        False,
    )


def test_formats_may_be_at_the_top():
    assert both({"channel": "c", "http-stream": {"content": "x"}}) == STREAM_ITEM


def test_formats_inside_win():
    assert both(STREAM | {"ws-message": {"content": "top"}, "http-response": 5}) == STREAM_ITEM


def test_unknown_members_and_formats_are_ignored():
    assert both(STREAM | {"ttl": None, "priority": [1]}) == STREAM_ITEM
    assert both({"channel": "c", "formats": {"carrier-pigeon": {"coo": 1}}}) == Item("c")


def test_an_empty_channel_is_a_channel():
    assert both(STREAM | {"channel": ""}).channel == ""


def test_empty_ids_are_none():
    item = both(STREAM | {"id": "", "prev-id": ""})
    assert (item.id, item.prev_id) == (None, None)


@pytest.mark.parametrize(("size", "expected"), [(0, 0), ("12", 12), (2.9, 2), ("many", 0)])
def test_size_is_read_generously(size, expected):
    assert both(STREAM | {"size": size}).size == expected


@pytest.mark.parametrize("vector", ERRORS, ids=lambda vector: vector["error"])
def test_errors(vector):
    assert error_of(item_from_json, vector["item"]) == vector["error"]


# What base64 members are to JSON, unknown members are to TNetStrings; `ws-message` knows its own.
JSON_ONLY = ("'body-bin' with", "'http-stream' contains 'content-bin' with")
OTHER_TEXTS = {
    "'http-response' does not contain 'body', 'body-bin', or 'body-patch'": (
        "'http-response' does not contain 'body' or 'body-patch'"
    ),
    "'http-stream' does not contain 'content' or 'content-bin'": (
        "'http-stream' does not contain 'content'"
    ),
}


@pytest.mark.parametrize(
    "vector",
    [
        vector
        for vector in ERRORS
        if "UTF-8" not in vector["error"] and not any(t in vector["error"] for t in JSON_ONLY)
    ],
    ids=lambda vector: vector["error"],
)
def test_errors_of_tnetstrings(vector):
    expected = OTHER_TEXTS.get(vector["error"], vector["error"])
    assert error_of_tnetstring(vector["item"]) == expected


@pytest.mark.parametrize("member", ["channel", "id", "prev-id"])
def test_text_that_is_not_utf8_has_the_wrong_type(member):
    expected = f"publish item object contains '{member}' with wrong type"
    assert error_of_tnetstring(STREAM | {member: b"\xff"}) == expected


def test_meta_that_is_not_utf8_has_the_wrong_type():
    error = error_of_tnetstring(STREAM | {"meta": {"k": b"\xff"}})
    assert error == "'meta' contains 'k' with wrong type"


# -- envelopes ------------------------------------------------------------------------------


def envelope(*items):
    return json.dumps({"items": list(items), "more": 1}).encode()


def test_all_items_in_order():
    items = parse_items_json(envelope(STREAM, STREAM | {"channel": "d"}))
    assert [item.channel for item in items] == ["c", "d"]


def test_no_items_are_fine():
    assert parse_items_json(b'{"items": []}') == []
    assert items_from_tnetstring({"items": []}) == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"not json", "Body is not valid JSON."),
        (b"", "Body is not valid JSON."),
        (b'{"items": []} x', "Body is not valid JSON."),
        (b'"\xff"', "Body is not valid JSON."),
        (b"[" * 100_000, "Body is not valid JSON."),
        (b'["list"]', "Invalid format."),
        (b"null", "Invalid format."),
        (b"{}", "Invalid format: object does not contain 'items'"),
        (b'{"items": {}}', "Invalid format: object contains 'items' with wrong type"),
        (b'{"items": null}', "Invalid format: object contains 'items' with wrong type"),
    ],
)
def test_bad_envelopes(body, text):
    assert error_of(parse_items_json, body) == text


def test_one_bad_item_is_named_by_its_error_alone():
    text = error_of(parse_items_json, envelope({"channel": "c"}))
    assert text == "Invalid format: no formats specified"


def test_among_several_the_bad_item_is_counted():
    text = error_of(parse_items_json, envelope(STREAM, {"channel": 5}, STREAM))
    assert text == (
        "Invalid format: publish item object contains 'channel' with wrong type (item 2)"
    )


def test_items_of_a_command():
    arguments = decode_tnetstring(tnet({"items": [STREAM, STREAM]}))
    assert items_from_tnetstring(arguments) == [STREAM_ITEM, STREAM_ITEM]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (None, "Invalid format: object does not contain 'items'"),
        ([], "Invalid format: object does not contain 'items'"),
        ({}, "Invalid format: object does not contain 'items'"),
        ({"items": b"x"}, "Invalid format: object contains 'items' with wrong type"),
        ({"items": [{"channel": b"c"}]}, "Invalid format: no formats specified"),
    ],
)
def test_bad_arguments_of_a_command(arguments, text):
    assert error_of(items_from_tnetstring, arguments) == text


# -- ZeroMQ messages --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [b"J" + json.dumps(STREAM).encode(), b"T" + tnet(STREAM), tnet(STREAM), tnet(STREAM) + b"x"],
)
def test_messages_in_every_encoding(frame):
    assert parse_message(frame).item() == STREAM_ITEM


@pytest.mark.parametrize("encode", [lambda item: b"J" + json.dumps(item).encode(), tnet])
def test_a_topic_stands_in_for_the_channel(encode):
    formats = {"formats": STREAM["formats"]}
    assert parse_message(encode(formats), "topic").channel == "topic"
    assert parse_message(encode(STREAM), "topic").channel == "topic"
    assert parse_message(encode(STREAM | {"channel": 5}), "topic").channel == "topic"
    assert parse_message(encode(STREAM), "").channel == "c"
    assert item_from_json(formats, "topic").channel == "topic"


BAD = "received message with invalid format"


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (b"J", f"{BAD} (json parse failed)"),
        (b"Jnot json", f"{BAD} (json parse failed)"),
        (b"J" + b"[" * 100_000, f"{BAD} (json parse failed)"),
        (b"J[]", f"{BAD} (not a valid json object)"),
        (b"Jnull", f"{BAD} (not a valid json object)"),
        (b"", f"{BAD} (tnetstring parse failed)"),
        (b"T", f"{BAD} (tnetstring parse failed)"),
        (b"Tnope", f"{BAD} (tnetstring parse failed)"),
        (b"X{}", f"{BAD} (tnetstring parse failed)"),
        (b"T5:hello,", f"{BAD}: publish item object is not an object"),
        (b'J{"channel": "x"}', f"{BAD}: no formats specified"),
        (b'J{"items": []}', f"{BAD}: publish item object does not contain 'channel'"),
        (b"J{}", f"{BAD}: publish item object does not contain 'channel'"),
    ],
)
def test_bad_messages(frame, text):
    assert error_of(parse_message, frame) == text
