"""TNetStrings: text for keys, bytes for strings, one error for whatever is none."""

import pytest

from realtime_proxy.grip.tnetstring_text import (
    NotTnetstringError,
    decode_tnetstring,
    encode_tnetstring,
    with_text_strings,
)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"3:abc,", b"abc"),
        (b"3:abc,rest", b"abc"),
        (b"2:12#", 12),
        (b"3:1.5^", 1.5),
        (b"4:true!", True),
        (b"0:~", None),
        (b"0:}", {}),
        (b"11:2:\xc3\xa9,3:abc,}", {"é": b"abc"}),
    ],
)
def test_values(data, value):
    assert decode_tnetstring(data) == value


def test_keys_are_text_at_any_depth():
    assert decode_tnetstring(b"19:1:a,11:8:1:b,1:c,}]}") == {"a": [{"b": b"c"}]}


def nested(depth):
    data = b"0:]"
    for _ in range(depth):
        data = b"%d:%b]" % (len(data), data)
    return data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"3:ab",
        b"-1:,",
        b"1\xff:a,",
        b"2:\xff1#",
        b"99999999999999999999:,",
        b"3:abc;",
        b"2:xx!",
        b"1:x#",
        b"5000:" + b"9" * 5000 + b"#",
        b"8:1:1#1:b,}",
        b"7:0:]1:b,}",
        b"8:1:\xff,1:b,}",
        nested(20_000),
    ],
)
def test_what_is_no_tnetstring(data):
    with pytest.raises(NotTnetstringError):
        decode_tnetstring(data)


def test_strings_become_text():
    value = {"a": [b"\xc3\xa9", {"b": b""}], "c": 1, "d": None}
    assert with_text_strings(value) == {"a": ["é", {"b": ""}], "c": 1, "d": None}
    with pytest.raises(UnicodeDecodeError):
        with_text_strings([b"\xff"])


def test_text_is_written_as_utf_8():
    value = {"é": ["ü", b"\xff", {"a": 1}], "b": None, "c": True}
    data = encode_tnetstring(value)
    assert decode_tnetstring(data) == {"é": ["ü".encode(), b"\xff", {"a": 1}], "b": None, "c": True}
