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


def test_a_file_is_found_from_the_configuration_and_taken_as_it_is(tmp_path):
    (tmp_path / "key.bin").write_bytes(b"\xff\x00line end\n")
    assert resolve_secret("file:key.bin", tmp_path) == b"\xff\x00line end\n"
    assert resolve_secret(f"file:{tmp_path}/key.bin", NOWHERE) == b"\xff\x00line end\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("env:REALTIME_PROXY_NO_SUCH_NAME", "REALTIME_PROXY_NO_SUCH_NAME is not set"),
        ("env:", "(no name)"),
        ("file:missing", "can't read"),
        ("file:empty", "is empty"),
        ("base64:", "nothing follows"),
    ],
)
def test_what_is_missing_is_named(tmp_path, text, problem):
    (tmp_path / "empty").touch()
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
