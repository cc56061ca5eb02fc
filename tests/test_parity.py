"""The judgement over a run of the parity suite: the list of expected failures stays true."""

import importlib.util
from pathlib import Path

SPEC = importlib.util.spec_from_file_location("parity", Path(__file__).with_name("parity.py"))
assert SPEC is not None
assert SPEC.loader is not None
parity = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(parity)

REPORT = """<testsuites><testsuite>
<testcase file="test_a.py" classname="test_a" name="test_fine" />
<testcase file="test_a.py" classname="test_a" name="test_odd[a  # b]">
<failure message="" /></testcase>
<testcase file="test_a.py" classname="test_a" name="test_skipped"><skipped message="" /></testcase>
<testcase file="test_a.py" classname="test_a" name="test_end"><error message="" /></testcase>
</testsuite></testsuites>"""


def test_outcomes_are_read_from_the_report(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert parity.outcomes_in(report) == {
        "test_a.py::test_fine": True,
        "test_a.py::test_odd[a  # b]": False,
        "test_a.py::test_end": False,
    }


def test_the_list_names_tests_and_what_they_wait_for() -> None:
    text = "# comment\n\ntest_a.py::test_odd[a  # b]  # statistics\n"
    assert parity.expected_failures(text) == {"test_a.py::test_odd[a  # b]": "statistics"}


def test_what_is_not_as_listed_is_run_again() -> None:
    outcomes = {"fails": False, "passes": True, "listed": False, "mended": True}
    assert parity.doubtful(outcomes, {"listed": "links", "mended": "links"}) == ["fails", "mended"]


def test_only_what_the_list_says_may_fail() -> None:
    expected = {"a": "links", "gone": "links"}
    assert parity.judge({"a": False, "b": True}, {"a": "links"}, whole=True) == []
    assert parity.judge({"a": False, "b": False}, {"a": "links"}, whole=True) == [
        "failed, but should pass:     b"
    ]
    assert parity.judge({"a": True, "b": True}, expected, whole=True) == [
        "passes: strike it off:       a  # links",
        "was not run: strike it off:  gone  # links",
    ]
    assert parity.judge({"b": True}, expected, whole=False) == []
