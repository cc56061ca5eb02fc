"""Follows a page as its reader would, in a folder of its own: `… walkthrough PAGE`.

What the page runs is at the ports that it says: give it a network of its own (`unshare`).
"""

# ruff: noqa: S101  what a test stands on fails like the test itself

import os
import re
import signal
import sys
import tempfile
from pathlib import Path

from realtime_proxy.testing.terminal import Terminal
from realtime_proxy.testing.walkthrough_page import (
    Command,
    Expected,
    File,
    Step,
    Transcript,
    Typed,
    steps_of,
)

# What a program never shows while it does what it should.
_ALARMS = re.compile(r"^.*(?:Traceback|\[error).*$", re.MULTILINE)


class Walkthrough:
    """The reader: terminals by name, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = os.environ | {"TERM": "dumb"}
        self._terminals: dict[str, Terminal] = {}

    def take(self, step: Step) -> None:
        """Do what the page says; fails if something else comes of it."""
        match step:
            case File():
                self._write(step)
            case Command():
                self._run(step)
            case Transcript():
                self._compare(step)

    def check(self) -> None:
        """Fails if a program has shown what it never should."""
        for terminal in self._terminals.values():
            found = _ALARMS.search(terminal.text)
            assert not found, f"terminal {terminal.name} shows\n{terminal.text}"

    def end(self) -> None:
        """End everything."""
        for terminal in self._terminals.values():
            terminal.end()

    def _write(self, step: File) -> None:
        with (self._folder / step.name).open("a" if step.is_added else "w") as file:
            file.write(f"\n{step.content}" if step.is_added else step.content)

    def _run(self, step: Command) -> None:
        if step.terminal not in self._terminals:
            made = Terminal(step.terminal, self._folder, self._environment)
            self._terminals[step.terminal] = made
        terminal = self._terminals[step.terminal]
        terminal.run(step.script)
        if not step.is_shown and step.terminal == "1":
            assert terminal.wait() == 0, f"failed:\n{step.script}\n{terminal.text}"

    def _compare(self, step: Transcript) -> None:
        terminal = self._terminals[step.terminal]
        if step.terminal == "1":  # where each command ends before the next
            pattern = "".join(one.pattern for one in step.parts if isinstance(one, Expected))
            assert terminal.wait() is not None, f"does not end:\n{terminal.text}"
            terminal.expect_whole(pattern, _text(step))
            return
        for part in step.parts:
            if isinstance(part, Typed):
                terminal.type(part.line)
            else:
                terminal.expect(part.pattern, part.text)


def _text(step: Transcript) -> str:
    return "".join(one.text for one in step.parts if isinstance(one, Expected))


def follow(page: Path) -> None:
    """Take all steps of a page."""
    steps = steps_of(page.read_text())
    assert any(isinstance(step, Command) for step in steps), f"{page} has nothing to do"
    with tempfile.TemporaryDirectory() as name:
        reader = Walkthrough(Path(name))
        try:
            for step in steps:
                reader.take(step)
            reader.check()
        finally:
            reader.end()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without an end to what it runs
    try:
        follow(Path(sys.argv[1]))
    except AssertionError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
