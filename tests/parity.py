"""Run the parity suite, and hold the list of what it may still fail at to the truth.

    python tests/parity.py SUITE_FOLDER [--quick] [pytest arguments]

The suite is what Pushpin passes. Tests of parts that are not built yet stand in
`parity_expected_failures.txt`. A failure that is not on the list fails this run, and so does a test
on the list that passes or no longer exists: then its line has to go. What is wrong is run once more
before it counts, as the suite works with real time. With `--quick` the tests on the list are left
out: most of them fail by waiting.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

LIST = Path(__file__).with_name("parity_expected_failures.txt")
CHECKOUT = Path(__file__).parents[1]


def expected_failures(text: str) -> dict[str, str]:
    """Test ids and the part each waits for: `ID  # PART`. Lines of comment begin with `#`."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    parted = (line.rpartition("  # ") for line in lines)
    return {test: part for test, _, part in parted}


def outcomes_in(report: Path) -> dict[str, bool]:
    """Whether each test passed, of a JUnit report. Skipped tests are left out."""
    outcomes: dict[str, bool] = {}
    for case in ET.parse(report).iter("testcase"):
        test = f"{case.get('file')}::{case.get('name')}"
        results = {child.tag for child in case}
        if "skipped" not in results:
            # A test may be there twice, once with the error of its teardown.
            outcomes[test] = outcomes.get(test, True) and not results & {"failure", "error"}
    return outcomes


def judge(outcomes: dict[str, bool], expected: dict[str, str], *, whole: bool) -> list[str]:
    """What is wrong, as lines. `whole`: the whole suite was run, so that all of it is known."""
    failed = [test for test, passed in outcomes.items() if not passed and test not in expected]
    passed = [test for test, passed in outcomes.items() if passed and test in expected]
    unknown = [test for test in expected if whole and test not in outcomes]
    return (
        [f"failed, but should pass:     {test}" for test in failed]
        + [f"passes: strike it off:       {test}  # {expected[test]}" for test in passed]
        + [f"was not run: strike it off:  {test}  # {expected[test]}" for test in unknown]
    )


def doubtful(outcomes: dict[str, bool], expected: dict[str, str]) -> list[str]:
    """The tests whose outcome is not what the list says."""
    return [test for test, passed in outcomes.items() if passed == (test in expected)]


def run_suite(suite: Path, arguments: list[str]) -> dict[str, bool]:
    """Run pytest on the suite, which is not ours to write into."""
    programs = CHECKOUT / ".venv" / "bin"
    environment = {
        "PARITY_TARGET": "project",
        "REALTIME_PROXY": str(programs / "realtime-proxy"),
        "PUSHPIN_PUBLISH": str(programs / "pubcli"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
        command += ["-o", "junit_family=xunit1", f"--junit-xml={report}", f"--rootdir={suite}"]
        command += arguments
        subprocess.run(command, cwd=suite, env=os.environ | environment, check=False)
        return outcomes_in(report)


def main() -> int:
    """Run, judge, tell. The exit status is 0 if everything is as the list says."""
    suite, arguments = Path(sys.argv[1]).resolve(), sys.argv[2:]
    expected = expected_failures(LIST.read_text())
    if "--quick" in arguments:
        arguments.remove("--quick")
        arguments += [f"--deselect={test}" for test in expected]
    outcomes = run_suite(suite, arguments)
    if again := doubtful(outcomes, expected):
        outcomes |= run_suite(suite, again)
    wrong = judge(outcomes, expected, whole=not arguments)
    print(*wrong, sep="\n")
    passed = sum(outcomes.values())
    print(f"{passed} of {len(outcomes)} pass, {len(expected)} are expected to fail")
    return 1 if wrong or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
