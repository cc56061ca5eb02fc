"""Which file a handler's name stands for, and what may be in it."""

import sys
import sysconfig
from pathlib import Path

import pytest

from realtime_proxy.pipeline import BaseHandler
from realtime_proxy.pipeline.catalogue import (
    Catalogue,
    HandlerFileError,
    handler_folders,
    load_class,
)

HANDLER = """
from realtime_proxy.pipeline import BaseHandler
class Handler(BaseHandler):
    place = {place!r}
"""


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.py"
    file.write_text(text)
    return file


def test_the_first_folder_with_a_name_wins(tmp_path: Path) -> None:
    ours = write(tmp_path / "a", "both", "")
    write(tmp_path / "b", "both", "")
    theirs = write(tmp_path / "b", "second-only", "")
    catalogue = Catalogue([tmp_path / "a", tmp_path / "b", tmp_path / "gone"])
    assert catalogue.names() == ["both", "second-only"]
    assert catalogue.find("both") == ours
    assert catalogue.find("second-only") == theirs
    assert catalogue.find("neither") is None


@pytest.mark.parametrize("name", ["../secret", "a/b", "__init__", "", ".hidden", "a\0b"])
def test_a_path_is_no_name(tmp_path: Path, name: str) -> None:
    write(tmp_path / "folder", "__init__", "")
    write(tmp_path, "secret", "")
    catalogue = Catalogue([tmp_path / "folder"])
    assert catalogue.names() == []
    assert catalogue.find(name) is None
    assert catalogue.load(name) is None


def test_a_file_is_run_once_for_a_catalogue(tmp_path: Path) -> None:
    write(tmp_path, "tested", HANDLER.format(place="first"))
    catalogue = Catalogue([tmp_path])
    assert catalogue.load("tested") is catalogue.load("tested")


def test_a_later_catalogue_sees_a_changed_file(tmp_path: Path) -> None:
    file = write(tmp_path, "changing", HANDLER.format(place="before"))
    before = load_class(file)
    file.write_text(HANDLER.format(place="after!"))
    after = load_class(file)
    assert (before.__dict__["place"], after.__dict__["place"]) == ("before", "after!")


def test_a_handler_named_like_a_library_leaves_it_alone(tmp_path: Path) -> None:
    json = sys.modules["json"]
    handler = load_class(write(tmp_path, "json", HANDLER.format(place="here")))
    assert issubclass(handler, BaseHandler)
    assert sys.modules["json"] is json


def test_a_file_that_fails_leaves_no_module_behind(tmp_path: Path) -> None:
    with pytest.raises(HandlerFileError, match="ZeroDivisionError"):
        load_class(write(tmp_path, "failing", "1 / 0"))
    assert not [name for name in sys.modules if "failing" in name]


def test_the_folders_are_the_sites_the_checkouts_and_the_installed(tmp_path: Path) -> None:
    checkout = Path(__file__).resolve().parents[3]
    assert handler_folders(tmp_path) == (
        tmp_path / "handlers",
        checkout / "handlers",
        Path(sysconfig.get_path("data"), "share", "realtime_proxy", "handlers"),
    )


def test_beside_an_installed_package_are_no_handlers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages" / "realtime_proxy" / "pipeline" / "catalogue.py"
    monkeypatch.setattr("realtime_proxy.pipeline.catalogue.__file__", str(installed))
    assert tmp_path / "site-packages" / "handlers" not in handler_folders(tmp_path)


def test_a_file_that_has_not_changed_is_not_run_again(tmp_path: Path) -> None:
    file = write(tmp_path, "steady", HANDLER.format(place="one"))
    first = load_class(file)
    assert load_class(file) is first
    write(tmp_path, "steady", "broken (")
    with pytest.raises(HandlerFileError):
        load_class(file)
    write(tmp_path, "steady", HANDLER.format(place="one"))
    assert load_class(file).place == "one"  # type: ignore[attr-defined]
