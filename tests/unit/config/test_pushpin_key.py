import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.config.pushpin_key import converted_key, is_moved
from realtime_proxy.config.secrets import resolve_secret

HERE = Path("/etc/pushpin")


@pytest.mark.parametrize("text", ["", "changeme", "a:b", "-----BEGIN X-----\nAA\n"])
def test_texts_stay(text):
    assert converted_key(text, HERE) == text


def test_files_are_where_the_old_configuration_found_them():
    assert converted_key("file:key.pem", HERE) == "file:/etc/pushpin/key.pem"
    assert converted_key("file:/a/key.pem", HERE) == "file:/a/key.pem"
    assert converted_key("file:k", Path()) == f"file:{Path.cwd()}/k"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("base64:QU JD", b"ABC"),
        ("base64:QUI", b"AB"),
        ("base64:QUJDR", b"ABC"),
        ("env:HOME", b"env:HOME"),
    ],
)
def test_the_same_bytes(text, key):
    assert resolve_secret(converted_key(text, HERE), HERE) == key


def test_nothing_after_base64_is_no_key():
    assert converted_key("base64:", HERE) == ""


@given(st.binary(min_size=1))
def test_base64_of_any_bytes(key):
    text = "base64:" + base64.b64encode(key).decode()
    assert converted_key(text, HERE) == text


def test_a_line_end_at_the_end_of_a_file_stays_in_the_key(tmp_path):
    (tmp_path / "key").write_text("secret\n")
    converted = converted_key("file:key", tmp_path)
    assert resolve_secret(converted, tmp_path) == b"secret\n"
    assert is_moved("file:key", converted)
    (tmp_path / "key").write_text("secret")
    assert not is_moved("file:key", converted_key("file:key", tmp_path))
