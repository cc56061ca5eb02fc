import json
import sys
import types

import pytest
import structlog

from realtime_proxy.app import logs
from realtime_proxy.app.logs import reopen_log, set_up_logs
from realtime_proxy.config.schema import Log
from realtime_proxy.errors import ConfigError


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """Logging is the whole process's: give it back as it was."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(logs, "log", structlog.get_logger())
    before = structlog.get_config()
    yield
    logs._output.turn_to("")
    structlog.configure(**before)


@pytest.fixture
def written(tmp_path):
    """Set logs up for a file, and read it."""
    file = tmp_path / "log.txt"

    def set_up(**settings):
        set_up_logs(Log(file=str(file), **settings))
        return file

    return set_up


def test_lines_for_people(written):
    file = written()
    structlog.get_logger().info("begun", route="a")
    assert "begun" in file.read_text()
    assert "route=a" in file.read_text()
    assert "\x1b" not in file.read_text()


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\u2028b", "\x9b2J", "two\nlines"])
def test_a_terminal_does_not_obey_what_others_wrote(written, text):
    file = written()
    structlog.get_logger().info("begun", said=text, count=1)
    (line,) = file.read_text().splitlines()
    assert f"said={text!r}" in line
    assert "count=1" in line


@pytest.mark.parametrize("format_", ["console", "json", "pushpin"])
def test_a_failure_says_where_it_was_and_not_what_was_there(written, format_):
    """What code works on are tokens, keys and bodies of clients."""

    def check(credential):
        if credential:
            raise ValueError("odd")

    file = written(format=format_)
    try:
        check(bytes.fromhex("736563726574").decode())  # source lines may be shown
    except ValueError:
        structlog.get_logger().exception("failed")
    text = file.read_text()
    assert "odd" in text
    assert "check" in text
    assert "secret" not in text


def test_lines_as_json(written):
    file = written(format="json")
    try:
        raise ValueError("odd")
    except ValueError:
        structlog.get_logger().exception("failed", route="a")
    (line,) = file.read_text().splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["level"], entry["route"]) == ("failed", "error", "a")
    assert entry["exception"][0]["exc_value"] == "odd"


def test_lines_as_pushpin_has_them(written):
    file = written(format="pushpin")
    try:
        raise ValueError("odd")
    except ValueError:
        structlog.get_logger().exception("failed", route="a")
    first, *_, last = file.read_text().splitlines()
    assert first.startswith("[ERR] ")
    assert first.endswith(" [proxy] failed route=a")
    assert last == "ValueError: odd"


@pytest.mark.parametrize("level", ["error", "warning", "info", "debug"])
def test_what_is_less_urgent_is_left_out(written, level):
    file = written(level=level)
    log = structlog.get_logger()
    levels = ["error", "warning", "info", "debug"]
    for name in levels:
        getattr(log, name)(f"<{name}>")
    said = [name for name in levels if f"<{name}>" in file.read_text()]
    assert said == levels[: levels.index(level) + 1]


def test_a_file_is_continued(written):
    written().write_text("before\n")
    written()
    structlog.get_logger().info("after")
    assert written().read_text().startswith("before\n")


def test_loggers_in_use_follow_a_changed_set_up(written, tmp_path):
    written(level="warning")
    log = structlog.get_logger()
    log.info("<not wanted>")
    assert not log.is_enabled_for(20)
    other = tmp_path / "other.txt"
    set_up_logs(Log(file=str(other), level="info", format="json"))
    log.info("<wanted>")
    assert json.loads(other.read_text())["event"] == "<wanted>"
    assert log.is_enabled_for(20)
    set_up_logs(Log(level="error", file=str(other)))
    log.warning("<too much>")
    log.error("<enough>")
    assert "<too much>" not in other.read_text()
    assert "<enough>" in other.read_text()
    assert (tmp_path / "log.txt").read_text() == ""


def test_a_file_that_was_moved_away_is_begun_again(written, tmp_path):
    file = written()
    log = structlog.get_logger()
    log.info("<before>")
    file.rename(tmp_path / "log.1")
    reopen_log(Log(file=str(file)))
    log.info("<after>")
    assert "<after>" in file.read_text()
    assert "<before>" in (tmp_path / "log.1").read_text()


def test_a_file_that_can_not_be_begun_again_is_gone_on_with(written, tmp_path):
    file = written()
    reopen_log(Log(file=str(tmp_path / "no" / "log.txt")))
    assert "log file not reopened" in file.read_text()


def test_without_a_file_it_goes_to_standard_output(capsys):
    set_up_logs(Log())
    structlog.get_logger().info("begun")
    assert "begun" in capsys.readouterr().out


def test_a_file_that_can_not_be_written(tmp_path):
    with pytest.raises(ConfigError, match=r"log.file: can't write .*: No such file"):
        set_up_logs(Log(file=str(tmp_path / "no" / "log.txt")))


def test_failures_that_nobody_sees_are_logged(written):
    file = written()
    failure = types.SimpleNamespace(exc_value=ValueError("odd"), object="a finalizer")
    sys.unraisablehook(failure)
    assert "failure ignored" in file.read_text()
    assert "ValueError: odd" in file.read_text()


def test_a_name_that_is_no_ascii_is_a_clients_mistake(written):
    file = written()
    try:
        b"\xff".decode("ascii")
    except UnicodeDecodeError as error:
        sys.unraisablehook(types.SimpleNamespace(exc_value=error, object=b"\xff"))
    assert "impossible name" in file.read_text()
    assert "Traceback" not in file.read_text()
