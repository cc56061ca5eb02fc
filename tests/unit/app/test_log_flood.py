"""Lines that repeat, and what is said of those that are left out."""

import contextlib

import pytest
import structlog
import structlog.testing
import trio.testing

from realtime_proxy.app import log_flood
from realtime_proxy.app.log_flood import Kind, LogFlood, tell_what_is_left_out


class Log:
    """What passes, at a time that the test says."""

    def __init__(self, most=2):
        self.now = 0.0
        self.passed = []
        self.flood = LogFlood(lambda: self.now)
        self.flood.most = most

    def write(self, event, method="warning", **fields):
        with contextlib.suppress(structlog.DropEvent):
            self.passed.append(self.flood(None, method, {"event": event, **fields})["event"])


@pytest.mark.parametrize("event", [ValueError("of a handler"), None, 5])
def test_what_is_logged_need_not_be_text(event):
    """Handlers write what they like: a line must not become a failure of theirs."""
    log = Log()
    for _ in range(3):
        log.write(event)
    assert log.passed == [event] * 2
    assert log.flood.take_untold() == [(Kind(str(event), None, None), 1)]


def test_a_line_without_a_text_passes():
    assert Log().flood(None, "warning", {"size": 1}) == {"size": 1}


def test_so_many_lines_of_a_kind_pass_in_a_second():
    log = Log()
    for _ in range(5):
        log.write("request failed", route="a")
        log.write("request failed", route="b")
        log.write("handler failed", "error", route="a", handler="x")
    assert len(log.passed) == 6
    assert log.flood.left_out == 9
    log.now = 1.0
    log.write("request failed", route="a")
    assert len(log.passed) == 7
    assert log.flood.take_untold() == [
        (Kind("request failed", "a", None), 3),
        (Kind("request failed", "b", None), 3),
        (Kind("handler failed", "a", "x"), 3),
    ]
    assert log.flood.take_untold() == []


@pytest.mark.parametrize("event", ["request", "publish", "subscribe", "opened", "closed"])
def test_records_are_all_there(event):
    log = Log()
    for _ in range(5):
        log.write(event, "info")
    assert len(log.passed) == 5


@pytest.mark.parametrize("event", ["request refused", "websocket broke the protocol"])
def test_what_clients_do_wrong_is_no_record(event):
    log = Log()
    for _ in range(5):
        log.write(event, "info", peer="192.0.2.1")
    assert len(log.passed) == 2


def test_of_a_list_nothing_is_left_out():
    log = Log()
    for number in range(5):
        log.write("configuration not usable; the old one stays", "error", problem=number)
    assert len(log.passed) == 5


def test_without_a_limit_all_pass():
    log = Log(most=0)
    for _ in range(5):
        log.write("request failed")
    assert len(log.passed) == 5


def test_texts_that_never_repeat_are_a_kind_of_their_own():
    log = Log()
    for number in range(3_000):
        log.write(f"text {number}")
    assert len(log.passed) == log_flood._MOST_KINDS + 2
    assert len(log.flood._lines) == log_flood._MOST_KINDS + 1


async def test_what_is_left_out_is_summed_up(nursery, mock_clock, monkeypatch):
    log = Log()
    monkeypatch.setattr(log_flood, "FLOOD", log.flood)
    monkeypatch.setattr(log_flood, "log", structlog.get_logger())
    for _ in range(1_236):
        log.write("request failed", route="a")
    with structlog.testing.capture_logs() as told:
        nursery.start_soon(tell_what_is_left_out)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(1)
        await trio.testing.wait_all_tasks_blocked()
    (line,) = told
    assert (line["event"], line["of"], line["route"]) == ("… and 1234 more", "request failed", "a")
    for _ in range(5):
        log.write(line["event"])  # itself it is no kind
    assert log.passed[-5:] == [line["event"]] * 5
