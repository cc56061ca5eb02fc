"""The pages of docs/chains are followed as they are written, each in a network of its own.

Without the marker `slow` there are stand-ins for what is no Python package: netcat, Redis, wscat.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PAGES = sorted(
    page for page in (CHECKOUT / "docs" / "chains").glob("*.md") if "```sh" in page.read_text()
)
# Their readers wait for the end of tokens and sessions.
SLOW = {"realtime-gateway-for-microservices", "kratos-and-oathkeeper"}
STAND_INS = Path(__file__).with_name("stand_ins")
DEADLINE_SECONDS = 240  # for all of them at once, on a busy machine
_UP = "ip link set lo up"
_OWN_NETWORK = ("unshare", "--map-root-user", "--net", "sh", "-c", f'{_UP} && exec "$@"', "sh")


def has_own_network():
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run([*_OWN_NETWORK, "true"], capture_output=True, check=False).returncode == 0


def follow(page, path):
    """Begin to; a process that ends with status 0 when all is as it is written."""
    command = [sys.executable, "-m", "realtime_proxy.testing.walkthrough", str(page)]
    return subprocess.Popen(
        [*_OWN_NETWORK, *command] if has_own_network() else command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PATH": os.pathsep.join(map(str, path))},
    )


def outcome(walk):
    said, _ = walk.communicate(timeout=DEADLINE_SECONDS)
    return walk.returncode, said


@pytest.fixture(scope="module")
def real_tools(tmp_path_factory):
    """A folder with wscat."""
    folder = tmp_path_factory.mktemp("npm")
    install = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", folder, "wscat"]
    done = subprocess.run(
        install, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
    )
    if done.returncode:
        pytest.skip(f"wscat could not be installed: {done.stderr.strip()[-200:]}")
    return folder / "node_modules" / ".bin"


MISSING = [tool for tool in ("npm", "redis-server") if not shutil.which(tool)]
REAL = pytest.param(
    "real",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(bool(MISSING), reason=f"there is no {' and no '.join(MISSING)}"),
    ],
)


def wanted(request):
    """The pages of the tests that will run with these tools."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = [call.params for call in calls if call and call.params.get("walks") == request.param]
    return [params["page"] for params in chosen if "page" in params]


@pytest.fixture(scope="module", params=["stand-ins", REAL])
def walks(request):
    """Follow a page; if each has its own network, all of them have begun already."""
    own, system = Path(sys.executable).parent, os.environ["PATH"]
    if request.param == "real":
        path = [request.getfixturevalue("real_tools"), own, system, STAND_INS]
    else:
        path = [STAND_INS, own, system]
    begun = {page: follow(page, path) for page in wanted(request) if has_own_network()}
    yield lambda page: begun.get(page) or follow(page, path)
    for walk in begun.values():
        walk.terminate()
        walk.communicate()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page.stem in SLOW else [], id=page.stem)
        for page in PAGES
    ],
)
def test_a_page_works_as_it_is_written(walks, page):
    assert outcome(walks(page)) == (0, "")


def page_of(tmp_path, *blocks):
    page = tmp_path / "page.md"
    page.write_text("".join(f"```{block}\n```\n\nand then\n\n" for block in blocks))
    return follow(page, [Path(sys.executable).parent, os.environ["PATH"]])


def test_files_terminals_and_what_varies(tmp_path):
    walk = page_of(
        tmp_path,
        "toml\n# a.toml\nb = 1",
        "toml\n# added to a.toml\nc = 2",
        "sh\ncat a.toml; A=1",
        "text\n# a.toml\n…\nc = …",
        "sh terminal=other\nread a; echo got $a; sleep 100",
        "sh\necho $A",
        "text\n1",
        "text terminal=other\n> it\ngot it",
        "sh terminal=other\necho ended",
        "text terminal=other\nended",
    )
    assert outcome(walk) == (0, "")


def test_ctrl_c_where_the_tests_run_in_the_background(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as shells do for their `&`
    try:
        walk = page_of(tmp_path, "sh terminal=other\nsleep 100", "sh terminal=other\necho ended")
    finally:
        signal.signal(signal.SIGINT, before)
    assert outcome(walk) == (0, "")


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        (["sh\necho one", "text\ntwo"], "shows\none\n\n instead of\ntwo"),
        (["sh\necho one; echo two", "text\none"], "shows\none\ntwo\n"),
        (["sh\necho one", "text\none\ntwo"], "shows\none\n"),
        (["sh\nfalse"], "failed:\nfalse"),
        (["sh terminal=a\necho Traceback", "text terminal=a\nTraceback"], "shows\nTraceback"),
        (["text\nnothing"], "has nothing to do"),
    ],
)
def test_what_is_not_as_written_is_told(tmp_path, blocks, reason):
    status, said = outcome(page_of(tmp_path, *blocks))
    assert status == 1
    assert reason in said
