"""JSON texts: one error for whatever is none."""

import pytest

from realtime_proxy.grip.json_text import NotJsonError, decode_json


def test_values():
    assert decode_json('{"a": [1, 1.5, "é", null, true]}'.encode()) == {
        "a": [1, 1.5, "é", None, True]
    }


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"x",
        b"{} {}",
        b"NaN",
        b"1e999",
        b'"\xff"',
        b'"\\ud800"',
        b"\xef\xbb\xbf{}",
        b"9" * 5000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_json(text):
    with pytest.raises(NotJsonError):
        decode_json(text)
