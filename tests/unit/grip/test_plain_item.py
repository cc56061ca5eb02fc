"""The short way for usual items: it gives what the general reader gives, or nothing."""

import json

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from realtime_proxy.errors import PublishError
from realtime_proxy.grip.json_text import decode_json
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


# -- as it is written ------------------------------------------------------------------------


def members(names: list[bytes], values: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Objects with some of these names, any of them more than once."""
    pairs = st.tuples(st.sampled_from(names), values).map(b'"%b":%b'.__mod__)
    return st.lists(pairs, min_size=1, max_size=3).map(lambda all_: b"{" + b",".join(all_) + b"}")


SPELLINGS = [b'"a"', b'"b"', b'""', b'"\\u0061"', b'"\xc3\xbc"', b'"\\ud83d\\ude00"', b'"\\/"']
WRONG = [b'"\\n"', b'"\\ud800"', b'"\xff"', b'"\xed\xa0\x80"', b'"a\nb"', b"1", b"null", b"[]"]
STRINGS = st.sampled_from(SPELLINGS * 8 + WRONG)
WRITTEN_FORMATS = members(
    [b"http-stream", b"ws-message", b"ws-messag\\u0065"],
    members([b"content", b"c\\u006fntent"], STRINGS),
)
MEMBERS = st.one_of(
    st.tuples(st.sampled_from([b"channel", b"ch\\u0061nnel", b"id", b"i\\u0064"]), STRINGS),
    st.tuples(st.sampled_from([b"formats", b"f\\u006frmats", b"http-stream"]), WRITTEN_FORMATS),
)
FRINGES = st.sampled_from([*[b""] * 8, b" ", b"\r\n", b"x", b"\x00", b"\xef\xbb\xbf"])


@st.composite
def item_texts(draw: st.DrawFn) -> bytes:
    """Items with members that are there twice, spelled otherwise, or wrong, in any order."""
    usual = [(b"channel", b'"c"'), (b"formats", b'{"http-stream":{"content":"x"}}')]
    found = draw(st.permutations(usual + draw(st.lists(MEMBERS, max_size=3))))
    return draw(FRINGES) + b"{" + b",".join(map(b'"%b":%b'.__mod__, found)) + b"}" + draw(FRINGES)


@settings(max_examples=400)
@given(item_texts())
def test_both_readers_agree_on_every_spelling(text: bytes) -> None:
    """However it is written, no item gets into a channel that the other reader does not name."""
    plain = read_plain_item(text)
    event("left to the general reader" if plain is None else "read")
    if plain is not None:
        general = item_from_json(decode_json(text))
        assert (plain.channel, plain.id or None) == (general.channel, general.id)
        assert plain.item() == general
