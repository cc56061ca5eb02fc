"""Secrets of handlers: read from where the settings say, and never shown."""

from pathlib import Path

import attrs
import pytest

from realtime_proxy.config.structure import structure
from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline.secret import Secret, files_relative_to


@attrs.frozen
class Settings:
    """A handler's settings with one secret."""

    key: Secret


def read(written: object, base_dir: Path) -> Secret:
    with files_relative_to(base_dir):
        return structure({"key": written}, Settings).key


def test_a_secret_may_stand_in_place_or_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "one")
    (tmp_path / "key").write_bytes(b"two\r\n")
    written = ["env:SOME_KEY", "file:key", f"file:{tmp_path}/key", "base64:dHdv", "other:two"]
    assert [read(text, tmp_path).value for text in written] == [
        b"one",
        b"two",
        b"two",
        b"two",
        b"other:two",
    ]


@pytest.mark.parametrize("written", ["", "file:empty", "file:gone", "env:", "base64:???", 5, None])
def test_what_is_no_secret_is_a_problem_at_its_key(written: object, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError) as caught:
        read(written, tmp_path)
    assert [problem.key_path for problem in caught.value.problems] == ["key"]


def test_a_secret_is_not_shown() -> None:
    assert "hush" not in f"{Secret(b'hush')!r} {Secret(b'hush')}"
