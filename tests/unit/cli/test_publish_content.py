import io
import sys

import pytest

from realtime_proxy.cli.publish_arguments import parse_arguments
from realtime_proxy.cli.publish_content import Content, has_content, read_content
from realtime_proxy.errors import PublishError


def read(*argv):
    return read_content(parse_arguments(["channel", *argv]))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "content"
    path.write_bytes(b"raw\xff\n")
    return str(path)


@pytest.fixture
def standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped\xff\n")))


def test_literal_text():
    assert read("héllo") == Content("héllo".encode(), is_literal=True)


def test_literal_bytes_that_are_no_text():
    assert read("a\udcff") == Content(b"a\xff", is_literal=True)


def test_from_a_file(file):
    content = Content(b"raw\xff\n", is_literal=False)
    assert read(f"@{file}") == content
    assert read("--file", file) == content


def test_file_whose_name_begins_with_a_sign(file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "@x").write_bytes(b"x")
    assert read("--file", "@x").data == b"x"


@pytest.mark.usefixtures("standard_input")
@pytest.mark.parametrize("argv", [["-"], ["--file", "-"]])
def test_from_standard_input(argv):
    assert read(*argv) == Content(b"piped\xff\n", is_literal=False)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/no/such", "No such file or directory"),
        ("/", "Is a directory"),
        ("a\0b", "no such name"),
    ],
)
def test_unreadable_file(name, reason):
    with pytest.raises(PublishError) as error:
        read(f"@{name}")
    assert str(error.value) == f"can't read file {name}: {reason}"


def test_has_content(file):
    assert not has_content(parse_arguments(["channel"]))
    assert has_content(parse_arguments(["channel", ""]))
    assert has_content(parse_arguments(["channel", "--file", file]))
