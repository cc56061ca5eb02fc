"""A headless Chromium, spoken to in the WebDriver protocol: the client that most people have.

Needs Debian's chromium and chromium-driver; `is_installed` tells whether they are there.
"""

import contextlib
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# A browser may take long for its first page on a busy machine.
DEADLINE_SECONDS = 60
_DRIVER = shutil.which("chromedriver")
_CHROMIUM = shutil.which("chromium")
_FLAGS = (
    "--headless",
    "--no-sandbox",  # tests may run as root, in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

is_installed = bool(_DRIVER and _CHROMIUM)


class Browser:
    """One browser window. Paths are those of the WebDriver session."""

    def __init__(self, driver_url: str, profile: Path) -> None:
        self._session = driver_url
        options = {"binary": _CHROMIUM, "args": [*_FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        answer = self.post("/session", capabilities={"alwaysMatch": wanted})
        self._session = f"{driver_url}/session/{answer['sessionId']}"
        self.post("/timeouts", script=DEADLINE_SECONDS * 1000)

    def post(self, path: str, **body: Any) -> Any:
        """Give a command with these members. Raises AssertionError if it is refused."""
        return self._call("POST", path, json.dumps(body).encode())

    def _call(self, method: str, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(self._session + path, body, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=2 * DEADLINE_SECONDS) as response:  # noqa: S310
                return json.load(response)["value"]
        except urllib.error.HTTPError as refusal:
            with refusal:
                problem = json.load(refusal)["value"]["message"].splitlines()[0]
        raise AssertionError(f"{path}: {problem}: {(body or b'').decode()}")

    def close(self) -> None:
        """End the session, and the browser with it."""
        self._call("DELETE", "")

    def open(self, url: str) -> None:
        """Go to a page, and come back when it is loaded."""
        self.post("/url", url=url)

    def evaluate(self, expression: str) -> Any:
        """What an expression is on the page."""
        return self.post("/execute/sync", script=f"return {expression};", args=[])

    def wait_until(self, expression: str) -> None:
        """Come back when the expression is true; fails if it takes too long."""
        script = (
            "const done = arguments[0];"
            f"const look = () => ({expression}) ? done(true) : setTimeout(look, 10);"
            "look();"
        )
        self.post("/execute/async", script=script, args=[])

    def submit(self, form: str, text: str) -> None:
        """Type into the form's field and press its button."""
        self.post(f"{self._element(f'{form} input')}/value", text=text)
        self.post(f"{self._element(f'{form} button')}/click")

    def _element(self, selector: str) -> str:
        found = self.post("/element", using="css selector", value=selector)
        return f"/element/{next(iter(found.values()))}"

    def complaints(self) -> list[str]:
        """What the browser wrote to its console: errors, and breaches of the page's policy."""
        return [entry["message"] for entry in self.post("/se/log", type="browser")]


@contextlib.contextmanager
def running_browser(profile: Path) -> Iterator[Browser]:
    """A browser with a fresh profile folder, until the end of the block."""
    started = r"started successfully on port (\d+)"
    with running_program(str(_DRIVER), "--port=0", until=started) as found:
        browser = Browser(f"http://127.0.0.1:{found[1]}", profile)
        yield browser
        browser.close()


@contextlib.contextmanager
def running_program(*command: str | Path, until: str) -> Iterator[re.Match[str]]:
    """A program, from when a line of its output matches to the end of the block."""
    with subprocess.Popen(  # noqa: S603  what a test starts
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield _wait_for(process.stdout or (), until)
        finally:
            process.terminate()
            process.communicate(timeout=DEADLINE_SECONDS)


def _wait_for(output: Iterable[str], pattern: str) -> re.Match[str]:
    lines = []
    for line in output:
        lines.append(line)
        if found := re.search(pattern, line):
            return found
    raise AssertionError("".join(lines))
