"""A terminal with a shell in it, for what people type and see."""

# ruff: noqa: S101, S606, S607  what a test stands on fails like the test itself; a shell is the point

import contextlib
import os
import pty
import re
import select
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

DEADLINE_SECONDS = 30.0
_MOMENT_SECONDS = 0.1  # in which a program that is about to end does
# Takes files with scripts from one pipe, and tells their statuses at the other. Ctrl-C is for what
# runs there.
_SHELL = """
trap : INT
while read -r -u {scripts} file || [ $? -gt 128 ]; do
    [ "$file" ] || continue
    . "$file" {scripts}<&- {statuses}>&-
    echo $? >&{statuses}
done
"""
_CLEARED_LINE = re.compile(r"[^\n]*\r\x1b\[2K(?:\x1b\[3D)?")
_LINE_END = re.compile(r"\r+\n")  # of a program's own, and of the terminal
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;;[^\x1b]*\x1b\\")  # colours, links


class Terminal:
    """A shell, the script that it has last begun, and what that shows."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.status: int | None = 0  # None while the script runs
        self._before = ""
        self._shown = b""
        self._seen = 0  # so much has been looked at
        self._folder = folder
        self._scripts = 0
        scripts, self._to_shell = os.pipe()
        self._from_shell, statuses = os.pipe()
        self._pid, self._screen = pty.fork()
        if not self._pid:
            _become_shell(folder, environment, scripts, statuses)
        os.close(scripts)
        os.close(statuses)

    @property
    def text(self) -> str:
        """All that it has shown, of earlier scripts as well."""
        return self._before + self._text

    def run(self, script: str) -> None:
        """Begin a script, after an end to what runs there."""
        if self.wait(_MOMENT_SECONDS) is None:
            self._press(b"\x03")
            assert self.wait() is not None, f"{self._said()} goes on after Ctrl-C"
        self._before, self._shown, self._seen = self.text, b"", 0
        self._scripts += 1
        file = self._folder / f".terminal-{self.name}-{self._scripts}"
        file.write_text(script)
        self.status = None
        os.write(self._to_shell, f"{file}\n".encode())

    def type(self, line: str) -> None:
        """Type a line for the program that runs there; back when it is shown."""
        self._press(line.encode() + b"\r")
        self.expect(f"(?:> )?{re.escape(line)}[ \t]*\n", line)

    def wait(self, seconds: float = DEADLINE_SECONDS) -> int | None:
        """The status of the script, when it has one; None if that takes too long."""
        ends_at = time.monotonic() + seconds
        while self.status is None and time.monotonic() < ends_at:
            self._look(0.1)
        return self.status

    def expect(self, pattern: str, wanted: str) -> None:
        """Come back when the next that it shows fits; fails if it does not, in time."""
        expression = re.compile(pattern)
        ends_at = time.monotonic() + DEADLINE_SECONDS
        while not (found := expression.match(self._unseen)):
            may_come = self.status is None and time.monotonic() < ends_at
            assert may_come, f"{self._said()} instead of\n{wanted}"
            self._look(0.1)
        self._seen += len(found[0])

    def expect_whole(self, pattern: str, wanted: str) -> None:
        """Fails unless all that the ended script has shown fits, but for empty lines at its end."""
        found = re.fullmatch(f"{pattern}\\n*", self._unseen)
        assert found, f"{self._said()} instead of\n{wanted}"
        self._seen += len(found[0])

    def end(self) -> None:
        """End everything in it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        for descriptor in (self._to_shell, self._from_shell, self._screen):
            os.close(descriptor)

    @property
    def _text(self) -> str:
        """What the script has shown, without colours, and lines as they were left."""
        text = _LINE_END.sub("\n", self._shown.decode(errors="replace"))
        return _ESCAPE.sub("", _CLEARED_LINE.sub("", text))

    @property
    def _unseen(self) -> str:
        unseen = self._text[self._seen :]
        if self.status is None or unseen.endswith("\n"):
            return unseen
        # Of a program that is done: its last line without an end, or what it asks with.
        unseen = unseen.removesuffix("> ")
        return unseen if not unseen or unseen.endswith("\n") else f"{unseen}\n"

    def _said(self) -> str:
        return f"terminal {self.name} shows\n{self._text[self._seen :]}\n"

    def _press(self, keys: bytes) -> None:
        os.write(self._screen, keys)

    def _look(self, seconds: float) -> None:
        """Take what is there, within a time."""
        ready, _, _ = select.select([self._screen, self._from_shell], [], [], seconds)
        if self._from_shell in ready:
            self.status = int(os.read(self._from_shell, 100))
        while select.select([self._screen], [], [], 0.0)[0]:
            self._shown += os.read(self._screen, 65_536)


def _become_shell(
    folder: Path, environment: Mapping[str, str], scripts: int, statuses: int
) -> NoReturn:
    os.chdir(folder)
    for descriptor in (scripts, statuses):
        os.set_inheritable(descriptor, True)
    # A shell can't trap what was ignored when it began, as it is for jobs in the background.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    shell = _SHELL.format(scripts=scripts, statuses=statuses)
    os.execvpe("bash", ["bash", "--noprofile", "--norc", "-c", shell], environment)
