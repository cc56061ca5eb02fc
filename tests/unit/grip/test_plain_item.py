"""The short way for usual items: it gives what the general reader gives, or nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.errors import PublishError
from realtime_proxy.grip.plain_item import read_plain_item
from realtime_proxy.grip.publish import item_from_json
from realtime_proxy.model.item import HttpStream, Item, WebSocketMessage

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ODD = st.one_of(TEXT, st.none(), st.integers(), st.lists(TEXT, max_size=2), st.just({}))
PAYLOADS = st.dictionaries(
    st.sampled_from(["content", "body", "action", "type", "content-bin", "code", "headers"]), ODD
)
FORMATS = st.dictionaries(
    st.sampled_from(["http-response", "http-stream", "ws-message", "other"]), PAYLOADS | ODD
)
ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "channel": ODD,
        "id": ODD,
        "prev-id": ODD,
        "formats": FORMATS | ODD,
        "meta": ODD,
        "no-seq": ODD,
        "http-stream": PAYLOADS,
    },
)


def test_a_usual_item_is_read() -> None:
    text = json.dumps(
        {
            "channel": "c",
            "id": "2",
            "prev-id": "1",
            "formats": {"http-stream": {"content": "ü"}, "ws-message": {"content": "x"}},
        }
    )
    plain = read_plain_item(text.encode())
    assert plain is not None
    assert (plain.channel, plain.id) == ("c", "2")
    assert plain.item() == Item(
        "c",
        "2",
        "1",
        http_stream=HttpStream(content="ü".encode()),
        ws_message=WebSocketMessage(content=b"x"),
    )


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"channel":"c"}',
        b'{"channel":"c","formats":{}}',
        b'{"channel":"c","formats":{"http-stream":null}}',
        b'{"channel":"c","formats":{"http-stream":{"content":"x","action":"send"}}}',
        b'{"channel":"c","id":"a\\nb","formats":{"http-stream":{"content":"x"}}}',
        b'{"channel":"c","formats":{"http-stream":{"content":"x"}},"meta":{}}',
    ],
)
def test_anything_else_is_left_to_the_general_reader(text: bytes) -> None:
    assert read_plain_item(text) is None


@given(ITEMS)
def test_both_readers_agree(value: dict[str, object]) -> None:
    plain = read_plain_item(json.dumps(value).encode())
    try:
        general = item_from_json(value)
    except PublishError:
        general = None
    if plain is not None:
        assert plain.item() == general
