import base64
from pathlib import Path

import pytest

from realtime_proxy.config.secrets import is_pem, resolve_secret
from realtime_proxy.errors import ConfigError

NOWHERE = Path("/nonexistent")


@pytest.mark.parametrize("text", ["", "changeme", "kéy", "a:b", "base64", "-----BEGIN X-----\nAAA"])
def test_a_plain_text_is_the_secret_itself(text):
    assert resolve_secret(text, NOWHERE) == text.encode()


def test_base64():
    key = bytes(range(256))
    assert resolve_secret("base64:" + base64.b64encode(key).decode(), NOWHERE) == key


def test_an_environment_variable_is_taken_as_it_is(monkeypatch):
    monkeypatch.setenv("A_KEY", "base64:not decoded\n")
    assert resolve_secret("env:A_KEY", NOWHERE) == b"base64:not decoded\n"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"text", b"text"),
        (b"text\r\n", b"text"),
        (b"two words\n\n", b"two words"),
        (b"\xff\x00not text\n", b"\xff\x00not text\n"),
        (b"a\nb\n", b"a\nb\n"),
        ("é\n".encode(), "é\n".encode()),
    ],
)
def test_of_a_text_in_a_file_the_line_end_is_left_out(tmp_path, content, secret):
    (tmp_path / "key").write_bytes(content)
    assert resolve_secret("file:key", tmp_path) == secret
    assert resolve_secret(f"file:{tmp_path}/key", NOWHERE) == secret


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("env:REALTIME_PROXY_NO_SUCH_NAME", "REALTIME_PROXY_NO_SUCH_NAME is not set"),
        ("env:", "(no name)"),
        ("file:missing", "can't read"),
        ("file:empty", "is empty"),
        ("file:blank", "is empty"),
        ("base64:", "nothing follows"),
    ],
)
def test_what_is_missing_is_named(tmp_path, text, problem):
    (tmp_path / "empty").touch()
    (tmp_path / "blank").write_text("\n")
    with pytest.raises(ConfigError) as caught:
        resolve_secret(text, tmp_path)
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", ["base64:%%%secret", "base64:secré", "base64:abc"])
def test_a_wrong_base64_is_not_quoted(text):
    with pytest.raises(ConfigError) as caught:
        resolve_secret(text, NOWHERE)
    assert text.removeprefix("base64:") not in str(caught.value)


def test_pem_is_told_from_a_shared_secret():
    assert is_pem(b"\n-----BEGIN PRIVATE KEY-----\n")
    assert not is_pem(b"changeme")
